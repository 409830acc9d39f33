"""An adapter: what a segment adds to the base, stored so that it fits no other base.

Every method ends as the same thing, an additive logit per item with named parts: values of groups
(brands, levels of the category path), a tilt in the space of the text vectors (`theta`), a value
per distinct text (LoRA), and a value for single items the segment was seen to take. So serving has
one code path, explanations stay exact, and "merged" (offsets added to the base's score) equals
"unmerged" by construction.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.artefacts import read_json, staged_folder
from recsys_core.base_model.data import Catalogue
from recsys_core.errors import AdapterError

FORMAT = 1
LOCK_KEYS = ("encoder", "tokenizer", "features")


@dataclass(frozen=True)
class Adapter:
    """Additive logits of one segment.

    Args:
        segment: the segment's name. method: the name of the method that made it.
        lock: hashes of the encoder's weights, the tokenizer and the feature schema it was made on.
        theta: float32 [d]; adds vectors @ theta to every item, new ones included.
        groups: "<level>|<value>" → logit, for the levels of `Catalogue.groups`; "<level>" alone is that
            of every other value of the level, new ones included.
        text_keys, text_values: int64 [m], float32 [m]; what a LoRA adds to theta's part of distinct texts, by
            `data.text_key`.
        item_ids, item_values: values of single items, float32, finite.
        settings: how it was made (shots, strength, windows, seeds); JSON.
        peft_folder: the ordinary PEFT folder behind a LoRA adapter, kept beside it.
    """

    segment: str
    method: str
    lock: dict[str, str]
    theta: np.ndarray
    groups: dict[str, float] = field(default_factory=dict)
    text_keys: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    text_values: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    item_ids: tuple[str, ...] = ()
    item_values: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    settings: dict[str, Any] = field(default_factory=dict)
    peft_folder: Path | None = None

    def parts(self, catalogue: Catalogue) -> dict[str, np.ndarray]:
        """The named additive logits, each float32 [N]; their sum is `offsets`."""
        text = catalogue.vectors @ self.theta
        if len(self.text_keys):
            text = text + self._text_offsets(catalogue)
        items = np.zeros(len(catalogue), np.float32)
        rows = [catalogue.row_of.get(item, -1) for item in self.item_ids]
        known = np.array(rows, np.int64) >= 0
        items[np.array(rows, np.int64)[known]] = self.item_values[known]
        return {"segment_groups": self._group_offsets(catalogue), "segment_items": items,
                "segment_text": text[catalogue.text_of_item].astype(np.float32)}

    def _text_offsets(self, catalogue: Catalogue) -> np.ndarray:
        """The values of distinct texts, float32 [M]; 0 for a text without one."""
        order = np.argsort(self.text_keys)
        at = order[np.searchsorted(self.text_keys, catalogue.text_keys, sorter=order).clip(max=len(order) - 1)]
        return np.where(self.text_keys[at] == catalogue.text_keys, self.text_values[at], np.float32(0))

    def _group_offsets(self, catalogue: Catalogue) -> np.ndarray:
        """The groups' values, float32 [N]; 0 where an item has no group."""
        levels = [np.full(len(values) + 1, self.groups.get(name, 0.0), np.float32) for name, _, values in
                  catalogue.groups]
        for key, value in self.groups.items():
            if key in catalogue.group_codes:
                level, code = catalogue.group_codes[key]
                levels[level][code] = value
        total = np.zeros(len(catalogue), np.float32)
        for values, (_, codes, _) in zip(levels, catalogue.groups, strict=True):
            values[-1] = 0.0  # what code −1 reads
            if values.any():
                total += values[codes]
        return total

    def offsets(self, catalogue: Catalogue) -> np.ndarray:
        """float32 [N]: what this adapter adds to the base's logit of every item."""
        return sum(self.parts(catalogue).values())

    def is_live(self, catalogue: Catalogue) -> bool:
        """Whether switching it on can change any ranking: offsets that are not one constant, and no LoRA without update."""
        updated = not len(self.text_keys) or self.text_values.any()
        return bool(updated and np.ptp(self.offsets(catalogue)) > 1e-6)

    def for_segment(self, segment: str) -> Adapter:
        """The same adapter under another name (transfer to another segment)."""
        return replace(self, segment=segment)

    def save(self, folder: Path) -> None:
        """Write adapter.json and adapter.safetensors (and peft/ where there is one), atomically."""
        with staged_folder(Path(folder)) as staging:
            self.write(staging)

    def write(self, folder: Path) -> None:
        """The same into a folder that exists and that the caller publishes."""
        from safetensors.numpy import save_file

        save_file({"theta": self.theta, "text_keys": self.text_keys, "text_values": self.text_values,
                   "item_values": self.item_values}, f"{folder}/adapter.safetensors")
        about = {"format": FORMAT, "segment": self.segment, "method": self.method, "lock": self.lock,
                 "groups": self.groups, "item_ids": list(self.item_ids), "settings": self.settings}
        with open(f"{folder}/adapter.json", "w", encoding="utf-8") as handle:
            handle.write(json.dumps(about, sort_keys=True, allow_nan=False, ensure_ascii=False))
        if self.peft_folder is not None:
            shutil.copytree(self.peft_folder, folder / "peft")

    @classmethod
    def load(cls, folder: Path, lock: dict[str, str]) -> Adapter:
        """Read an adapter made for exactly this base.

        Raises:
            AdapterError: another format, another base (the differing key is named), or a broken file.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder, fix = Path(folder), "re-adapt the segment"
        meta = read_json(folder / "adapter.json")
        if meta.get("format") != FORMAT:
            raise AdapterError(str(folder), f"has format {meta.get('format')}, this version reads {FORMAT}", fix)
        check_lock(f"adapter {folder.name}", meta.get("lock", {}), lock)
        try:
            arrays = load_file(str(folder / "adapter.safetensors"))
            peft = folder / "peft" if (folder / "peft").is_dir() else None
            adapter = cls(meta["segment"], meta["method"], meta["lock"], arrays["theta"],
                          {key: float(value) for key, value in meta["groups"].items()},
                          arrays["text_keys"], arrays["text_values"], tuple(meta["item_ids"]),
                          arrays["item_values"], meta["settings"], peft)
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise AdapterError(str(folder), f"cannot be read ({type(error).__name__}: {error})", fix) from error
        problem = adapter._problem()
        if problem:
            raise AdapterError(str(folder), problem, fix)
        return adapter

    def _problem(self) -> str | None:
        """What makes this adapter unusable, if anything."""
        if len(self.text_keys) != len(self.text_values) or len(self.item_ids) != len(self.item_values):
            return "its keys and its values differ in number"
        numbers = np.concatenate([self.theta, self.text_values, self.item_values, list(self.groups.values())])
        return None if np.isfinite(numbers).all() else "some of its values are not finite"


def check_lock(artefact: str, found: dict[str, str], expected: dict[str, str]) -> None:
    """Refuse an adapter whose base is not this one.

    Raises:
        AdapterError: naming the first of encoder, tokenizer, features that differs.
    """
    for key in LOCK_KEYS:
        if found.get(key) != expected.get(key) or not found.get(key):
            raise AdapterError(artefact, f"was made for another base: {key} is {str(found.get(key))[:12]}…, "
                               f"the base has {str(expected.get(key))[:12]}…", "re-adapt the segment on this base")
