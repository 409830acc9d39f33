"""An adapter: what a segment adds to the base, stored so that it fits no other base.

It is an additive logit per item with named parts: values of groups (brands, levels of the category
path), a tilt in the space of the text vectors (`theta`), and a value for single items the segment was
seen to take. So serving has one code path, explanations stay exact, and "merged" (offsets added to the
base's score) equals "unmerged" by construction.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.artefacts import read_json, staged_folder
from recsys_core.errors import AdapterError
from recsys_core.interactions import KNOTS, Catalogue, knot_shares

FORMAT = 3
LOCK_KEYS = ("encoder", "tokenizer", "features")


@dataclass(frozen=True)
class Adapter:
    """Additive logits of one segment.

    Args:
        segment: the segment's name.
        method: how its values were found (`closed_form`, `counts`).
        lock: hashes of the encoder's weights, the tokenizer and the feature schema it was made on.
        theta: float32 [d]; adds vectors @ theta to every item, new ones included.
        groups: "<level>|<value>" → logit, for the levels of `Catalogue.groups`; "<level>" alone is that of every other
            value of the level, new ones included.
        item_ids: items with a value of their own.
        item_values: float32 [items], finite, their values.
        trust: float32 [7], how much of the offsets counts at each of `KNOTS` known steps of the shopper.
        settings: how it was made (shots, strength); JSON.
    """

    segment: str
    method: str
    lock: dict[str, str]
    theta: np.ndarray
    groups: dict[str, float] = field(default_factory=dict)
    item_ids: tuple[str, ...] = ()
    item_values: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    trust: np.ndarray = field(default_factory=lambda: np.ones(len(KNOTS), np.float32))
    settings: dict[str, Any] = field(default_factory=dict)

    def weight(self, steps: int) -> float:
        """How much of the offsets counts for a shopper of whom so many steps are known."""
        return float(knot_shares(np.array([steps]))[0] @ self.trust)

    def parts(self, catalogue: Catalogue) -> dict[str, np.ndarray]:
        """The named additive logits, each float32 [N], before they are weighted; their sum is `offsets`."""
        text = catalogue.vectors @ self.theta
        items = np.zeros(len(catalogue), np.float32)
        rows = [catalogue.row_of.get(item, -1) for item in self.item_ids]
        known = np.array(rows, np.int64) >= 0
        items[np.array(rows, np.int64)[known]] = self.item_values[known]
        return {"segment_groups": self._group_offsets(catalogue), "segment_items": items,
                "segment_text": text[catalogue.text_of_item].astype(np.float32)}

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
        """float32 [N]: what this adapter adds to the base's logit of every item, times `weight`."""
        return sum(self.parts(catalogue).values(), np.zeros(len(catalogue), np.float32))

    def is_live(self, catalogue: Catalogue) -> bool:
        """Whether switching it on can change any ranking: offsets that are not one constant."""
        return bool(np.ptp(self.offsets(catalogue)) > 1e-6)

    def save(self, folder: Path) -> None:
        """Write adapter.json and adapter.safetensors, atomically."""
        with staged_folder(Path(folder)) as staging:
            self.write(staging)

    def write(self, folder: Path) -> None:
        """The same into a folder that exists and that the caller publishes."""
        from safetensors.numpy import save_file

        save_file({"theta": self.theta, "item_values": self.item_values, "trust": self.trust},
                  f"{folder}/adapter.safetensors")
        about = {"format": FORMAT, "segment": self.segment, "method": self.method, "lock": self.lock,
                 "groups": self.groups, "item_ids": list(self.item_ids), "settings": self.settings}
        with open(f"{folder}/adapter.json", "w", encoding="utf-8") as handle:
            handle.write(json.dumps(about, sort_keys=True, allow_nan=False, ensure_ascii=False))

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
            adapter = cls(meta["segment"], meta["method"], meta["lock"], arrays["theta"],
                          {key: float(value) for key, value in meta["groups"].items()},
                          tuple(meta["item_ids"]), arrays["item_values"], arrays["trust"], meta["settings"])
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise AdapterError(str(folder), f"cannot be read ({type(error).__name__}: {error})", fix) from error
        problem = adapter._problem()
        if problem:
            raise AdapterError(str(folder), problem, fix)
        return adapter

    def _problem(self) -> str | None:
        """What makes this adapter unusable, if anything."""
        if len(self.item_ids) != len(self.item_values):
            return "its items and their values differ in number"
        if self.trust.shape != (len(KNOTS),):
            return f"its trust is of shape {self.trust.shape}, not of {len(KNOTS)} knots"
        numbers = np.concatenate([self.theta, self.item_values, self.trust, list(self.groups.values())])
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


def encoder_lock(encoder: Any, features: object) -> dict[str, str]:
    """A lock on whose vectors something was solved for, by the encoder's fingerprint, and on how its own features are made.

    Args:
        encoder: has a fingerprint.
        features: JSON that says it.
    """
    reading = {name: value for name, value in encoder.fingerprint.items() if name != "tokenizer"}
    digests = {name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
               for name, value in (("encoder", reading), ("features", features))}
    return {**digests, "tokenizer": encoder.fingerprint["tokenizer"]}
