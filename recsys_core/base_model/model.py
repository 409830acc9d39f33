"""The base model as one artefact: item vectors, windows, a ranker per cut-off, the click head, the lock.

For every window there are three rankers, as a night's refit would have left them when its support, its gate and its
report began: each has seen nothing later, so days after it can be judged with it. Their blend is chosen once, on the days
before the support. What ships (`serving`) is refitted through the newest day with the newest blend, and never judged.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, Field

from recsys_core.artefacts import read_json, write_json
from recsys_core.base_model.click import ClickConfig, ClickModel, fit_click_model
from recsys_core.base_model.fit import fit_ranker
from recsys_core.base_model.ranker import Ranker, RankerConfig
from recsys_core.errors import DataError, LeakageError, ModelError
from recsys_core.ingestion import SegmentSpec
from recsys_core.interactions import (
    BASE,
    Catalogue,
    Interactions,
    Window,
    WindowConfig,
    make_interactions,
    make_queries,
    plan_windows,
)
from recsys_core.schema import INTERACTIONS
from recsys_core.text_encoder import UNKNOWN_LIMIT, Encodes, NgramReader, TextEncoder, VectorCache, cached_encode, check_reading

log = logging.getLogger(__name__)

SERVING = "serving"


class BaseConfig(BaseModel, frozen=True, extra="forbid"):
    """How the base model is built."""

    ranker: RankerConfig = RankerConfig()
    click: ClickConfig = ClickConfig()
    validation_queries: int = Field(500, ge=10, description="steps before each cut-off that choose the blend")
    seed: int = 0


@dataclass(frozen=True)
class BaseModelArtefact:
    """A built base model on disk; its pieces load when asked for."""

    folder: Path

    @cached_property
    def catalogue(self) -> Catalogue:
        from safetensors.numpy import load_file

        items = pl.read_parquet(self.folder / "items.parquet", glob=False)
        arrays = load_file(str(self.folder / "vectors.safetensors"))
        return Catalogue(items, arrays["text_of_item"], arrays["vectors"])

    @cached_property
    def summary(self) -> dict:
        """Plan, lock, encoder cut-off, sizes and the share of unknown tokens, as written by `build_base`."""
        return read_json(self.folder / "base.json")

    @property
    def lock(self) -> dict[str, str]:
        return self.summary["lock"]

    @property
    def plan(self) -> dict[str, Window]:
        return {name: Window(**window) for name, window in self.summary["plan"].items()}

    @property
    def reads_texts(self) -> bool:
        """Whether the item vectors are the encoder's; hashed words and character pairs otherwise."""
        return self.summary["unknown_share"] <= UNKNOWN_LIMIT

    def ranker(self, cutoff: int) -> Ranker:
        """The ranker as a night's refit would have left it: it has seen nothing from `cutoff` (seconds) on.

        Cut-offs are the starts of the support, gate and report windows of the plan.
        """
        return Ranker.load(self.folder / "rankers" / str(cutoff), self.catalogue)

    def serving(self) -> Ranker:
        """The ranker that ships."""
        return Ranker.load(self.folder / "rankers" / SERVING, self.catalogue)

    def click(self, name: str) -> ClickModel | None:
        """The click head: "judged" or "serving"; None in a shop without impressions."""
        place = self.folder / "click" / name
        return ClickModel.load(place) if place.is_dir() else None


def make_catalogue(items: pl.DataFrame, encoder: Encodes, cache: VectorCache) -> Catalogue:
    """Encode every distinct item text once; N items share M ≤ N vectors."""
    texts = items["text"].unique().sort()
    rows = pl.DataFrame({"text": texts}).with_row_index("row")
    text_of_item = items.select("text").join(rows, on="text", how="left", maintain_order="left")["row"]
    vectors = cached_encode(encoder, texts.to_list(), cache)
    return Catalogue(items, text_of_item.to_numpy().astype(np.int32), vectors)


def make_lock(encoder: Encodes, part_names: tuple[str, ...]) -> dict[str, str]:
    """What an adapter is locked to: the encoder's weights and reading, the tokenizer, the features."""
    features = {"interactions": {c: str(t) for c, t in INTERACTIONS.items()}, "parts": list(part_names)}
    return {**lock_encoder(encoder.fingerprint), "features": _digest(features)}


def lock_encoder(fingerprint: Mapping[str, Any]) -> dict[str, str]:
    """The encoder's part of a lock, from its fingerprint: two encoders with the same write vectors of one space."""
    return {"encoder": _digest({name: value for name, value in fingerprint.items() if name != "tokenizer"}),
            "tokenizer": str(fingerprint["tokenizer"])}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def plan_shop(interactions: pl.DataFrame, segments: list[SegmentSpec], config: WindowConfig, *,
              families: Sequence[str] = (), time_zone: str, order_only: bool) -> dict[str, Window]:
    """The windows of a shop, from its first and last positive event.

    Args:
        interactions: `schema.INTERACTIONS`.
        segments: the shop's segments.
        config: lengths of the windows.
        families: the names of the shop's families.
        time_zone: IANA zone of the shop's days.
        order_only: the shop has positions, no times.

    Raises:
        DataError: if there is no positive event at all.
    """
    if interactions.is_empty():
        raise DataError("interactions", "no positive event", "check the shop's event types and item ids")
    first, last = interactions.select(pl.col("timestamp").min().dt.epoch("s").alias("first"),
                                      pl.col("timestamp").max().dt.epoch("s").alias("last")).row(0)
    return plan_windows(first, last, segments, config, families=families, time_zone=time_zone, order_only=order_only)


