from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from recsys_core.answering import Rules
from recsys_core.artefacts import read_json
from recsys_core.cli.main import main
from recsys_core.deployment.daily import ABOUT, CHANGED, LISTS, DailyConfig, write_daily_lists
from recsys_core.errors import RequestError
from recsys_core.serving import Bundle
from tests.features.written import write_feature_table
from tests.serving.tiny import tiny_events, use_word_encoder

NEWEST = datetime(2024, 3, 5, 5, tzinfo=UTC)


def events(*more: tuple[str, str, int]) -> pl.DataFrame:
    """The tiny shop's, and (user, item, hours after its newest event)."""
    rows = [{"event_id": f"m{n}", "user_id": user, "item_id": item, "timestamp": NEWEST + timedelta(hours=hours),
             "event_type": "purchase", "session_id": "m"} for n, (user, item, hours) in enumerate(more)]
    return pl.concat([tiny_events(), pl.DataFrame(rows, schema=tiny_events().schema)]).with_columns(
        context=pl.lit(None, pl.String)).sort("user_id", "timestamp")


@pytest.fixture
def write(tmp_path, bundle):
    """Write lists into a folder of their own, as of an earlier one."""
    def run(name: str, frame: pl.DataFrame, previous: str = "nowhere", by: Bundle | None = bundle, **asked) -> dict:
        (tmp_path / name).mkdir()
        config = asked.pop("config", DailyConfig())
        return write_daily_lists(tmp_path / name, by, frame.lazy(), tmp_path / previous, config, **asked)

    return run


def test_lists_are_what_the_bundle_answers(write, tmp_path, bundle):
    facts = write("one", events())
    lists = pl.read_parquet(tmp_path / "one" / LISTS)
    assert facts["users"] == facts["asked"] == facts["changed"] == 30 and lists.height == 300
    own = events().filter(pl.col("user_id") == "u07")
    history = own.select("item_id", "event_type", "timestamp").to_dicts()
    expected = bundle.recommend(history, 10, user_id="u07", at=NEWEST, segment="auto")
    found = lists.filter(pl.col("user_id") == "u07")
    assert found["item_id"].to_list() == [one.item_id for one in expected] and found["rank"].to_list() == list(range(1, 11))
    assert found["score"].to_list() == pytest.approx([one.score for one in expected])
    assert set(found["segment"]) == {expected[0].segment} and set(found["day"]) == {date(2024, 3, 5)}


def test_every_list_obeys_the_shop_s_rules_and_new_rules_ask_for_everybody(write, tmp_path, bundle):
    write("one", events())
    rules = Rules(must_not=[{"name": "toys", "filters": {"department": "Toys"}}], caps={"department": 2})
    facts = write("two", events(), "one", since=date(2030, 1, 1), rules=rules)
    assert facts["asked"] == 30 and facts["changed"] == 30
    own = events().filter(pl.col("user_id") == "u07").select("item_id", "event_type", "timestamp").to_dicts()
    expected = bundle.recommend(own, 10, user_id="u07", at=NEWEST, segment="auto", rules=bundle.bind_rules(rules))
    lists = pl.read_parquet(tmp_path / "two" / LISTS)
    assert lists.filter(pl.col("user_id") == "u07")["item_id"].to_list() == [one.item_id for one in expected]
    assert not lists["item_id"].str.starts_with("t").any() and set(lists.group_by("user_id").len()["len"]) == {6}
    assert write("three", events(), "two", since=date(2030, 1, 1), rules=rules)["asked"] == 0
    with pytest.raises(RequestError, match="colour"):
        write("four", events(), rules=Rules(caps={"colour": 1}))


def test_a_thumb_down_keeps_an_item_out_until_it_is_taken(write, tmp_path):
    write("one", events())
    before = dict(pl.read_parquet(tmp_path / "one" / LISTS).group_by("user_id").agg("item_id").iter_rows())
    first = before["u03"][0]
    thumbs = {("u03", first): NEWEST + timedelta(hours=1), ("nobody", first): NEWEST}
    assert write("two", events(), "one", since=date(2024, 3, 5), unwanted=thumbs)["asked"] >= 1
    after = dict(pl.read_parquet(tmp_path / "two" / LISTS).group_by("user_id").agg("item_id").iter_rows())
    assert after["u03"][:9] == before["u03"][1:] and len(after["u03"]) == 10 and first not in after["u03"]
    assert {user: items for user, items in after.items() if user != "u03"} == {
        user: items for user, items in before.items() if user != "u03"}
    write("three", events(("u03", first, 2)), unwanted=thumbs)
    found = pl.read_parquet(tmp_path / "three" / LISTS).filter(pl.col("user_id") == "u03")
    assert first in found["item_id"].to_list()


