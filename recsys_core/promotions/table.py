"""What is promoted for a request is a part of its score.

Two values per placement and item: whether it is promoted *now* for this request, and how much of the time it *usually*
is. The base's popularity already contains an item's usual promotions, so "now" alone says little: the pair tells a
promotion that is news from one that is always there. What they count is learned in `promotion_weights`.

Rows are integers sorted by context, so that a day's live rows are found once and a request only looks up its own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from recsys_core.artefacts import map_arrays, read_json, staged_folder, write_json
from recsys_core.base_model import catalogue_hash
from recsys_core.errors import ModelError
from recsys_core.interactions import Catalogue

FORMAT = 1
USUAL_DAYS = 56  # what an item's usual promotions are counted over
OPEN = 2**30  # epoch days from −OPEN or to OPEN: that side is open
KEPT_DAYS = 32  # days whose live rows and usual shares are kept in memory
ROWS = {"item": np.int32, "first": np.int32, "last": np.int32, "placement": np.int8, "context": np.int32}


@dataclass(frozen=True)
class _Day:
    """One day's view.

    Args:
        item: int32, the live rows' items.
        bounds: int64 [contexts·placements + 1], where those of each (context, placement) lie.
        usually: float32 [placements, N], the usual shares.
    """

    item: np.ndarray
    bounds: np.ndarray
    usually: np.ndarray


@dataclass(frozen=True)
class Promotions:
    """What a shop promotes where and when, as arrays; see `make_promotions`.

    Args:
        placements: sorted names.
        contexts: what a row's context code stands for; {}: everywhere.
        item: int32 [R], catalogue rows. Rows are sorted by context, placement, item and first day.
        first: int32 [R], days since 1970-01-01, inclusive; −`OPEN` where that side is open.
        last: int32 [R], likewise; `OPEN` where that side is open. Rows of one item, placement and context lie apart.
        placement: int8 [R], places in `placements`.
        context: int32 [R], places in `contexts`.
        begins: the first day of the table, −OPEN if no row has one.
        catalogue: its hash.
        size: N.
    """

    placements: tuple[str, ...]
    contexts: tuple[dict[str, str], ...]
    item: np.ndarray
    first: np.ndarray
    last: np.ndarray
    placement: np.ndarray
    context: np.ndarray
    begins: int
    catalogue: str
    size: int
    _days: dict[int, _Day] = field(init=False, default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.item)

    def grown(self, size: int) -> Promotions:
        """The same for a catalogue with more items at its end, which nothing promotes."""
        return replace(self, size=size)

    @property
    def names(self) -> list[str]:
        """The features' names: promoted_<placement> of all placements, then usually_<placement>."""
        return [f"{kind}_{name}" for kind in ("promoted", "usually") for name in self.placements]

    def features(self, context: Mapping[str, str], day: date) -> dict[str, np.ndarray]:
        """The named values of every item for one request, each float32 [N]; read-only.

        Args:
            context: what the request says. A row holds where all of its keys have the same values.
            day: the request's local day. Promoted: 1 or 0 on this day. Usually: the share of the days of the `USUAL_DAYS`
                before it (of those the table covers, if fewer) and of the table's contexts.
        """
        now, found = self._on(day), {}
        codes = list(self._holding(context))
        for at, name in enumerate(self.placements):
            values = np.zeros(self.size, np.float32)
            for code in codes:
                cell = code * len(self.placements) + at
                values[now.item[now.bounds[cell]:now.bounds[cell + 1]]] = 1.0
            found[f"promoted_{name}"] = values
        return found | {f"usually_{name}": row for name, row in zip(self.placements, now.usually, strict=True)}

    def _holding(self, context: Mapping[str, str]) -> Iterator[int]:
        """The codes of the contexts that a request is in."""
        for keys, codes in self._codes.items():
            values = tuple(context.get(key) for key in keys)
            if values in codes:
                yield codes[values]

    @cached_property
    def _codes(self) -> dict[tuple[str, ...], dict[tuple[str | None, ...], int]]:
        """Names that occur together → their values → the context's code."""
        found: dict[tuple[str, ...], dict[tuple[str | None, ...], int]] = {}
        for code, context in enumerate(self.contexts):
            keys = tuple(sorted(context))
            found.setdefault(keys, {})[tuple(context[key] for key in keys)] = code
        return found

    @cached_property
    def _breadth(self) -> np.ndarray:
        """float64 [contexts]: in how many of the table's contexts a row of each holds, as a share of all of them.
        Everywhere is no place of its own."""
        places = [context for context in self.contexts if context] or [{}]
        within = Counter((keys, tuple(place[key] for key in keys)) for keys in self._codes for place in places
                         if all(key in place for key in keys))
        keys = [tuple(sorted(context)) for context in self.contexts]
        counts = [within[own, tuple(context[key] for key in own)] for own, context in zip(keys, self.contexts, strict=True)]
        return np.array(counts, np.float64) / len(places)

    def _on(self, day: date) -> _Day:
        at = epoch_day(day)
        found = self._days.get(at)
        if found is None:
            live = np.flatnonzero((self.first <= at) & (self.last >= at))
            cell = self.context[live].astype(np.int64) * len(self.placements) + self.placement[live]
            cells = np.arange(len(self.contexts) * len(self.placements) + 1)
            found = _Day(self.item[live], np.searchsorted(cell, cells), self._usually(at))
            found.usually.flags.writeable = False
            while len(self._days) >= KEPT_DAYS:
                self._days.pop(next(iter(self._days)), None)
            self._days[at] = found
        return found

    def _usually(self, at: int) -> np.ndarray:
        """float32 [placements, N]. Where nested contexts promote an item on one day, both count, up to a share of 1."""
        since = max(at - USUAL_DAYS, self.begins)
        rows = np.flatnonzero((self.first < at) & (self.last >= since))
        days = np.minimum(self.last[rows], at - 1) - np.maximum(self.first[rows], since) + 1
        cell = self.placement[rows].astype(np.int64) * self.size + self.item[rows]
        total = np.bincount(cell, days * self._breadth[self.context[rows]], len(self.placements) * self.size)
        share = np.minimum(total / max(at - since, 1), 1.0)
        return share.astype(np.float32).reshape(len(self.placements), self.size)

    def save(self, folder: Path) -> None:
        """Write promotions.json and promotions.safetensors, atomically."""
        with staged_folder(Path(folder)) as staging:
            self.write(staging)

    def write(self, folder: Path) -> None:
        """The same into a folder that exists and that the caller publishes."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in ROWS}, f"{folder}/promotions.safetensors")
        write_json(Path(folder) / "promotions.json", {
            "format": FORMAT, "placements": list(self.placements), "contexts": list(self.contexts),
            "begins": self.begins, "catalogue": self.catalogue})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, first_day: date | None = None) -> Promotions:
        """Read what `save` wrote.

        Args:
            folder: as `save` wrote it.
            catalogue: the one it was made with.
            first_day: only requests of this day or later will be asked: rows that ended more than `USUAL_DAYS` before it
                are left out, which changes no answer.

        Raises:
            ModelError: another format or catalogue, or a broken file.
        """
        folder, fix = Path(folder), "make the promotions again"
        about = read_json(folder / "promotions.json")
        if about.get("format") != FORMAT:
            raise ModelError(str(folder), f"has format {about.get('format')}, this version reads {FORMAT}", fix)
        if about.get("catalogue") != catalogue_hash(catalogue):
            raise ModelError(str(folder), "the promotions were made for another catalogue", fix)
        try:
            rows = map_arrays(folder / "promotions.safetensors")
            arrays = {name: rows[name].astype(dtype, copy=False) for name, dtype in ROWS.items()}
            placements, contexts = tuple(about["placements"]), tuple(about["contexts"])
            begins = int(about["begins"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ModelError(str(folder), f"cannot be read ({type(error).__name__}: {error})", fix) from error
        if first_day is not None:
            kept = arrays["last"] >= epoch_day(first_day) - USUAL_DAYS
            arrays = {name: values[kept] for name, values in arrays.items()}
        limits = {"item": len(catalogue), "placement": len(placements), "context": len(contexts)}
        if len({len(values) for values in arrays.values()}) > 1:
            raise ModelError(str(folder), "its columns differ in length", fix)
        if any(((arrays[name] < 0) | (arrays[name] >= limit)).any() for name, limit in limits.items()):
            raise ModelError(str(folder), "some rows name an item, placement or context that does not exist", fix)
        return cls(placements, contexts, **arrays, begins=begins, catalogue=about["catalogue"], size=len(catalogue))


def make_promotions(table: pl.DataFrame, catalogue: Catalogue) -> Promotions:
    """Number the rows of a promotions table; rows of items outside the catalogue are left out.

    Args:
        table: `schema.RAW_PROMOTIONS`. Overlapping or adjoining rows of one item, placement and context become one.
        catalogue: the N items.
    """
    items = pl.DataFrame({"item_id": catalogue.item_ids}).with_columns(item=pl.int_range(pl.len(), dtype=pl.Int32))
    texts, names = table["context"].unique().sort(), table["placement"].unique().sort()
    codes = pl.DataFrame({"context": texts}).with_columns(code=pl.int_range(pl.len(), dtype=pl.Int32))
    places = pl.DataFrame({"placement": names}).with_columns(place=pl.int_range(pl.len(), dtype=pl.Int8))
    rows = table.join(items, on="item_id").join(codes, on="context", nulls_equal=True).join(places, on="placement").select(
        "item", "place", "code", first=pl.col("first_day").to_physical().fill_null(-OPEN),
        last=pl.col("last_day").to_physical().fill_null(OPEN))
    item, placement, context, first, last = (rows[name].to_numpy() for name in ("item", "place", "code", "first", "last"))
    group = (context.astype(np.int64) * len(names) + placement) * len(catalogue) + item
    order = np.lexsort((first, group))
    kept, last = _merge(group[order], first[order], last[order])
    dated = first[first > -OPEN]
    order = order[kept]
    return Promotions(
        tuple(names), tuple(json.loads(text) if text else {} for text in texts), item[order], first[order], last,
        placement[order], context[order], int(dated.min()) if len(dated) else -OPEN, catalogue_hash(catalogue),
        len(catalogue))


def _merge(group: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join intervals that overlap or adjoin; sorted by group and first day.

    Returns:
        The rows that begin an interval, int64 [k], and the interval's last day, int32 [k].
    """
    if not len(group):
        return np.zeros(0, np.int64), last
    new = np.r_[True, group[1:] != group[:-1]]
    number = np.cumsum(new) - 1  # ascending, so that a running maximum starts afresh in every group
    reached = np.maximum.accumulate(number << 32 | (last.astype(np.int64) + OPEN)) & 0xFFFFFFFF
    begins = np.flatnonzero(new | np.r_[True, first[1:] > reached[:-1] - OPEN + 1])
    return begins, (np.maximum.reduceat(last, begins)).astype(np.int32)


def epoch_day(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - date(1970, 1, 1).toordinal()
