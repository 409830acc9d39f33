"""An adapter: what a segment adds to the base, stored so that it fits no other base.

Every method ends as the same thing, an additive logit per item with named parts: values of groups
(brands, levels of the category path), a tilt in the space of the text vectors (`theta`), a value
per distinct text (LoRA), and a value for single items the segment was seen to take. So serving has
one code path, explanations stay exact, and "merged" (offsets added to the base's score) equals
"unmerged" by construction.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.artefacts import read_json, staged_folder, write_json
from recsys_core.base_model.data import Catalogue
from recsys_core.errors import AdapterError

FORMAT = 1
LOCK_KEYS = ("encoder", "tokenizer", "features")


def text_key(text: str) -> int:
    """A stable signed 64-bit key of a text (first 8 bytes of its SHA-256)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little", signed=True)


@dataclass(frozen=True)
class Adapter:
    """Additive logits of one segment.

    Args:
        segment: the segment's name. method: the name of the method that made it.
        lock: hashes of the encoder's weights, the tokenizer and the feature schema it was made on.
        theta: float32 [d]; adds vectors @ theta to every item, new ones included.
        groups: "<level>|<value>" → value, for the levels of `Catalogue.groups`.
        text_keys, text_values: int64 [m], float32 [m]; values of distinct texts, by `text_key`.
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
            value_of = dict(zip(self.text_keys.tolist(), self.text_values.tolist(), strict=True))
            texts = distinct_texts(catalogue)
            text = text + np.array([value_of.get(text_key(t), 0.0) for t in texts], np.float32)
        items = np.zeros(len(catalogue), np.float32)
        rows = [catalogue.row_of.get(item, -1) for item in self.item_ids]
        known = np.array(rows, np.int64) >= 0
        items[np.array(rows, np.int64)[known]] = self.item_values[known]
        return {"segment_groups": self._group_offsets(catalogue), "segment_items": items,
                "segment_text": text[catalogue.text_of_item].astype(np.float32)}

    def _group_offsets(self, catalogue: Catalogue) -> np.ndarray:
        total = np.zeros(len(catalogue), np.float32)
        for name, codes, labels in catalogue.groups if self.groups else []:
            values = np.array([*(self.groups.get(f"{name}|{label}", 0.0) for label in labels), 0.0], np.float32)
            total += values[codes]  # code −1 reads the trailing zero
        return total

    def offsets(self, catalogue: Catalogue) -> np.ndarray:
        """float32 [N]: what this adapter adds to the base's logit of every item."""
        return sum(self.parts(catalogue).values())

    def is_live(self, catalogue: Catalogue) -> bool:
        """Whether switching it on can change any ranking: offsets that are not one constant."""
        return bool(np.ptp(self.offsets(catalogue)) > 1e-6)

    def for_segment(self, segment: str) -> Adapter:
        """The same adapter under another name (transfer to another segment)."""
        return replace(self, segment=segment)

    def save(self, folder: Path) -> None:
        """Write adapter.json and adapter.safetensors (and peft/ where there is one), atomically."""
        from safetensors.numpy import save_file

        with staged_folder(Path(folder)) as staging:
            save_file({"theta": self.theta, "text_keys": self.text_keys, "text_values": self.text_values,
                       "item_values": self.item_values}, str(staging / "adapter.safetensors"))
            write_json(staging / "adapter.json", {
                "format": FORMAT, "segment": self.segment, "method": self.method, "lock": self.lock,
                "groups": self.groups, "item_ids": list(self.item_ids), "settings": self.settings})
            if self.peft_folder is not None:
                shutil.copytree(self.peft_folder, staging / "peft")

    @classmethod
    def load(cls, folder: Path, lock: dict[str, str]) -> Adapter:
        """Read an adapter made for exactly this base.

        Raises:
            AdapterError: another format, another base (the differing key is named), or a broken file.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        meta = read_json(folder / "adapter.json")
        check_lock(f"adapter {folder.name}", meta.get("lock", {}), lock)
        try:
            arrays = load_file(str(folder / "adapter.safetensors"))
            peft = folder / "peft" if (folder / "peft").is_dir() else None
            return cls(meta["segment"], meta["method"], meta["lock"], arrays["theta"], meta["groups"],
                       arrays["text_keys"], arrays["text_values"], tuple(meta["item_ids"]),
                       arrays["item_values"], meta["settings"], peft)
        except (OSError, KeyError, SafetensorError) as error:
            raise AdapterError(str(folder), f"cannot be read ({error})", "re-adapt the segment") from error


def check_lock(artefact: str, found: dict[str, str], expected: dict[str, str]) -> None:
    """Refuse an adapter whose base is not this one.

    Raises:
        AdapterError: naming the first of encoder, tokenizer, features that differs.
    """
    for key in LOCK_KEYS:
        if found.get(key) != expected.get(key) or not found.get(key):
            raise AdapterError(artefact, f"was made for another base: {key} is {str(found.get(key))[:12]}…, "
                               f"the base has {str(expected.get(key))[:12]}…", "re-adapt the segment on this base")


def distinct_texts(catalogue: Catalogue) -> list[str]:
    """The text behind every row of `catalogue.vectors`, in row order."""
    texts = [""] * len(catalogue.vectors)
    for text, row in zip(catalogue.items["text"].to_list(), catalogue.text_of_item.tolist(), strict=True):
        texts[row] = text
    return texts