def test_since_asks_for_whom_a_thumb_is_new(write):
    write("one", events())
    thumbs = {("u03", "k0"): NEWEST + timedelta(hours=30), ("u04", "k0"): NEWEST - timedelta(days=9)}
    assert write("two", events(), "one", since=date(2024, 3, 6), unwanted=thumbs)["asked"] == 1


def test_the_same_inputs_give_the_same_bytes(write, tmp_path):
    write("one", events())
    write("two", events().sample(fraction=1, shuffle=True, seed=1))
    assert (tmp_path / "one" / LISTS).read_bytes() == (tmp_path / "two" / LISTS).read_bytes()


def test_since_asks_only_for_whom_something_is_new(write, tmp_path):
    write("one", events())
    newer = events(("u03", "k0", 30), ("stranger", "t0", 1))
    facts = write("two", newer, "one", since=date(2024, 3, 6))
    assert facts["asked"] == 2 and facts["users"] == 31  # the stranger's event is older than `since`, but has no list yet
    changed = pl.read_parquet(tmp_path / "two" / CHANGED)
    assert {"stranger"} <= set(changed["user_id"]) <= {"stranger", "u03"} and facts["changed"] == changed["user_id"].n_unique()
    write("whole", newer, "one")
    assert (tmp_path / "two" / LISTS).read_bytes() == (tmp_path / "whole" / LISTS).read_bytes()


def test_a_list_that_stays_is_not_changed(write, tmp_path):
    write("one", events())
    assert write("two", events(), "one")["changed"] == 0
    assert pl.read_parquet(tmp_path / "two" / CHANGED).is_empty() and pl.read_parquet(tmp_path / "two" / LISTS).height == 300


def test_since_is_a_local_day_of_the_shop(write, bundle):
    write("one", events())
    moved = NEWEST + timedelta(hours=30)
    local = moved.astimezone(bundle.parts.router.zone).date()
    newer = events(("u03", "k0", 30))
    assert write("two", newer, "one", since=local)["asked"] == 1
    assert write("three", newer, "one", since=local + timedelta(days=1))["asked"] == 0


@pytest.mark.parametrize("break_it", ["bundle", "config", "file"])
def test_another_bundle_other_settings_or_a_broken_folder_ask_for_everybody(write, tmp_path, break_it):
    write("one", events())
    about = read_json(tmp_path / "one" / ABOUT)
    if break_it == "bundle":
        (tmp_path / "one" / ABOUT).write_text(str(about).replace("'", '"').replace("None", "null").replace(about["bundle"], "x"))
    if break_it == "file":
        (tmp_path / "one" / LISTS).write_bytes(b"PAR1")
    config = DailyConfig(k=3) if break_it == "config" else DailyConfig()
    facts = write("two", events(), "one", since=date(2030, 1, 1), config=config)
    assert facts["asked"] == 30 and facts["since"] is None
    assert facts["changed"] == (0 if break_it == "bundle" else 30)


def test_nothing_promoted_is_no_list(write, tmp_path):
    assert write("one", events(), by=None)["users"] == 0
    assert pl.read_parquet(tmp_path / "one" / LISTS).columns == ["user_id", "rank", "item_id", "score", "segment", "day"]


def test_the_command_writes_and_brings_up_to_date(bundle_folder, tmp_path, monkeypatch, capsys):
    use_word_encoder(monkeypatch)
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    write_feature_table(tmp_path / "features", "interactions", events())
    assert main(["recommend-all", "--bundle", str(bundle_folder), "-k", "4"]) == 0
    assert "30 lists, 30 asked for, 30 changed" in capsys.readouterr().out
    assert main(["recommend-all", "--bundle", str(bundle_folder), "-k", "4", "--since", "2024-03-05"]) == 0
    said = capsys.readouterr().out
    assert " 0 changed" in said and "30 asked for" not in said
    assert pl.read_parquet(tmp_path / "daily_recommendations" / LISTS)["rank"].max() == 4
    (tmp_path / "rules.yaml").write_text("must_not: [{name: no-toys, filters: {department: Toys}}]")
    assert main(["recommend-all", "--bundle", str(bundle_folder), "-k", "4", "--since", "2024-03-05"]) == 0
    assert "30 asked for" in capsys.readouterr().out
    assert not pl.read_parquet(tmp_path / "daily_recommendations" / LISTS)["item_id"].str.starts_with("t").any()
    for wrong in (["--since", "yesterday"], ["-k", "0"], ["--events", str(tmp_path / "no.parquet")],
                  ["--rules", str(tmp_path / "no.yaml")]):
        assert main(["recommend-all", "--bundle", str(bundle_folder), *wrong]) == 1
        assert "Fix:" in capsys.readouterr().err
