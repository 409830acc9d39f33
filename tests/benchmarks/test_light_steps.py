"""Light steps are told by the rows they make, and their seconds by what Dagster recorded."""

import time
from datetime import date

import dagster as dg
import pytest

from benchmarks.nights import light_steps
from benchmarks.nights.light_steps import GOALS, Step, bars, bring_to_eve, job_by_processes, steps_of, tables
from orchestration.replay import Replay
from recsys_core.artefacts import read_json
from recsys_core.errors import RecsysError
from tests.shops import planted_shop

SLEEP = 0.2


def table(name: str, rows: int | None, seconds: float = 0.0, deps: tuple[str, ...] = ()) -> dg.AssetsDefinition:
    """A step that sleeps and says that it made so many rows."""
    @dg.asset(name=name, deps=deps)
    def made(context: dg.AssetExecutionContext) -> None:
        time.sleep(seconds)
        if rows is not None:
            context.add_output_metadata({"dagster/row_count": rows})

    return made


def test_steps_of_few_rows_are_light_and_a_step_pays_for_its_own_time_only():
    with dg.DagsterInstance.ephemeral() as instance:
        made = dg.materialize([table("a_few", 7), table("slow", 1000, SLEEP, ("a_few",)), table("many", 1001, deps=("slow",)),
                               table("model", None, deps=("many",))], instance=instance)
        found = {step.name: step for step in steps_of(instance, instance.get_run_by_id(made.run_id))}
    assert list(found) == ["a_few", "slow", "many", "model"]
    assert {name for name, step in found.items() if step.light} == {"a_few", "slow"}
    assert found["slow"].rows == 1000
    assert found["model"].rows is None
    assert SLEEP <= found["slow"].seconds < SLEEP + found["a_few"].seconds + found["many"].seconds + 1
    assert found["many"].seconds < SLEEP


def test_the_figures_have_known_answers():
    nights = [Step("days_job", "a", 5, 0.02), Step("days_job", "b", 10**6, 9.0), Step("publish_job", "c", 0, 0.05)]
    found = {bar.bar: bar for bar in bars([80.0, 100.0, 85.0], [nights, nights], date(2024, 3, 1))}
    assert set(found) == set(GOALS)
    assert found["nightly.seconds"].value == 85.0
    assert found["nightly.seconds"].holds
    assert found["orchestration.light_step_s"].value == pytest.approx(0.035)
    told = tables([80.0, 100.0], [nights, nights], [Step("days_job", "a", 5, 3.0)])
    assert told["Light steps of a night"] == [
        {"job": "days_job", "step": "a", "rows": 5, "in_process_s": 0.02, "multiprocess_s": 3.0},
        {"job": "publish_job", "step": "c", "rows": 0, "in_process_s": 0.05, "multiprocess_s": None}]
    assert [row["light_steps_s"] for row in told["Nights"]] == [0.07, 0.07]
    assert bars([1.0], [[nights[1]]], date(2024, 3, 1))[0].value is None


def test_the_same_job_by_processes():
    job = job_by_processes("days_job")
    assert job.executor_def.name == "multiprocess"
    assert {node.name for node in job.graph.nodes} > {"raw_events", "raw_labels"}


def test_every_night_begins_on_the_eve(tmp_path, monkeypatch):
    replay, ran = Replay(tmp_path / "night", planted_shop(tmp_path / "shop", users=4, days=5), "quick"), []

    def cycle(self: Replay, day: date) -> float:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / str(day)).write_text("")
        ran.append(day)
        return 1.0

    monkeypatch.setattr(Replay, "cycle", cycle)
    eve, newest = replay.shop.days()[-2:]
    assert bring_to_eve(replay) == newest
    replay.cycle(newest)
    light_steps._restore(replay)
    assert [path.name for path in replay.home.iterdir()] == [str(eve)]
    replay.cycle(newest)
    assert bring_to_eve(replay) == newest  # again, from the kept eve, which follows the code of now
    assert ran == [eve, newest, newest, eve]
    assert [path.name for path in replay.home.iterdir()] == [str(eve)]
    assert read_json(replay.folder / "eve" / "eve.json") == str(eve)


def test_a_home_that_knows_every_day_has_no_eve(tmp_path, monkeypatch):
    replay = Replay(tmp_path / "night", planted_shop(tmp_path / "shop", users=4, days=5), "quick")
    replay.home.mkdir(parents=True)
    (replay.folder / "shop").mkdir()
    (replay.folder / "shop" / "shop.yaml").write_text(f"last_day: {replay.shop.days()[-1]}\n")
    with pytest.raises(RecsysError, match="no day follows"):
        bring_to_eve(replay)
