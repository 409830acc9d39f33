"""What a night costs and how much of it is orchestration: whole nights of the default shop, and the light steps in them.

Every night begins from a copy of the eve: the home of all days but the newest. The eve is made once, brought up to date with the
code, and kept. HOME_BEFORE names a folder as a replay begins it: `home`, and the `shop/shop.yaml` (preset and last_day) that the
home was made with. By default the eve lies in var/bench/night.

A light step makes tables of LIGHT rows at most. Its seconds run from the end of the step before it to its own end, as Dagster's
event log tells: the work that it does itself counts as overhead, too, and so does the wait for its turn.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any, Literal

import dagster as dg

from benchmarks.record import ROOT, Bar
from orchestration.instance import DRIVER_TAG, PROCESS, open_instance
from orchestration.progress import CONSOLE
from orchestration.replay import SHOP_FILE, Replay
from orchestration.resources import CYCLE_TAG
from recsys_core.artefacts import read_json, staged_folder, write_json
from recsys_core.errors import RecsysError
from recsys_core.reading import read_yaml

log = logging.getLogger(__name__)
PLACE = ROOT / "var" / "bench" / "night"
GOALS: dict[str, tuple[str, float]] = {"orchestration.light_step_s": ("<=", 0.1), "nightly.seconds": ("<=", 90)}
LIGHT, REPEATS = 1_000, 3
DAYS_JOB, EVE = "days_job", "eve.json"
Event = dg.DagsterEventType


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Args:
        job: its job. name: its key. rows: of the tables it made; None: it made none. seconds: see above.
    """

    job: str
    name: str
    rows: int | None
    seconds: float

    @property
    def light(self) -> bool:
        return self.rows is not None and self.rows <= LIGHT


def measure(_: Path, source: Path | None = None, profile: Literal["full", "quick"] = "full", repeats: int = REPEATS
            ) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """The bars and tables of this part; no bundle is asked for.

    Args:
        source: the shop's folder; None: the embedded shop. profile: full or quick. repeats: nights.
    """
    replay = Replay(Path(os.environ.get("HOME_BEFORE") or PLACE).resolve(), source, profile)
    day = bring_to_eve(replay)
    nights, inside = [], []
    for _turn in range(repeats):
        _restore(replay)
        nights.append(replay.cycle(day))
        inside.append(steps_of_newest(replay.home, None))
        log.info("night of %s: %.1f s, %d steps", day, nights[-1], len(inside[-1]))
    apart = by_processes(replay)
    _restore(replay)
    return bars(nights, inside, day), tables(nights, inside, apart)


def bars(nights: list[float], inside: list[list[Step]], day: date) -> list[Bar]:
    """The part's bars.

    Args:
        nights: seconds of each. inside: the steps of each. day: that they bring.
    """
    light = [step.seconds for steps in inside for step in steps if step.light]
    whole = Bar("nightly.seconds", round(median(nights), 1), *GOALS["nightly.seconds"], min(nights), max(nights), len(nights),
                f"the nightly command from start to end, median of nights that bring {day}; least and most")
    bar = "orchestration.light_step_s"
    if not light:
        return [Bar(bar, None, *GOALS[bar], note="the night has no light step"), whole]
    return [Bar(bar, median(light), *GOALS[bar], min(light), max(light), len(light),
                f"median over steps that make tables of at most {LIGHT:,} rows, their own work included, in one process as the "
                "nightly command runs them; least and most"), whole]


def tables(nights: list[float], inside: list[list[Step]], apart: Iterable[Step]) -> dict[str, list[dict[str, Any]]]:
    """Light steps beside the same in processes of their own, and the nights.

    Args:
        nights: seconds of each. inside: the steps of each. apart: the steps of the days' job, each in its own process.
    """
    here: defaultdict[tuple[str, str], list[Step]] = defaultdict(list)
    for step in (step for steps in inside for step in steps if step.light):
        here[step.job, step.name].append(step)
    there = {(step.job, step.name): step.seconds for step in apart}
    light = [{"job": job, "step": name, "rows": found[0].rows, "in_process_s": round(median(one.seconds for one in found), 4),
              "multiprocess_s": round(there[job, name], 2) if (job, name) in there else None}
             for (job, name), found in here.items()]
    return {"Light steps of a night": light, "Nights": [
        {"night": n, "seconds": round(seconds, 1), "steps": len(steps), "light_steps": sum(step.light for step in steps),
         "light_steps_s": round(sum(step.seconds for step in steps if step.light), 2)}
        for n, (seconds, steps) in enumerate(zip(nights, inside, strict=True), 1)]}