def build_base(folder: Path, *, encoder: TextEncoder, encoder_cutoff: int, items: pl.DataFrame,
               interactions: pl.DataFrame, exposures: pl.DataFrame, item_features: pl.DataFrame,
               plan: dict[str, Window], cache: VectorCache, config: BaseConfig) -> dict:
    """Fit the ranker at every cut-off of the plan and the one that ships, and write them below `folder`.

    Args:
        folder: where the base model is written.
        encoder: where its vocabulary lacks the shop's words, hashed words and character pairs take its place.
        encoder_cutoff: seconds; the encoder was fine-tuned on nothing from there on.
        items: `schema.CLEAN_ITEMS` plus the shop's columns.
        interactions: `schema.INTERACTIONS`.
        exposures: `schema.EXPOSURES`.
        item_features: `schema.ITEM_FEATURES`.
        plan: name → windows, as of `plan_shop`.
        cache: where vectors of texts that were read before are.
        config: how the ranker and the click head are fitted.

    Returns:
        the summary that is also written to base.json.

    Raises:
        LeakageError: if the encoder saw days that a window of the plan judges.
    """
    earliest = min(window.support_start for window in plan.values())
    if encoder_cutoff > earliest:
        raise LeakageError("text encoder", f"was tuned on days up to {encoder_cutoff}, but a window starts at "
                           f"{earliest}", "fine-tune it again (materialize text_encoder)")
    unknown = check_reading(encoder, items["text"].unique().sort().to_list())
    reader = encoder if unknown <= UNKNOWN_LIMIT else NgramReader(encoder)
    catalogue = make_catalogue(items, reader, cache)
    events = make_interactions(interactions, catalogue)
    blends: dict[tuple[int, int], np.ndarray] = {}
    for window in plan.values():
        chosen_on = (window.validation_start, window.support_start)
        if chosen_on not in blends:
            blends[chosen_on] = _choose_blend(events, catalogue, window, config)
        for cutoff in (window.support_start, window.gate_start, window.report_start):
            place = folder / "rankers" / str(cutoff)
            if not place.exists():
                log.info("ranker: counts up to %d", cutoff)
                fit_ranker(events.before(cutoff), catalogue, config.ranker, weights=blends[chosen_on]).save(place)
    newest = plan[BASE]
    serving = fit_ranker(events, catalogue, config.ranker,
                         weights=blends[newest.validation_start, newest.support_start])
    serving.save(folder / "rankers" / SERVING)
    _fit_clicks(folder, exposures, item_features, plan[BASE], config)
    write_catalogue(folder, catalogue)
    summary = {
        "lock": make_lock(reader, serving.part_names), "encoder_cutoff": encoder_cutoff,
        "plan": {name: window.to_dict() for name, window in plan.items()},
        "items": len(catalogue), "distinct_texts": len(catalogue.vectors),
        "unknown_share": unknown, "events": len(events),
        "users": len(events.user_ids), "through": int(events.timestamp.max()),
        "weights": {name: [round(float(w), 4) for w in own]
                    for name, own in zip(serving.part_names, serving.weights.T, strict=True)},
    }
    write_json(folder / "base.json", summary)
    return summary


def _choose_blend(events: Interactions, catalogue: Catalogue, window: Window, config: BaseConfig) -> np.ndarray:
    """The weights [knots, P] that explain the days before a window's support, counts being of the days before those."""
    cutoff, rng = window.support_start, np.random.default_rng(config.seed)
    validation = make_queries(events.before(cutoff), window.validation_start, cutoff,
                              max_queries=config.validation_queries, rng=rng)
    log.info("blend before %d: %d steps", cutoff, len(validation))
    return fit_ranker(events.before(window.validation_start), catalogue, config.ranker, validation=validation).weights


def _fit_clicks(folder: Path, exposures: pl.DataFrame, item_features: pl.DataFrame, window: Window,
                config: BaseConfig) -> None:
    """The click head before the gate window, and the one that ships; none where too little was shown."""
    gate = pl.from_epoch(pl.lit(window.gate_start), "s").dt.replace_time_zone("UTC")
    judged = exposures.filter(pl.col("timestamp") < gate)
    known = item_features.filter(pl.col("day") < gate.dt.date())
    for name, rows, counts in (("judged", judged, known), (SERVING, exposures, item_features)):
        try:
            fit_click_model(rows, config.click, counts).save(folder / "click" / name)
        except ModelError as error:  # a shop that shows nothing, or too little, has no click head
            log.info("no click head (%s): %s", name, error)


def write_catalogue(folder: Path, catalogue: Catalogue) -> None:
    """items.parquet and vectors.safetensors, as `BaseModelArtefact.catalogue` reads them."""
    from safetensors.numpy import save_file

    catalogue.items.write_parquet(folder / "items.parquet")
    save_file({"vectors": catalogue.vectors, "text_of_item": catalogue.text_of_item},
              str(folder / "vectors.safetensors"))
