"""A list for every shopper with a history, for mails and apps that read a table: what the service would answer, asked for all.

A list depends on the bundle, the shop's rules, and the shopper's own events and thumbs only: it is asked at the bundle's newest
moment, or at the shopper's newest event where that is later. So the same inputs give the same bytes, and after new events under
the same bundle only the lists of those shoppers are asked again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, Field

from recsys_core.answering import BoundRules, Rules
from recsys_core.artefacts import file_hash, read_json, write_json
from recsys_core.errors import RecsysError
from recsys_core.interactions import MAX_HISTORY
from recsys_core.schema import INTERACTIONS, Columns
from recsys_core.serving import MANIFEST, Bundle

log = logging.getLogger(__name__)

LISTS, CHANGED, ABOUT = "lists.parquet", "changed.parquet", "about.json"
LIST_ROW: Columns = {"user_id": pl.String, "rank": pl.Int32, "item_id": pl.String, "score": pl.Float32, "segment": pl.String,
                     "day": pl.Date}
THUMB: Columns = {"user_id": pl.String, "item_id": pl.String, "timestamp": INTERACTIONS["timestamp"]}
USERS_AT_ONCE = 1_000  # whose events and answers are Python objects at a time


class DailyConfig(BaseModel, frozen=True, extra="forbid"):
    """What every list is asked with."""

    k: int = Field(10, ge=1, description="items of a list")
    segment: str | None = Field("auto", description="as that of a request; null: the base")


def write_daily_lists(folder: Path, bundle: Bundle | None, interactions: pl.LazyFrame, previous: Path, config: DailyConfig,
                      since: date | None = None, rules: Rules | None = None,
                      unwanted: Mapping[tuple[str, str], datetime] | None = None) -> dict[str, Any]:
    """Write `lists.parquet` (everybody's), `changed.parquet` (lists whose items or order differ) and `about.json`.

    Args:
        folder: an empty folder.
        bundle: who answers; None: nothing was promoted yet, so nobody has a list.
        interactions: `schema.INTERACTIONS`.
        previous: what this function wrote before; a missing or broken folder counts as empty.
        config: list length and segment.
        since: local day of the shop; only shoppers with events or thumbs from then on, and strangers to `previous`, are asked
            again, the others keep their rows. None, another bundle, `config` or `rules`: everybody is asked.
        rules: business rules that every list keeps.
        unwanted: (user_id, item_id) → when that shopper turned a thumb down; it holds until the shopper takes the item.

    Returns:
        counts: users, asked, changed; and what `about.json` says besides.

    Raises:
        RequestError: a rule names a column that the bundle's items lack.
    """
    about = {"bundle": file_hash(bundle.folder / MANIFEST) if bundle else None, "config": config.model_dump(),
             "rules": rules and hashlib.sha256(rules.model_dump_json().encode()).hexdigest()}
    old, same = _read_previous(previous, about)
    thumbs = pl.DataFrame([(*whose, at) for whose, at in (unwanted or {}).items()], schema=THUMB, orient="row")
    asked, kept = _whom(interactions, thumbs, old if same else None, since, bundle)
    bound = bundle.bind_rules(rules) if bundle and rules else None
    made = [_ask(bundle, block, config, bound) for block in _blocks(interactions, thumbs, asked)] if bundle else []
    lists = pl.concat([pl.DataFrame(schema=LIST_ROW), kept, *made]).sort("user_id", "rank")
    changed = _differing(lists, old)
    lists.write_parquet(folder / LISTS, compression="zstd")
    changed.write_parquet(folder / CHANGED, compression="zstd")
    facts = {**about, "since": str(since) if since and same else None, "users": lists["user_id"].n_unique(),
             "asked": len(asked) if bundle else 0, "changed": changed["user_id"].n_unique()}
    write_json(folder / ABOUT, facts)
    return facts


def _read_previous(folder: Path, about: dict[str, Any]) -> tuple[pl.DataFrame, bool]:
    """The lists as they were, and whether the same bundle gave them the same way."""
    try:
        found, lists = read_json(folder / ABOUT), pl.read_parquet(folder / LISTS, schema=LIST_ROW, glob=False)
    except (RecsysError, OSError, pl.exceptions.PolarsError) as error:
        log.info("no earlier lists: %s", error)
        return pl.DataFrame(schema=LIST_ROW), False
    return lists, {name: found.get(name) for name in about} == about


def _whom(interactions: pl.LazyFrame, thumbs: pl.DataFrame, old: pl.DataFrame | None, since: date | None, bundle: Bundle | None
          ) -> tuple[pl.Series, pl.DataFrame]:
    """User ids to ask for, sorted, and the rows of those who keep their list."""
    users = interactions.select("user_id").unique().collect()["user_id"].sort()
    if old is None or since is None or bundle is None:
        return users, pl.DataFrame(schema=LIST_ROW)
    acts = pl.concat([interactions.select("user_id", "timestamp"), thumbs.lazy().select("user_id", "timestamp")])
    active = acts.filter(pl.col("timestamp").dt.convert_time_zone(str(bundle.parts.router.zone)).dt.date() >= since)
    asked = users.filter(users.is_in(active.select("user_id").unique().collect()["user_id"].implode())
                         | ~users.is_in(old["user_id"].implode()))
    kept = old.filter(pl.col("user_id").is_in(users.implode()) & ~pl.col("user_id").is_in(asked.implode()))
    return asked, kept


def _blocks(interactions: pl.LazyFrame, thumbs: pl.DataFrame, asked: pl.Series) -> Iterator[pl.DataFrame]:
    """What is known of some users at a time: user_id, history (a list of their newest events, oldest first), unwanted (a list
    of item ids, null for none); by user."""
    for start in range(0, len(asked), USERS_AT_ONCE):
        some = asked[start:start + USERS_AT_ONCE]
        events = interactions.filter(pl.col("user_id").is_in(some.implode())).sort("user_id", "timestamp", "item_id", "event_id")
        taken = thumbs.lazy().join(events, on=["user_id", "item_id"]).filter(pl.col("timestamp_right") > pl.col("timestamp"))
        kept_out = thumbs.lazy().join(taken, on=["user_id", "item_id"], how="anti").group_by("user_id").agg(unwanted="item_id")
        yield events.group_by("user_id", maintain_order=True).agg(
            pl.struct("item_id", "event_type", "timestamp").tail(MAX_HISTORY).alias("history")
        ).join(kept_out, on="user_id", how="left", maintain_order="left").collect()


def _ask(bundle: Bundle, block: pl.DataFrame, config: DailyConfig, rules: BoundRules | None) -> pl.DataFrame:
    """The lists of some users, as `LIST_ROW`."""
    rows: list[tuple[Any, ...]] = []
    newest = datetime.fromtimestamp(bundle.parts.ranker.counts.newest, UTC)
    for user_id, history, unwanted in block.iter_rows():
        out = frozenset(unwanted or ())
        at = max(newest, history[-1]["timestamp"])
        found = bundle.recommend(history, config.k + len(out), user_id=user_id, at=at, segment=config.segment, rules=rules)
        answers = [one for one in found if one.item_id not in out][:config.k]
        day = bundle.parts.router.local_day(at.timestamp())
        rows += [(user_id, rank, one.item_id, one.score, one.segment, day) for rank, one in enumerate(answers, 1)]
    return pl.DataFrame(rows, schema=LIST_ROW, orient="row")


def _differing(lists: pl.DataFrame, old: pl.DataFrame) -> pl.DataFrame:
    """The rows of users whose items or order are not what they were."""
    now, before = (frame.group_by("user_id").agg(pl.col("item_id").sort_by("rank").alias(name))
                   for frame, name in ((lists, "now"), (old, "before")))
    same = now.join(before, on="user_id").filter(pl.col("now") == pl.col("before"))["user_id"]
    return lists.filter(~pl.col("user_id").is_in(same.implode()))