def bring_to_eve(replay: Replay) -> date:
    """Make the eve or bring it up to date; the day that the night will bring.

    Raises:
        RecsysError: no day follows the eve, or the cycle failed.
    """
    kept = replay.folder / "eve"
    if (kept / EVE).is_file():
        eve = date.fromisoformat(read_json(kept / EVE))
        _restore(replay)
    elif replay.home.is_dir():
        eve = read_yaml(replay.folder / "shop" / SHOP_FILE)["last_day"]
    else:
        eve = replay.shop.days()[-2]
    later = [day for day in replay.shop.days() if day > eve]
    if not later:
        raise RecsysError("HOME_BEFORE", f"no day follows {eve}", "name a home that lacks the newest day")
    replay.cycle(eve)
    with staged_folder(kept) as staging:
        shutil.copytree(replay.home, staging / "home", symlinks=True)
        write_json(staging / EVE, str(eve))
    return later[0]


def _restore(replay: Replay) -> None:
    """Put the home back to the eve, at the path where it was made: MLflow's records name it."""
    shutil.rmtree(replay.home, ignore_errors=True)
    shutil.copytree(replay.folder / "eve" / "home", replay.home, symlinks=True)


def steps_of_newest(home: Path, job: str | None) -> list[Step]:
    """The steps of the newest cycle, or of the newest run of one job.

    Args:
        home: RECSYS_HOME. job: None: the whole cycle.
    """
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        newest = instance.get_runs(dg.RunsFilter(job_name=job, tags={DRIVER_TAG: PROCESS}), limit=1)[0]
        cycle = dg.RunsFilter(tags={CYCLE_TAG: newest.tags[CYCLE_TAG]}) if job is None else dg.RunsFilter(run_ids=[newest.run_id])
        return [step for run in reversed(instance.get_runs(cycle)) for step in steps_of(instance, run)]


def steps_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Step]:
    """The steps of a run that went well, in order of their ends."""
    found: list[Step] = []
    rows: defaultdict[str, list[int]] = defaultdict(list)
    begun: dict[str, float] = {}
    apart: set[str] = set()  # steps in processes of their own, which wait for no other step's end
    free: float | None = None  # since when the run's one process could turn to the next step
    for entry in instance.all_logs(run.run_id):
        event = entry.dagster_event
        if event is None or event.step_key is None:
            continue
        if event.event_type == Event.STEP_WORKER_STARTING:
            apart.add(event.step_key)
        if event.event_type in (Event.STEP_WORKER_STARTING, Event.STEP_START):
            begun.setdefault(event.step_key, entry.timestamp)
        elif event.event_type == Event.ASSET_MATERIALIZATION:
            count = event.materialization.metadata.get("dagster/row_count")
            rows[event.step_key] += [int(count.value)] if count is not None else []
        elif event.event_type == Event.STEP_SUCCESS:
            start = begun[event.step_key] if free is None or event.step_key in apart else free
            made = sum(rows[event.step_key]) if rows[event.step_key] else None
            found.append(Step(run.job_name, event.step_key, made, entry.timestamp - start))
            free = entry.timestamp
    return found


def by_processes(replay: Replay) -> list[Step]:
    """The days' job of the night once more, by Dagster's default executor: a process per step."""
    with open(replay.folder / "cycles.log", "a") as told:
        subprocess.run([sys.executable, "-m", "benchmarks.nights.light_steps", str(replay.home)], cwd=ROOT, check=True,
                       env=replay.environment, stdout=told, stderr=subprocess.STDOUT)
    return steps_of_newest(replay.home, DAYS_JOB)


def job_by_processes(name: str) -> dg.JobDefinition:
    """One job of the code location with Dagster's default executor."""
    from orchestration.definitions import defs

    return dg.Definitions(assets=defs.assets, asset_checks=defs.asset_checks, jobs=defs.jobs, resources=defs.resources,
                          loggers=defs.loggers, executor=dg.multiprocess_executor).resolve_job_def(name)


def main(home: Path) -> None:
    """Run the newest days' run of a home again, a process per step."""
    from assets.partitions import PARTITION_TAG, PARTITIONS_TAG, RANGE_END_TAG, RANGE_START_TAG

    job = dg.build_reconstructable_job("benchmarks.nights.light_steps", "job_by_processes", (DAYS_JOB,),
                                       reconstructor_working_directory=str(ROOT))
    with open_instance(home) as instance:
        newest = instance.get_runs(dg.RunsFilter(job_name=DAYS_JOB, tags={DRIVER_TAG: PROCESS}), limit=1)[0]
        tags = {name: newest.tags[name] for name in (PARTITION_TAG, RANGE_START_TAG, RANGE_END_TAG, PARTITIONS_TAG)
                if name in newest.tags}
        with dg.execute_job(job, instance, run_config=CONSOLE, tags={**tags, DRIVER_TAG: PROCESS}, raise_on_error=True):
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
