"""The assets of deployment that read nothing but files: everybody's lists."""

import shutil
from types import SimpleNamespace

import dagster as dg
import polars as pl
import pytest

from assets import adaptation, base_model, cleaning, deployment, distillation, evaluation, features, ingestion, tasks
from recsys_core.artefacts import write_json
from recsys_core.deployment.champion import Judgement
from recsys_core.deployment.gates import GateVerdict
from recsys_core.evaluation import NIGHTS
from tests.assets.runs import run
from tests.features.written import write_feature_table
from tests.serving.tiny import tiny_events, use_word_encoder

STAGES = [ingestion, cleaning, features, base_model, adaptation, evaluation, distillation, tasks, deployment]


@pytest.fixture
def lists(home, bundle_folder, monkeypatch):
    """A function from whether a champion is there to everybody's lists."""
    use_word_encoder(monkeypatch)

    def made(promoted: bool, rules: str = "") -> pl.DataFrame:
        shutil.copytree(bundle_folder, home.path / "champion") if promoted else (home.path / "champion").mkdir(parents=True)
        (home.path / "rules.yaml").write_text(rules)
        write_feature_table(home.path / "features", "interactions", tiny_events().with_columns(context=pl.lit(None, pl.String)))
        found = run(dg.load_assets_from_modules(STAGES), home, dg.AssetSelection.assets("daily_recommendations"))
        assert found.success
        return pl.read_parquet(home.path / "daily_recommendations" / "lists.parquet")

    return made


def test_how_a_search_was_judged_is_a_table():
    found = {"by": "judgments", "slices": {"all": {"queries": 20, "nothing": 0.05, "metrics": {"ndcg@10": {"mean": 0.61234}}}}}
    assert deployment.judged_table(found).value.splitlines()[2] == "| judgments | all | 20 | 0.05 | 0.612 |"


def test_every_shopper_with_a_history_has_the_champion_s_list(lists):
    found = lists(promoted=True)
    assert found["user_id"].n_unique() == 30 and found.height == 300


def test_every_list_obeys_the_rules_file_of_the_home(lists):
    found = lists(promoted=True, rules="must_not: [{name: no-toys, filters: {department: Toys}}]")
    assert found["user_id"].n_unique() == 30 and not found["item_id"].str.starts_with("t").any()


def test_without_a_champion_nobody_has_one(lists):
    assert lists(promoted=False).is_empty()


@pytest.mark.parametrize(("outcome", "promoted"), [("passed", True), ("held", False), ("refused", False)])
def test_the_champion_s_metadata_tells_the_verdict_and_its_reasons(home, bundle_folder, tmp_path, monkeypatch, outcome,
                                                                  promoted):
    write_json(tmp_path / NIGHTS, [])
    reasons = ["a reason", "0 of 14 fresh nights judged as served: not yet compared"]
    found = Judgement(GateVerdict(outcome, ("a reason",)), {"ndcg@10": 0.1}, {})
    monkeypatch.setattr(deployment, "judge_bundle", lambda *_, **__: found)
    monkeypatch.setattr(deployment, "make_study", lambda *_: None)
    registered, logged = [], {}
    tracking = SimpleNamespace(log=lambda **what: logged.update(what), register=lambda *what: registered.append(what))
    with dg.build_asset_context() as context:
        folder = deployment.champion(context=context, home=home, tracking=tracking, bundle=bundle_folder, base_model=None,
                                     judged_nights=tmp_path, interactions=pl.LazyFrame(), segment_events=pl.LazyFrame(),
                                     raw_users=pl.LazyFrame())
        told = context.get_output_metadata("result")
    assert folder == home.path / "champion" and (folder / "manifest.json").is_file() is promoted
    assert (told["promoted"], told["verdict"], told["reasons"]) == (promoted, outcome, reasons)
    assert bool(told["waiting"]) is not promoted and logged["tags"] == {"verdict": outcome}
    assert registered == [(bundle_folder, promoted, "; ".join(reasons))]
