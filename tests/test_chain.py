"""The whole chain on the planted shop, as `make shop` runs it: every stage, the bundle, and again for one night."""

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from starlette.testclient import TestClient

from recsys_core.artefacts import folder_hash
from recsys_core.cli.main import main
from recsys_core.collection import EventLog
from recsys_core.evaluation.results import Results
from recsys_core.experiments import Experiments
from recsys_core.features import read_features
from recsys_core.service.app import create_app
from recsys_core.service.limits import TokenBuckets
from recsys_core.service.settings import ServiceSettings
from recsys_core.service.treatments import Treatments
from recsys_core.serving import Bundle
from tests.shops import planted_shop

DAYS, NIGHT = 42, "2024-04-11"  # the newest drop is delivered a night later


def cycle(shop: Path, home: Path) -> str:
    """Run one cycle in a process of its own, as the Makefile does; what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DAGSTER_"))}
    environment = {**kept, "RECSYS_SHOP": str(shop), "RECSYS_HOME": str(home), "RECSYS_PROFILE": "quick",
                   "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "orchestration.cycle"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


class Collected(NamedTuple):
    """A served list and what its shopper did: item ids as shown, the one that was taken, and the events' ids.

    The first shown one was turned down.
    """

    shown: list[str]
    liked: str
    event_ids: list[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, Path, str, str, str, Collected]:
    """Shop, home, what three cycles printed, and what was collected before the third.

    The first cycle is whole, the second finds nothing new, the third a day with the shop's drop and the service's events.
    """
    root = tmp_path_factory.mktemp("chain")
    shop, home = planted_shop(root / "shop", users=120, days=DAYS), root / "home"
    late = next((shop / "events").glob(f"{NIGHT}*"))
    shutil.move(late, root / late.name)
    first, again = cycle(shop, home), cycle(shop, home)
    shutil.copy(root / late.name, late)
    collected = collect(home)
    return shop, home, first, again, cycle(shop, home), collected


def collect(home: Path) -> Collected:
    """A newcomer is served a list on the evening of the new day, clicks its second item and buys it."""
    evening = datetime.fromisoformat(f"{NIGHT}T18:00:00+00:00").timestamp()
    settings = ServiceSettings(bundle=home / "bundle", collect=home / "collected")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recsys_core.service.app.EventLog", partial(EventLog, clock=lambda: evening))
        app = create_app(settings, Treatments(Experiments(), Bundle.load(home / "bundle"), {}), TokenBuckets(0, 1))
    client = TestClient(app, base_url="http://localhost")
    answer = client.post("/v1/recommend", json={"user_id": "nora", "k": 5}).json()
    shown = [item["item_id"] for item in answer["items"]]
    told = [{"user_id": "nora", "event_type": kind, "item_id": item, "timestamp": evening + after} for kind, item, after in (
        ("click", shown[1], 20), ("purchase", shown[1], 60), ("click", "no such item", 30))]
    answer = client.post("/v1/events", json={"events": [*told, {**told[1], "user_id": "a stranger"}]}).json()
    assert answer["accepted"] == 4
    thumb = {"request_id": "r", "user_id": "nora", "item_id": shown[0], "value": "down"}
    assert client.post("/v1/feedback", json=thumb).json()["accepted"] == 1
    return Collected(shown, shown[1], answer["event_ids"])


def results(home: Path) -> Results:
    return Results.model_validate(json.loads((home / "report" / "metrics.json").read_text()))


def test_every_stage_leaves_its_artefact(ran):
    _, home, *_ = ran
    for place in ("raw/raw_events", "clean/clean_events", "clean/quarantined_events", "features/features.duckdb",
                  "text_encoder", "base_model", "segment_adapter/toys", "segment_evaluation/toys", "student",
                  "report/report.html", "task_adapter/tasks.json",
                  "bundle/manifest.json", "champion", "daily_recommendations/lists.parquet",
                  "mlflow.db"):
        assert (home / place).exists(), place


def test_every_refused_segment_is_told_why_and_what_serves_instead(ran):
    decided = {segment.name: segment for segment in results(ran[1]).segments}
    assert decided["toys"].decision == "refused"  # a page: what last night's base has counted, shots cannot teach again
    assert "filtered to the page" in decided["toys"].reason
    assert decided["nobody"].decision == "no data" and "0 shots" in decided["nobody"].reason
    assert all(certificate.holds for certificate in results(ran[1]).certificates)


def test_the_bundle_recommends_and_searches(ran):
    bundle = Bundle.load(ran[1] / "bundle")
    ids, scores = bundle.recommend_batch([["K00"], []], k=5)
    assert ids.shape == scores.shape == (2, 5) and (scores[:, :-1] >= scores[:, 1:]).all()
    assert bundle.recommend(["K00"], k=3, exclude_seen=True)[0].item_id != "K00"
    assert "train" in {item["item_id"]: item["title"] for item in bundle.catalogue.items.iter_rows(named=True)}[
        bundle.search("wooden train", k=1)[0].item_id].lower()


def test_labelled_tasks_are_judged_and_the_proven_ones_answer(ran):
    bundle = Bundle.load(ran[1] / "bundle")
    assert set(bundle.tasks) == {"attribute", "department", "intent"}
    intent = bundle.tasks["intent"]
    assert intent["proven"] and intent["test"]["accuracy"] > 0.8, intent["reason"]
    department = bundle.tasks["department"]
    assert not department["proven"] and department["rivals"]["words alone"] == 1  # titles name their products
    assert bundle.classify("intent", ["recomxmend number 200"])[0][0][0] == "find"


def test_every_shopper_with_a_history_has_a_list_once_a_bundle_was_promoted(ran):
    home = ran[1]
    promoted = (home / "champion" / "manifest.json").exists()
    shoppers = read_features(home / "features", "interactions").collect()["user_id"].n_unique()
    lists = pl.read_parquet(home / "daily_recommendations" / "lists.parquet")
    assert lists["user_id"].n_unique() == (shoppers if promoted else 0)


def test_the_next_lists_leave_out_what_a_shopper_turned_down(ran, tmp_path, monkeypatch):
    _, home, *_, collected = ran
    monkeypatch.setenv("RECSYS_HOME", str(home))
    assert main(["recommend-all", "-k", "1000", "--out", str(tmp_path / "lists")]) == 0  # every item, to everybody else
    lists = pl.read_parquet(tmp_path / "lists" / "lists.parquet")
    shown_to = set(lists.filter(pl.col("item_id") == collected.shown[0])["user_id"])
    assert "nora" in (everybody := set(lists["user_id"])) and everybody - shown_to == {"nora"}


def test_a_second_cycle_finds_nothing_to_do(ran):
    assert "up to date" in ran[3] and "Started execution" not in ran[3]


def test_a_night_makes_its_own_day_and_no_new_encoder(ran):
    _, home, _, _, night, _ = ran
    assert "raw_events" in night and (home / "clean" / "clean_events" / f"{NIGHT}.parquet").exists()
    assert 'Started execution of step "text_encoder"' not in night
    assert 'Started execution of step "segment_adapter"' in night
    assert results(home).shop.last_day == NIGHT


def test_bytes_of_the_encoder_survive_the_night(ran):
    about = json.loads((ran[1] / "base_model" / "base.json").read_text())
    assert folder_hash(ran[1] / "text_encoder") and about["lock"]["encoder"]
    assert json.loads((ran[1] / "segment_adapter" / "toys" / "segment.json").read_text())["lock"] == about["lock"]


def test_the_night_learns_what_the_service_collected(ran):
    """The loop is closed: a served list, a click on it and a purchase are interactions and exposures."""
    _, home, *_, collected = ran
    taken = read_features(home / "features", "interactions").collect().filter(pl.col("event_id").is_in(collected.event_ids))
    assert sorted(taken.select("user_id", "event_type", "item_id").rows()) == [
        ("a stranger", "purchase", collected.liked), ("nora", "click", collected.liked), ("nora", "purchase", collected.liked)]
    served = read_features(home / "features", "exposures").collect().filter(pl.col("user_id") == "nora")
    assert served.sort("position").select("item_id", "position", "propensity", "label").rows() == [
        (item, place, 1.0, int(place == 2)) for place, item in enumerate(collected.shown, 1)]
