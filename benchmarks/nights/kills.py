"""kill -9 at random moments of a night: every rerun must end with what an undisturbed night makes.

A small shop is planted and brought to its last night but one: that home is the start. Every night begins from a copy of it, at
one and the same path, because MLflow's records name it. The command is killed from outside, with everything it started.
Compared is what is published: tables, models, adapters, bundle and champion. Provenance (run ids, the signature) is left out.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.record import ROOT, Bar
from recsys_core.release import Promoter

log = logging.getLogger(__name__)

KILLS, SEED = 50, 14
COMMAND = [sys.executable, "-m", "orchestration.cycle"]
TABLES = ("raw", "clean", "features")
FOLDERS = ("text_encoder", "base_model", "student", "search_model", "task_adapter", "bundle", "champion")
BY_SEGMENT = ("segment_adapter", "segment_evaluation")
SIGNATURE, MANIFEST, CARD, PROVENANCE = "model.sig", "manifest.json", "README.md", ("lineage", "files")
BEGUN = re.compile(r'Started execution of step "(\w+)"')
ENDED = re.compile(r'Finished execution of step "(\w+)"')


@dataclass(frozen=True)
class Nights:
    """A shop on the eve of its newest day.

    Args:
        place: holds `shop`, `start` (the home before the night) and `home` (where nights run).
        published: what an undisturbed night makes of `start`: unit → hash.
        seconds: how long that took.
    """

    place: Path
    published: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class Kill:
    """What one kill did.

    Args:
        after: seconds after which the command was killed. step: what it was doing.
        torn: published units that were neither the old version nor the new one right after the kill.
        missed: units that the rerun left otherwise than the undisturbed night did.
        seconds: of the rerun.
    """

    after: float
    step: str
    torn: list[str]
    missed: list[str]
    seconds: float


def prepare(place: Path) -> Nights:
    """Run a shop up to its last day but one, then the last night undisturbed; that night begins with a champion.

    Args:
        place: holds nothing but the folder `shop`.
    """
    newest = max((place / "shop" / "events").iterdir())
    shutil.move(newest, place / newest.name)
    _finish(place)
    promoter = Promoter(place / "home")
    if not (promoter.champion / MANIFEST).is_file():  # so small a shop may not prove that its base is worth a champion
        for waiting in list(promoter.log().waiting().values()):
            promoter.decide(waiting.bundle, approve=True, who="benchmark", why="the night begins with a champion")
    shutil.copytree(place / "home", place / "start", symlinks=True)
    shutil.move(place / newest.name, newest)
    begun = time.perf_counter()
    _finish(place)
    return Nights(place, published(place / "home"), time.perf_counter() - begun)


def begin_again(nights: Nights) -> None:
    """Put the home back to the eve of the night."""
    shutil.rmtree(nights.place / "home")
    shutil.copytree(nights.place / "start", nights.place / "home", symlinks=True)


def kill_command(nights: Nights, moment: float | str) -> str | None:
    """Run the command and kill it, with all that it started.

    Args:
        nights: whose home it runs in. moment: seconds after its beginning, or the step that must have begun.

    Returns:
        what it was doing; None where it ended before.
    """
    with open(nights.place / "log", "w+") as told:
        running = subprocess.Popen(COMMAND, cwd=ROOT, env=_environment(nights.place), stdout=told, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        begun = time.perf_counter()
        while running.poll() is None:
            told.seek(0)
            come = moment in BEGUN.findall(told.read()) if isinstance(moment, str) else time.perf_counter() - begun >= moment
            if come:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
                told.seek(0)
                return _doing(told.read())
            time.sleep(0.02)
    return None


def torn(nights: Nights) -> list[str]:
    """Published units that are neither the old version nor the new one."""
    old, new, found = published(nights.place / "start"), nights.published, published(nights.place / "home")
    return sorted(name for name in {*old, *new, *found} if found.get(name) not in (old.get(name), new.get(name)))


def finish(nights: Nights) -> list[str]:
    """Run the command to its end; units that are otherwise than the undisturbed night made them.

    Raises:
        RuntimeError: the command failed.
    """
    _finish(nights.place)
    found, wanted = published(nights.place / "home"), nights.published
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))


def random_kills(nights: Nights, kills: int, seed: int = SEED) -> Iterator[Kill]:
    """So many kills at moments drawn over the whole night, each from its eve; a draw that came too late is drawn again."""
    rng, done = random.Random(seed), 0
    while done < kills:
        begin_again(nights)
        after = rng.uniform(0, nights.seconds)
        step = kill_command(nights, after)
        if step is None:
            continue
        half, begun = torn(nights), time.perf_counter()
        kill = Kill(after, step, half, finish(nights), time.perf_counter() - begun)
        done += 1
        log.info("kill %d after %.1f s in %s: torn %s, missed %s", done, after, step, kill.torn, kill.missed)
        yield kill


def measure(_: Path, kills: int = KILLS) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """The bars and tables of this part; the shop is planted, so no bundle is asked for."""
    from tests.shops import planted_shop

    with TemporaryDirectory() as place:
        planted_shop(Path(place) / "shop", users=60, days=42)
        nights = prepare(Path(place))
        found = list(random_kills(nights, kills))
    whole = [kill for kill in found if not kill.missed and not kill.torn]
    torn = sum(bool(kill.torn) for kill in found)
    note = (f"kill -9 of a night of {nights.seconds:.0f} s at moments drawn over it; {torn} left half-written output; "
            f"{len(nights.published)} published units compared")
    bars = [Bar("kills.converged_share", len(whole) / len(found), "==", 1.0, n=len(found), note=note)]
    steps = Counter(kill.step for kill in found)
    return bars, {"Kills by what was going on": [
        {"step": step, "kills": count, "converged": sum(kill.step == step for kill in whole),
         "rerun_s": round(max(kill.seconds for kill in found if kill.step == step), 1)} for step, count in steps.most_common()]}


def published(home: Path) -> dict[str, str]:
    """What readers of a home see: unit (a table, or a folder that is replaced whole) → hash of its content."""
    files = [path for stage in TABLES for path in sorted((home / stage).rglob("*.parquet")) if _seen(path, home)]
    folders = [home / name for name in FOLDERS]
    folders += [path for name in BY_SEGMENT for path in sorted((home / name).glob("*"))]
    found = {path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    found |= {path.relative_to(home).as_posix(): _content(path) for path in folders if path.is_dir() and _seen(path, home)}
    return found


def _seen(path: Path, home: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(home).parts)


def _content(folder: Path) -> str:
    """Hash of a folder's files, provenance left out."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (SIGNATURE, CARD)):
        data = path.read_bytes()
        if path.name == MANIFEST:
            about = {name: value for name, value in json.loads(data).items() if name not in PROVENANCE}
            data = json.dumps(about, sort_keys=True).encode()
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + hashlib.sha256(data).digest())
    return digest.hexdigest()


def _doing(told: str) -> str:
    """The step that the log shows at work; between two steps, what came last."""
    begun, ended = BEGUN.findall(told), set(ENDED.findall(told))
    if not begun:
        return "before the first step"
    return begun[-1] if begun[-1] not in ended else f"after {begun[-1]}"


def _environment(place: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DAGSTER_", "RECSYS_ALERT_"))}
    return {**kept, "RECSYS_SHOP": str(place / "shop"), "RECSYS_HOME": str(place / "home"), "RECSYS_PROFILE": "quick",
            "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _finish(place: Path) -> None:
    """Run a cycle to its end."""
    done = subprocess.run(COMMAND, cwd=ROOT, env=_environment(place), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the cycle ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
