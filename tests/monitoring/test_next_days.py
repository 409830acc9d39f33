"""Days judged as served: known answers, equal questions for all, and no day twice."""

from datetime import UTC, date, datetime, timedelta
from math import log2

import polars as pl
import pytest

from recsys_core.artefacts import read_json
from recsys_core.evaluation import NIGHTS
from recsys_core.monitoring.next_days import NextDaysConfig, judge_day, write_next_days
from tests.serving.tiny import tiny_events

CONFIG = NextDaysConfig()


def events(*rows: tuple[str, str, datetime]) -> pl.DataFrame:
    """The tiny shop's events, and more: (shopper, item, time)."""
    more = pl.DataFrame([{"event_id": f"n{n}", "user_id": user, "item_id": item, "timestamp": at, "event_type": "purchase",
                          "session_id": "n"} for n, (user, item, at) in enumerate(rows)])
    return pl.concat([tiny_events(), more]).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")), context=pl.lit(None, pl.String))


@pytest.fixture
def after(bundle) -> datetime:
    """Noon of the first day that the bundle does not know."""
    return datetime.combine(bundle.parts.newest_day + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=12)


def test_what_was_served_is_found_where_its_list_has_it(bundle, after):
    history = [{"item_id": "k0", "event_type": "purchase", "timestamp": after - timedelta(hours=1)}]
    first = bundle.recommend(history, 10, at=after, segment="auto")[0].item_id
    found = judge_day({"served": bundle}, events(("new", "k0", after - timedelta(hours=1)), ("new", first, after)), after.date(),
                      "UTC", CONFIG)
    cold = [one.item_id for one in bundle.recommend([], 10, at=after - timedelta(hours=1), segment="auto")]
    start = 1 / log2(cold.index("k0") + 2) if "k0" in cold else 0.0
    assert (found["questions"], found["shoppers"]) == (2, 1)
    assert found["served"] == pytest.approx((1 + start) / 2)


def test_rivals_count_up_to_the_evening_before(bundle, after):
    # t0 is the most popular item by far; today's own purchases of d3 do not count.
    rows = [(f"x{n}", "d3", after - timedelta(hours=2)) for n in range(90)]
    found = judge_day({"served": bundle}, events(*rows, ("new", "t0", after)), after.date(), "UTC", CONFIG)
    assert found["questions"] == 91
    assert found["popularity"] == pytest.approx(found["personal_frequency"])  # nobody asked has a history
    assert found["popularity"] < 0.5


def test_an_item_that_the_bundle_does_not_know_is_a_miss_for_it(bundle, after):
    found = judge_day({"served": bundle}, events(("u00", "brand-new", after)), after.date(), "UTC", CONFIG)
    assert found["served"] == 0.0
    assert found["questions"] == 1


def test_only_the_first_day_is_fresh_and_there_the_base_alone_is_asked_too(bundle, after, tmp_path):
    known = events(("u00", "t0", after), ("u01", "t0", after + timedelta(days=1))).lazy()
    first, second = write_next_days(tmp_path, bundle, known, tmp_path / "none", "UTC", CONFIG)
    assert (first["fresh"], second["fresh"]) == (True, False)
    assert 0 <= first["base"] <= 1
    assert "base" not in second


def test_the_base_alone_answers_without_adapters(bundle, after, monkeypatch):
    asked = []
    recommend = type(bundle).recommend
    monkeypatch.setattr(type(bundle), "recommend", lambda self, *args, segment=None, **more: asked.append(segment) or recommend(
        self, *args, segment=segment, **more))
    judge_day({"served": bundle, "base": bundle}, events(("u00", "t0", after)), after.date(), "UTC", CONFIG)
    assert asked == ["auto", None]


def test_days_are_judged_once_and_kept(bundle, after, tmp_path):
    known = events(("u00", "t0", after), ("u01", "t0", after + timedelta(days=1)))
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "three").mkdir()
    evening = known.filter(pl.col("timestamp") <= after).lazy()
    first = write_next_days(tmp_path / "one", bundle, evening, tmp_path / "none", "UTC", CONFIG)
    assert [row["day"] for row in first] == [str(after.date())]
    again = write_next_days(tmp_path / "two", bundle, known.lazy(), tmp_path / "one", "UTC", CONFIG)
    assert [(row["day"], row["fresh"]) for row in again] == [(str(after.date() + timedelta(days=1)), False)]
    rows = read_json(tmp_path / "two" / NIGHTS)
    assert rows == [*first, *again]
    assert [row["day"] for row in rows] == [str(after.date()), str(after.date() + timedelta(days=1))]
    assert write_next_days(tmp_path / "three", None, known.lazy(), tmp_path / "two", "UTC", CONFIG) == []
    assert read_json(tmp_path / "three" / NIGHTS) == rows  # no champion: what was judged stays
    assert date.fromisoformat(rows[-1]["day"]) > bundle.parts.newest_day
