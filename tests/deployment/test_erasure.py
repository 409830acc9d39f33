"""An erased shopper is in no file of the home, does not come back, and what had learned from them is made again."""

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from assets.partitions import Home
from recsys_core.artefacts import one_cycle, read_json
from recsys_core.cleaning import CleaningConfig, clean_days
from recsys_core.cli.main import main
from recsys_core.collection import EventLog, SessionConfig, SqliteSessions, read_erased
from recsys_core.deployment.bundle import write_bundle
from recsys_core.deployment.erasure import erase_user
from recsys_core.deployment.forget import Shopper
from recsys_core.errors import RecsysError
from recsys_core.pseudonyms import PRESENT, PREVIOUS, UserKey, digest_id
from recsys_core.schema import CLEAN_EVENTS
from recsys_core.serving import GOLDEN, Bundle
from recsys_core.signatures import PUBLIC_KEY, own_key
from tests.assets.runs import DAYS, materialize
from tests.serving.tiny import tiny_arguments, use_word_encoder

USER = "erase-me-7f3a"


def plant(home: Home) -> None:
    """The shopper in the users table, among the events of two days, once among those set aside, and in what is collected."""
    shop = home.path.parent / "shop"
    with open(shop / "users.csv", "a") as users:
        users.write(f"{USER},north\n")
    for day in DAYS[2:4]:
        path = shop / "events" / f"{day}.jsonl"
        first = next(row for row in map(json.loads, path.read_text().splitlines()) if row["event_type"] == "purchase")
        with open(path, "a") as drop:
            for n, change in enumerate(({}, {"event_type": "impression"}, {"item_id": "nowhere"})):
                drop.write(json.dumps({**first, "event_id": f"e{day}-{n}", "session_id": None, "user_id": USER, **change}) + "\n")
    log = EventLog(home.path / "collected", UTC, clock=lambda: datetime(2024, 3, 4, 12, tzinfo=UTC).timestamp())
    event = {"event_type": "click", "item_id": "K01"}
    log.add_events([{**event, "user_id": USER}, {**event, "user_id": "u001"}])
    log.add_exposures([{"request_id": "r", "user_id": USER, "items": [{"item_id": "K01", "position": 1}]}])
    SqliteSessions(home.path / "collected" / "sessions.sqlite", SessionConfig()).add(USER, [{**event, "timestamp": 1.0}])


def names(home: Home) -> list[str]:
    """Files of the home that hold the id, tables read."""
    found = []
    for path in sorted(path for path in home.path.rglob("*") if path.is_file()):
        text = path.read_bytes()
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path, glob=False)
            text = "\n".join(map(str, frame.select(pl.col(pl.String)).rows())).encode()
        if USER.encode() in text:
            found.append(path.relative_to(home.path).as_posix())
    return found


def rows_of(home: Home, name: str) -> int:
    """Rows of the home's tables that hold a name."""
    frames = [pl.read_parquet(path, glob=False) for path in home.path.rglob("*.parquet")]
    return sum(frame.filter(pl.col("user_id") == name).height for frame in frames if "user_id" in frame.columns)


def event_ids(home: Home) -> set[str]:
    return {event for path in (home.path / "features").rglob("*.parquet") for frame in [pl.read_parquet(path, glob=False)]
            if "event_id" in frame.columns for event in frame["event_id"]}


@pytest.fixture
def lived(home):
    """A home that knows the shopper."""
    plant(home)
    materialize(home, "ingestion", "cleaning", "features", days=DAYS[:6], with_checks=False)
    return home


def test_nothing_is_left_and_nothing_comes_back(lived, monkeypatch, capsys):
    held = names(lived)
    for part in ("raw/raw_events/", "raw/raw_users", "clean/clean_events/", "clean/quarantined_events/", "features/interactions",
                 "features/exposures", "collected/events/", "collected/exposures/", "collected/sessions.sqlite"):
        assert any(name.startswith(part) for name in held), part
    assert f"e{DAYS[2]}-0" in event_ids(lived)
    others = {path: pl.read_parquet(path).filter(pl.col("user_id") != USER) for path in (lived.path / "clean").rglob("*.parquet")
              if path.parent.name == "clean_events"}
    monkeypatch.setenv("RECSYS_HOME", lived.folder)
    assert main(["erase", USER]) == 0
    told = capsys.readouterr().out
    assert "clean/clean_events" in told and "rows" in told
    assert names(lived) == [] and not {f"e{day}-0" for day in DAYS[2:4]} & event_ids(lived)
    assert all(pl.read_parquet(path).equals(rows) for path, rows in others.items())
    assert "u001" in (lived.path / "collected" / "events" / "2024-03-04.jsonl").read_text()
    assert main(["erase", USER]) == 0 and "nothing was found" in capsys.readouterr().out
    materialize(lived, "ingestion", "cleaning", "features", days=DAYS[:6], with_checks=False)
    assert names(lived) == []


def make_tables(home: Home) -> None:
    """Raw and clean tables of three days as the stages write them, without Dagster."""
    shop, parts = home.open_shop(), {}
    for drop in shop.events(date.fromisoformat(DAYS[1]), date.fromisoformat(DAYS[3])):
        parts[str(drop.day)] = drop.events.lazy()
        write(home.path / "raw" / "raw_events" / f"{drop.day}.parquet", drop.events)
    write(home.path / "raw" / "raw_users.parquet", shop.users())
    for day, cleaned in clean_days(parts, list(parts), shop.items()["item_id"], CleaningConfig()):
        write(home.path / "clean" / "clean_events" / f"{day}.parquet", cleaned.events)
        write(home.path / "clean" / "quarantined_events" / f"{day}.parquet", cleaned.quarantined)


