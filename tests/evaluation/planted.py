"""A small shop whose stores are known exactly, and a base that knows nothing but popularity.

Planted: every store sells some items more and others less than the shop, and a shopper goes to one store only. Where
something is known of a shopper, base and shots together are better than either; where nothing is, counting the shots does
as well. `till` is drawn at random for every basket, so it says nothing. Shoppers from the north like two items; nobody
comes from nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from types import SimpleNamespace

import numpy as np
import polars as pl

from recsys_core.adaptation.closed_form import Strengths
from recsys_core.adaptation.items import ItemPrior
from recsys_core.adaptation.study import Study
from recsys_core.evaluation.contestants import Adaptation
from recsys_core.ingestion.config import FamilySpec, SegmentSpec
from recsys_core.interactions.arrays import Catalogue, Histories, make_interactions
from recsys_core.interactions.windows import BASE, Window, WindowConfig, plan_windows
from recsys_core.schema import INTERACTIONS, SEGMENT_EVENTS
from tests.adaptation.planted import DAY, LOCK, likes, make_catalogue

DAYS, USERS = 70, 360
STORES, TILLS = 120, 4
FAMILIES = [FamilySpec(name="store", by="context.store"), FamilySpec(name="till", by="context.till")]
SEGMENTS = [SegmentSpec(name="north", kind="custom", where="users.region = 'north'"),
            SegmentSpec(name="kitchen", kind="domain", where="items.category = 'kitchen'"),
            SegmentSpec(name="nowhere", kind="custom", where="users.region = 'atlantis'")]


class PopularityRanker:
    """Scores by how often each item was taken before its cut-off, and prefers what the history holds."""

    def __init__(self, items: np.ndarray, newest: int, size: int) -> None:
        self.counts = SimpleNamespace(popularity=np.bincount(items, minlength=size).astype(np.float32), newest=newest)

    def score(self, histories: Histories, now: int | None = None) -> np.ndarray:
        scores = np.tile(np.log(self.counts.popularity + 0.5), (len(histories), 1))
        row = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
        scores[row, histories.items] += 2.5
        return scores.astype(np.float32)


@dataclass(frozen=True)
class PlantedBase:
    """What a study asks of a base model's artefact."""

    catalogue: Catalogue
    interactions: pl.DataFrame
    plan: dict[str, Window]
    lock = LOCK

    @cached_property
    def summary(self) -> dict:
        return {"encoder_cutoff": self.plan[BASE].support_start}

    @cached_property
    def _events(self):
        return make_interactions(self.interactions, self.catalogue)

    def ranker(self, cutoff: int) -> PopularityRanker:
        train = self._events.before(cutoff)
        return PopularityRanker(train.item, int(train.timestamp.max()), len(self.catalogue))

    def serving(self) -> PopularityRanker:
        return self.ranker(int(self._events.timestamp.max()) + 1)


@cache
def tables(seed: int = 0) -> SimpleNamespace:
    """The catalogue and the shop's tables."""
    rng, catalogue = np.random.default_rng(seed), make_catalogue()
    everywhere = rng.normal(0, 1.2, len(catalogue))
    tastes = [taste / taste.sum() for taste in np.exp(everywhere + rng.normal(0, 1.3, (STORES, len(catalogue))))]
    north = likes(catalogue, items=[5, 77], factor=2000)
    rows, users = [], [(f"u{user:03d}", "north" if user % 4 == 0 else "south") for user in range(USERS)]
    for place, (user, region) in enumerate(users):
        store = place % STORES
        favourites = rng.choice(len(catalogue), 2, replace=False).tolist()
        own = 0.7 * tastes[store] + 0.3 * likes(catalogue, items=favourites, factor=1e4)
        for day in np.flatnonzero(rng.random(DAYS) < 0.25):
            taste = north if region == "north" and rng.random() < 0.3 else own
            second = int(day) * DAY + int(rng.integers(DAY // 2))
            context = f'{{"store": "s{store}", "till": "{rng.integers(TILLS)}"}}'
            rows += [(user, catalogue.item_ids[item], second, context, f"{user}-{day}")
                     for item in rng.choice(len(catalogue), 2, replace=False, p=taste)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "second", "context", "session_id"], orient="row")
    interactions = frame.with_row_index("n").with_columns(
        pl.format("e{}", "n").alias("event_id"), pl.from_epoch("second").dt.replace_time_zone("UTC").dt.cast_time_unit("us")
        .alias("timestamp"), pl.lit("purchase").alias("event_type")).select(*INTERACTIONS)
    joined = interactions.join(catalogue.items.select("item_id", "category"), on="item_id")
    belongs = {"north": interactions.filter(pl.col("user_id").is_in([user for user, region in users if region == "north"])),
               "kitchen": joined.filter(pl.col("category") == "kitchen")}
    events = pl.concat([pl.DataFrame(schema=SEGMENT_EVENTS), *(
        found.select(pl.lit(name).alias("segment"), "event_id") for name, found in belongs.items())])
    return SimpleNamespace(catalogue=catalogue, interactions=interactions, segment_events=events,
                           users=pl.DataFrame(users, schema=["user_id", "region"], orient="row"))


def planted_study(interactions: pl.DataFrame | None = None, seed: int = 0) -> Study:
    """A study of the shop, or of other events in it."""
    found = tables(seed)
    interactions = found.interactions if interactions is None else interactions
    plan = plan_windows(0, DAYS * DAY - 1, SEGMENTS, WindowConfig(), families=[family.name for family in FAMILIES])
    return Study(PlantedBase(found.catalogue, interactions, plan), interactions, found.segment_events, SEGMENTS, FAMILIES,
                 found.users)


FITTING, STIFF = ItemPrior(1.0, 0.0), ItemPrior(30.0, 0.0)  # stores differ as much as the first expects


def adaptation(study: Study, trust=(1, 1, 1, 1, 1, 1, 1), items: ItemPrior = FITTING) -> Adaptation:
    """Single items are tilted, and trusted so far at each knot."""
    groups = (None,) * len(study.base.catalogue.groups)
    return Adaptation(Strengths(groups, None, items), np.array(trust, np.float32))


def about(study: Study, name: str, **changes) -> dict:
    """What the segment.json of an adapter with single items holds."""
    made, window = adaptation(study), study.window(name)
    return {"segment": name, "by": study.by(name), "kind": study.kind(name), "method": "counts", "reason": "",
            "shots": len(study.shots(name, window.report_end)), "members": len(study.codes(name)[1]),
            "strengths": made.strengths.to_json(), "trust": made.trust.tolist(), "lock": study.base.lock,
            "window": window.to_dict(), **changes}


def with_base(study: Study, **changes) -> Study:
    """The same study on a base that differs in something."""
    study.base = replace(study.base, **changes)
    return study
