"""A shop taken through cleaning and features as the chain does it, without folders of its own; kept on disk."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from benchmarks.rankings.questions import PLACE, frozen_catalogue
from benchmarks.record import ROOT
from recsys_core.artefacts import staged_folder
from recsys_core.cleaning import CleaningConfig, clean_days, clean_items
from recsys_core.errors import RecsysError
from recsys_core.features import FeatureConfig, Inputs, build_features, candidate_items, read_features
from recsys_core.ingestion import SegmentSpec, ShopConfig, open_shop
from recsys_core.interactions import Catalogue, Interactions, make_interactions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CleanShop:
    """A shop's catalogue (frozen vectors), events and members of its segments.

    Args:
        items: clean items. interactions, segment_events: feature tables. config, users: the shop's own.
        segments: specifications of the segments.
    """

    config: ShopConfig
    users: pl.DataFrame | None

    items: pl.DataFrame
    interactions: pl.DataFrame
    segment_events: pl.DataFrame
    segments: tuple[SegmentSpec, ...]

    @cached_property
    def catalogue(self) -> Catalogue:
        return frozen_catalogue(self.items)

    @cached_property
    def events(self) -> Interactions:
        return make_interactions(self.interactions, self.catalogue)

    def member(self, segment: str) -> np.ndarray:
        """bool [E]: the events of a segment."""
        ids = self.segment_events.filter(pl.col("segment") == segment)["event_id"]
        return self.interactions["event_id"].is_in(ids.implode()).to_numpy()[self.events.row]

    @cached_property
    def domains(self) -> dict[str, np.ndarray]:
        """bool [N] per domain: its items."""
        return candidate_items(self.items, self.segments)


def clean_shop(folder: Path | None, extra: tuple[SegmentSpec, ...] = ()) -> CleanShop:
    """Read, clean and compute the tables of a shop.

    Args:
        folder: with a shop.yaml; None for the embedded shop. extra: segments beside the shop's own.
    """
    shop = open_shop(folder)
    config, items = shop.config, clean_items(shop.items())
    segments = (*config.segments, *extra)
    place = PLACE / "tables" / config.name
    if not place.is_dir():
        log.info("%s: cleaning and features", config.name)
        cleaning = CleaningConfig(time_zone=config.time_zone, lateness_days=config.lateness_days,
                                  order_only=config.order_only)
        raw = {drop.day.isoformat(): drop.events.lazy() for drop in shop.events()}
        with tempfile.TemporaryDirectory() as scratch, staged_folder(place) as staging:
            days = {day: Path(scratch) / f"{day}.parquet" for day in raw}
            for day, made in clean_days(raw, list(raw), items["item_id"], cleaning):
                made.events.write_parquet(days[day])
            build_features(Path(scratch) / "features", days, Inputs(items, shop.users(), segments, config.context),
                           FeatureConfig(order_only=config.order_only), ("interactions", "segment_events"))
            for name in ("interactions", "segment_events"):
                read_features(Path(scratch) / "features", name).collect().write_parquet(staging / f"{name}.parquet")
    tables = (pl.read_parquet(place / f"{name}.parquet") for name in ("interactions", "segment_events"))
    return CleanShop(config, shop.users(), items, *tables,
                     segments)


def retail_shop() -> CleanShop:
    """Online Retail, its countries as context.

    Raises:
        RecsysError: the public data are not there.
    """
    data = Path(os.environ.get("RECSYS_DATA") or ROOT.parent / "shared" / "data") / "online_retail"
    if not data.is_dir():
        raise RecsysError(str(data), "is absent", "set RECSYS_DATA to the folder of the public data")
    folder = PLACE / "online_retail"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shop.yaml").write_text(yaml.safe_dump({"preset": "online_retail", "data": str(data), "name": "online_retail"}))
    return clean_shop(folder)