def write(path: Path, frame: pl.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)


def test_under_a_key_no_file_holds_the_id_and_an_erased_shopper_stays_away_over_rotations(home, monkeypatch, capsys):
    keys = [f"key number {n} of the shop" for n in range(3)]
    first, second, third = (UserKey(key.encode()).name(USER) for key in keys)

    def rotate(previous: int | None, present: int) -> None:
        for name, at in ((PREVIOUS, previous), (PRESENT, present)):
            monkeypatch.delenv(name, raising=False) if at is None else monkeypatch.setenv(name, keys[at])

    monkeypatch.setenv("RECSYS_HOME", home.folder)
    monkeypatch.setenv("RECSYS_SHOP", home.shop)
    rotate(None, 0)
    plant(home)
    with open(home.path.parent / "shop" / "events" / f"{DAYS[2]}.jsonl", "a") as drop:
        drop.write('{"broken": "' + USER + '\n')
    assert main(["rekey"]) == 0 and "3 collected lines, 1 sessions" in capsys.readouterr().out  # from before there was a key
    make_tables(home)
    assert names(home) == [] and rows_of(home, first) > 6

    rotate(0, 1)
    make_tables(home)
    assert rows_of(home, second) > rows_of(home, first) > 0  # what was collected under the first key waits
    assert main(["rekey"]) == 0 and "3 collected lines, 1 sessions" in capsys.readouterr().out
    make_tables(home)
    assert rows_of(home, second) > 6 and rows_of(home, first) == 0
    for path in sorted((home.path / "raw" / "raw_events").glob("*.parquet"))[:1]:  # one that nobody made anew
        frame = pl.read_parquet(path)
        write(path, pl.concat([frame, frame.head(1).with_columns(user_id=pl.lit(first))]))
    assert main(["erase", USER]) == 0 and "raw/raw_events" in capsys.readouterr().out
    assert rows_of(home, first) == rows_of(home, second) == 0

    rotate(1, 2)
    make_tables(home)
    assert rows_of(home, third) == 0
    assert main(["rekey"]) == 0 and "1 erasures" in capsys.readouterr().out
    rotate(None, 2)
    make_tables(home)
    assert names(home) == [] and rows_of(home, third) == 0


def test_an_erasure_that_was_cut_short_is_finished_by_the_next(lived, monkeypatch):
    """Cut at every file that would be replaced, one after the other."""
    from recsys_core.deployment import erasure

    whole, cut = erasure._rewrite_table, 0

    def stop(*arguments):
        if whole(*arguments):
            raise KeyboardInterrupt
        return 0

    monkeypatch.setattr(erasure, "_rewrite_table", stop)
    while True:
        try:
            erase_user(lived.path, USER, None, None)
            break
        except KeyboardInterrupt:
            cut += 1
    assert cut > 6
    assert names(lived) == ["collected/sessions.sqlite"] and not {f"e{day}-0" for day in DAYS[2:4]} & event_ids(lived)
    assert read_erased(lived.path)[digest_id(USER)].at


def test_a_bundle_forgets_one_shopper_and_serves_the_others(tmp_path, monkeypatch):
    use_word_encoder(monkeypatch)
    home, key = tmp_path / "home", own_key(tmp_path / "home" / "keys")
    manifest = write_bundle(home / "bundle", **{**tiny_arguments(tmp_path / "sources"), "signing_key": key})
    before = Bundle.load(home / "bundle")
    events, others = before.known_history("u03"), before.known_history("u04")
    (home / "clean" / "clean_events").mkdir(parents=True)
    pl.DataFrame([{**dict.fromkeys(CLEAN_EVENTS), **one, "event_id": str(n), "user_id": "u03",
                   "timestamp": datetime.fromtimestamp(one["timestamp"], UTC)} for n, one in enumerate(events)],
                 schema=CLEAN_EVENTS).write_parquet(home / "clean" / "clean_events" / "2024-03-01.parquet")
    own = [{"item_id": events[0]["item_id"], "timestamp": str(datetime.fromtimestamp(events[0]["timestamp"], UTC).date())}]
    another_day = [{**own[0], "timestamp": "2020-01-01"}]
    shopper = Shopper("u03", pl.read_parquet(home / "clean" / "clean_events" / "2024-03-01.parquet"))
    asked = [{"request": {"history": history}} for history in (own, another_day, [own[0]["item_id"]], [])]
    assert shopper.others(asked, "UTC") == [asked[1], asked[3]]

    found = erase_user(home, "u03", None, key)
    assert (found.bundles, found.touched) == (["bundle"], ["bundle"])
    after = Bundle.load(home / "bundle", key=home / "keys" / PUBLIC_KEY)
    assert after.known_history("u03") == [] and after.known_history("u04") == others != []
    assert after.manifest["known_shoppers"] == manifest["known_shoppers"] - 1
    assert all(shopper.others([one], "UTC") for one in read_json(home / "bundle" / GOLDEN))


def test_a_bundle_that_does_not_verify_is_named_and_left(tmp_path, bundle_folder):
    broken = shutil.copytree(bundle_folder, tmp_path / "mlartifacts" / "1" / "bundle")
    (broken / "items.parquet").write_bytes(b"PAR1")
    found = erase_user(tmp_path, "u03", None, None)
    assert (found.bundles, found.unread) == ([], ["mlartifacts/1/bundle"])


def test_no_erasure_beside_a_cycle(tmp_path):
    with one_cycle(tmp_path), pytest.raises(RecsysError, match="another command"):
        erase_user(tmp_path, USER, None, None)
    assert not read_erased(tmp_path)
