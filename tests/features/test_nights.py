"""Night by night, late, broken off or all at once: the feature tables are the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from recsys_core.artefacts import folder_hash
from recsys_core.fan_out import IN_PROCESS
from recsys_core.features import totals
from recsys_core.features.night import Night
from recsys_core.features.store import FeatureConfig, Inputs, Made, build_features
from recsys_core.ingestion.config import SegmentSpec
from recsys_core.schema import CLEAN_EVENTS, CLEAN_ITEMS, FEATURE_TABLES
from tests.elsewhere import Elsewhere

DAYS, ITEMS, USERS = 14, 12, 15
SEGMENTS = (SegmentSpec(name="dear", kind="domain", where="items.price > 5"),
            SegmentSpec(name="north", kind="custom", where="users.region = 'north'"),
            SegmentSpec(name="new", kind="new_users", first_days=6))


def catalogue() -> pl.DataFrame:
    rows = [{"item_id": f"i{n:02d}", "title": f"thing {n}", "price": float(n)} for n in range(ITEMS)]
    return pl.DataFrame(rows, schema=CLEAN_ITEMS)


def shoppers() -> pl.DataFrame:
    return pl.DataFrame({"user_id": [f"u{n:02d}" for n in range(USERS)], "region": ["north", "south", "west"] * (USERS // 3)})


INPUTS = Inputs(catalogue(), shoppers(), SEGMENTS)


def day_of(n: int, seed: int = 0) -> pl.DataFrame:
    """One clean day: impressions, clicks and purchases; some sessions go on after midnight."""
    rng, today = np.random.default_rng([seed, n]), date(2024, 1, 1) + timedelta(days=n)
    rows = []
    for visit in range(6):
        user, session = f"u{rng.integers(min(USERS, 4 + n)):02d}", f"s{n}-{visit}"
        at = datetime(today.year, today.month, today.day, 9 + visit, tzinfo=UTC)
        for slot in range(4):
            item = f"i{rng.integers(ITEMS):02d}"
            kinds = ["impression", *(["click"] if rng.random() < 0.5 else []), *(["purchase"] if rng.random() < 0.4 else [])]
            rows += [(user, at + timedelta(minutes=slot, seconds=10 * k), kind, item, session) for k, kind in enumerate(kinds)]
    rows.append((f"u{n % 4:02d}", datetime(today.year, today.month, today.day, 23, 50, tzinfo=UTC), "impression", "i01", f"m{n}"))
    rows.append((f"u{(n - 1) % 4:02d}", datetime(today.year, today.month, today.day, 0, 10, tzinfo=UTC), "purchase", "i01",
                 f"m{n - 1}"))
    frame = pl.DataFrame(rows, schema=["user_id", "timestamp", "event_type", "item_id", "session_id"], orient="row").with_columns(
        event_id=pl.concat_str(pl.lit(f"{n}-{seed}-"), pl.int_range(pl.len()).cast(pl.String)), day=pl.lit(today),
        price=pl.lit(0.1), quantity=pl.lit(3.0), source=pl.lit("drop"))
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in CLEAN_EVENTS.items() if name not in frame.columns]
    return frame.with_columns(missing).select(pl.col(name).cast(dtype) for name, dtype in CLEAN_EVENTS.items()).sort(
        "user_id", "timestamp", "event_id")


def write_day(folder: Path, n: int, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{date(2024, 1, 1) + timedelta(days=n)}.parquet"
    day_of(n, seed).write_parquet(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def night(place: Path, inputs: Inputs = INPUTS, asked=tuple(FEATURE_TABLES), fan_out=IN_PROCESS, **config) -> dict[str, Made]:
    days = {path.stem: path for path in (place / "clean").glob("*.parquet")}
    return build_features(place / "features", days, inputs, FeatureConfig(**config), asked, fan_out)


def published(place: Path) -> dict[str, str]:
    return {table: folder_hash(place / "features" / table) for table in FEATURE_TABLES}


@pytest.fixture(autouse=True)
def _runs_of_few_days(monkeypatch):
    monkeypatch.setattr(totals, "FAN_OUT", 3)  # three levels within a few weeks


@pytest.fixture
def whole(tmp_path) -> Path:
    """All days, built at once."""
    for n in range(DAYS):
        write_day(tmp_path / "whole" / "clean", n)
    night(tmp_path / "whole")
    return tmp_path / "whole"


def test_night_by_night_is_the_same_as_all_at_once(whole, tmp_path):
    place = tmp_path / "nights"
    for n in range(DAYS):
        write_day(place / "clean", n)
        made = night(place)
    assert published(place) == published(whole)
    assert {name: table.computed for name, table in made.items()} == {
        "item_features": 1, "segment_events": 1, "interactions": 1, "exposures": 2}  # a session went on past midnight


def test_the_tables_do_not_depend_on_how_many_days_are_computed_at_once(whole, tmp_path):
    for events in (1, 100):
        shutil.rmtree(tmp_path / "whole" / "features" / ".partials")
        before = published(whole)
        night(whole, batch_events=events, threads=1)
        assert published(whole) == before


def test_the_tables_do_not_depend_on_where_they_are_computed(whole, tmp_path):
    shutil.copytree(tmp_path / "whole" / "clean", tmp_path / "other" / "clean")
    elsewhere = Elsewhere()
    night(tmp_path / "other", fan_out=elsewhere, batch_events=100)
    assert published(tmp_path / "other") == published(whole)
    assert sorted(path.relative_to(whole) for path in whole.rglob("*")) == sorted(
        path.relative_to(tmp_path / "other") for path in (tmp_path / "other").rglob("*"))  # nobody else left anything
    assert elsewhere.tasks[0] == elsewhere.tasks[1] > 2  # totals, then tables


def test_a_night_without_news_computes_nothing(whole):
    made = night(whole)
    assert {table.computed for table in made.values()} == {0}
    assert made == {name: Made(table.rows, table.hash, DAYS, 0) for name, table in made.items()}


def test_a_late_day_is_made_again_with_what_depends_on_it(whole, tmp_path):
    place, late = tmp_path / "nights", DAYS - 3
    for n in range(DAYS):
        write_day(place / "clean", n, seed=int(n == late))
    night(place)
    assert published(place) != published(whole)
    write_day(place / "clean", late)
    made = night(place)
    assert published(place) == published(whole)
    assert made["item_features"].computed == made["interactions"].computed == 1
    assert made["segment_events"].computed == 3  # its own day, and those after it: who is new may be another
    assert made["exposures"].computed == 4  # and the day before it, whose last session it ends


@pytest.mark.parametrize("first", [0, DAYS // 2, DAYS - 1])
def test_a_day_that_comes_last_or_is_taken_back_leaves_no_trace(whole, tmp_path, first):
    place = tmp_path / "nights"
    for n in range(DAYS):
        if n != first:
            write_day(place / "clean", n)
    night(place)
    without = published(place)
    write_day(place / "clean", first)
    night(place)
    assert published(place) == published(whole)
    (place / "clean" / f"{date(2024, 1, 1) + timedelta(days=first)}.parquet").unlink()
    night(place)
    assert published(place) == without


@pytest.mark.parametrize("lost", ["exposures", ".partials/exposures", ".partials/totals", ".partials/ledger.json",
                                  "features.duckdb"])
def test_what_is_deleted_is_made_again(whole, lost):
    before, place = published(whole), whole / "features" / lost
    if place.is_dir():
        for path in sorted(place.iterdir())[2:5]:
            path.unlink()
    else:
        place.unlink()
    night(whole)
    assert published(whole) == before and (whole / "features" / "features.duckdb").exists()


def test_an_item_that_changes_or_leaves_makes_only_its_days_again(whole, tmp_path):
    rare = pl.concat([catalogue(), catalogue().head(1).with_columns(item_id=pl.lit("rare"), price=pl.lit(9.0))])
    rows = day_of(5).with_columns(item_id=pl.when(pl.col("event_id") == "5-0-0").then(pl.lit("rare")).otherwise("item_id"))
    place = tmp_path / "whole" / "clean" / "2024-01-06.parquet"
    rows.write_parquet(place)
    night(whole, Inputs(rare, shoppers(), SEGMENTS))
    renamed = rare.with_columns(title=pl.lit("another"))
    assert night(whole, Inputs(renamed, shoppers(), SEGMENTS))["segment_events"].computed == 0  # no condition reads titles
    cheap = rare.with_columns(price=pl.when(pl.col("item_id") == "rare").then(1.0).otherwise("price"))
    made = night(whole, Inputs(cheap, shoppers(), SEGMENTS))
    assert (made["segment_events"].computed, made["interactions"].computed) == (1, 0)
    made = night(whole)
    assert (made["segment_events"].computed, made["interactions"].computed) == (1, 1)
    before = published(whole)
    shutil.rmtree(whole / "features")
    night(whole)
    assert published(whole) == before


def test_the_first_purchase_of_a_shop_changes_what_an_impression_should_lead_to(tmp_path):
    for n in range(3):
        write_day(tmp_path / "clean", n)
        path = tmp_path / "clean" / f"2024-01-0{n + 1}.parquet"
        pl.read_parquet(path).filter(pl.col("event_type") != "purchase").write_parquet(path)
    night(tmp_path)
    write_day(tmp_path / "clean", 3)
    assert night(tmp_path)["exposures"].computed == 4
    before = published(tmp_path)
    shutil.rmtree(tmp_path / "features")
    night(tmp_path)
    assert published(tmp_path) == before


KILLED = """
import os, signal, sys
from recsys_core import artefacts
from recsys_core.features import totals
from tests.features import test_nights
totals.FAN_OUT = 3
left = [int(sys.argv[2])]
def replace(source, target, real=os.replace):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)
artefacts.os.replace = replace
test_nights.night(test_nights.Path(sys.argv[1]))
"""


@pytest.mark.parametrize("renames", [0, 1, 4, 6, 8, 10, 11])
def test_a_night_that_is_killed_publishes_nothing_by_halves_and_the_next_one_ends_it(whole, tmp_path, renames):
    place = tmp_path / "nights"
    for n in range(DAYS - 1):
        write_day(place / "clean", n)
    night(place)
    write_day(place / "clean", DAYS - 1)
    done = subprocess.run([sys.executable, "-c", KILLED, str(place), str(renames)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert done.returncode == -signal.SIGKILL, done.stderr
    for table in FEATURE_TABLES:
        for path in (place / "features" / table).glob("[!.]*"):
            pl.read_parquet(path)  # whole files only
    night(place)
    assert published(place) == published(whole)


def test_a_night_between_computing_and_publishing_loses_nothing(whole, tmp_path, monkeypatch):
    place = tmp_path / "nights"
    for n in range(DAYS - 1):
        write_day(place / "clean", n)
    night(place)
    before = published(place)
    write_day(place / "clean", DAYS - 1)
    with monkeypatch.context() as patch:
        patch.setattr(Night, "publish", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            night(place)
    assert published(place) == before
    assert {table.computed for table in night(place).values()} == {0}
    assert published(place) == published(whole)


def test_only_the_asked_table_moves(whole):
    write_day(whole / "clean", DAYS)
    before = published(whole)
    assert list(night(whole, asked=("exposures",))) == ["exposures"]
    after = published(whole)
    assert {table for table in FEATURE_TABLES if after[table] != before[table]} == {"exposures"}


def test_a_home_with_wild_letters_in_its_name_works(tmp_path):
    place = tmp_path / "it's [a] *home"
    for n in range(3):
        write_day(place / "clean", n)
    made = night(place)
    with duckdb.connect(str(place / "features" / "features.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM interactions").fetchone() == (made["interactions"].rows,)
