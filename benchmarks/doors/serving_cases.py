"""Small inputs that once failed when a bundle was asked or a command was run, and what must come of each.

Each function gets a case's folder and the home of a finished cycle (`chain.planted_home`: its name is odd, its clock is that
of Auckland) and returns "" or what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from benchmarks.doors.chain import run
from recsys_core.errors import RequestError
from recsys_core.serving import Bundle

Check = Callable[[Path, Path], str]
FORKED = """import os, signal, sys
from recsys_core.serving import Bundle
bundle = Bundle.load(sys.argv[1]); ids = bundle.catalogue.item_ids[:2]
for ask in (lambda: bundle.recommend(ids, filters={"brand": "Orla"}), lambda: bundle.adapt([{"item_id": ids[0], "label": 1}]),
            lambda: bundle.recommend(ids, segment="auto", user={"region": "north"}), lambda: bundle.search("copper mat"),
            lambda: bundle.click_probability(ids, history=ids), lambda: bundle.recommend_batch([ids])):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        ask()
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(1)
"""
CLOSED = """import subprocess, sys
asked = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
asked.stdout.close()
sys.exit(asked.stderr.read().decode() or asked.wait())
"""


def _asked(*asks: Callable[[Bundle], Any], refused: bool) -> Check:
    """Every call is refused by `RequestError`, or (not `refused`) none raises."""
    def check(folder: Path, home: Path) -> str:
        bundle, wrong = Bundle.load(home / "bundle"), []
        for place, ask in enumerate(asks):
            try:
                ask(bundle)
                wrong += [f"call {place} is answered"] if refused else []
            except RequestError as error:
                wrong += [] if refused else [f"call {place}: {error}"]
            except Exception as error:
                wrong.append(f"call {place}: {type(error).__name__}: {error}")
        return "; ".join(wrong)
    return check


def _says_why(folder: Path, home: Path) -> str:
    bundle = Bundle.load(home / "bundle")
    answers = [bundle.recommend(["0001"], candidates=["zzz"]), bundle.recommend(["0001"], filters={"brand": "nobody"}),
               bundle.recommend(bundle.catalogue.item_ids, exclude_seen=True)]
    silent = [place for place, one in enumerate(answers) if one or not one.fallback]
    return f"answers {silent} are not empty, or say nothing" if silent else ""


def _note(*words: str, history: Callable[[list[str]], list[dict[str, Any]]], at: Any, absent: str = "") -> Check:
    def check(folder: Path, home: Path) -> str:
        bundle = Bundle.load(home / "bundle")
        note = bundle.recommend(history(bundle.catalogue.item_ids), at=at)[0].fallback or ""
        missing = [word for word in words if word not in note]
        return f"the note {note!r} lacks {missing}" if missing else f"the note says {note!r}" if absent and absent in note else ""
    return check


def _evaluate(rows: pl.DataFrame, *words: str) -> Check:
    """`recsys evaluate` says in one line what it does not know, and prints no metric."""
    def check(folder: Path, home: Path) -> str:
        with TemporaryDirectory() as place:
            rows.write_parquet(Path(place, "test.parquet"))
            done = run("-m", "recsys_core.cli.main", "evaluate", "--bundle", str(home / "bundle"), "--test",
                       str(Path(place, "test.parquet")))
        missing = [word for word in words if word not in done.stderr]
        return _line(done.stderr, done.returncode) or (f"{done.stderr!r} lacks {missing}" if missing else done.stdout[:100])
    return check


def _line(told: str, code: int) -> str:
    """What is wrong with a command that should have ended with one line and status 1."""
    lines = [line for line in told.splitlines() if line.strip()]
    if "Traceback" in told or code != 1 or not lines:
        return f"status {code}: {told[-200:]!r}"
    return "" if len(lines) == 1 else f"{len(lines)} lines: {told[:200]!r}"


def _refused_shops(folder: Path, home: Path) -> str:
    with TemporaryDirectory() as place:
        nowhere = run("-m", "orchestration.cycle", shop=Path(place, "nosuch"), home=Path(place, "home"))
        profile = run("-m", "orchestration.cycle", home=Path(place, "home"), RECSYS_PROFILE="Quick")
        left = Path(place, "home").exists()
    return _line(nowhere.stderr, nowhere.returncode) or _line(profile.stderr, profile.returncode) or (
        "the home was made" if left else "")


def _cycle_ends(*words: str) -> Check:
    """The night of the case's shop ends with one sentence that holds the words, without a traceback."""
    def check(folder: Path, home: Path) -> str:
        with TemporaryDirectory() as place:
            done = run("-m", "orchestration.cycle", shop=folder, home=Path(place))
        told = done.stdout + done.stderr
        missing = [word for word in words if word not in told]
        return f"status {done.returncode}: {told[-300:]!r}" if "Traceback" in told or done.returncode != 1 or missing else ""
    return check


def _cycle_serves(folder: Path, home: Path) -> str:
    with TemporaryDirectory() as place:
        done = run("-m", "orchestration.cycle", shop=folder, home=Path(place))
        if done.returncode:
            return (done.stdout + done.stderr)[-300:]
        return "" if Bundle.load(Path(place, "bundle")).recommend([]) else "nothing is answered"


def _home_refused(folder: Path, home: Path) -> str:
    """A home that databases would misread is refused before anything is written."""
    for name in ("a%20b", "a?b"):
        with TemporaryDirectory() as place:
            done = run("-m", "orchestration.cycle", home=Path(place, name))
            wrong = _line(done.stderr, done.returncode) or ("something was written" if list(Path(place).iterdir()) else "")
        if wrong:
            return wrong
    return ""


def _home_holds_all(folder: Path, home: Path) -> str:
    """An odd home works, and nothing lies beside it."""
    beside = sorted(path.name for path in home.parent.iterdir() if path.name not in ("home", "shop"))
    around = sorted(path.name for path in home.parent.parent.iterdir() if path != home.parent)
    return f"beside the home lie {beside + around}" if beside + around else _says_why(folder, home)


def _forks(folder: Path, home: Path) -> str:
    return "" if run("-c", FORKED, str(home / "bundle")).returncode == 0 else "a child hung or failed"


def _stdout(folder: Path, home: Path) -> str:
    ask = ("-m", "recsys_core.cli.main", "recommend", "--bundle", str(home / "bundle"), "-k", "60")
    plain = run(*ask, PYTHONIOENCODING="ascii")
    closed = run("-c", CLOSED, *ask)
    return (plain.stderr or "" if plain.returncode else "") or (closed.stderr if closed.returncode else "")


def _capped(folder: Path, home: Path) -> str:
    bundle = Bundle.load(home / "bundle")
    try:
        width = bundle.recommend_batch([["0001"]], k=10**13)[0].shape[1]
    except RequestError:
        return ""
    return "" if width <= len(bundle.catalogue) else f"{width} columns"


def _alone(folder: Path, home: Path) -> str:
    """Each table that is made together with others can be asked for by its name."""
    shop, wrong = home.parent / "shop", []
    dagster = run("-m", "orchestration.instance", shop=shop, home=home).stdout.strip()
    for asset, *partition in (("clean_events", "--partition", "2024-02-03"), ("quarantined_events", "--partition", "2024-02-03"),
                              ("item_features",), ("interactions",)):
        done = run("-m", "dagster", "asset", "materialize", "-m", "orchestration.definitions", "--select", asset, *partition,
                   shop=shop, home=home, DAGSTER_HOME=dagster)
        wrong += [f"{asset}: {done.stderr[-150:]!r}"] if done.returncode else []
    return "; ".join(wrong)


TWO = ({"item_id": "0001", "label": None}, {"item_id": "0001", "label": "click"})
SERVING: dict[str, Check] = {
    "30-click-probability-string": _asked(lambda b: b.click_probability("0001", history=["0001"]), refused=True),
    "31-empty-answer-loses-its-reason": _says_why,
    "32-adapt-tracebacks": _asked(*(lambda b, one=one: b.adapt(one) for one in (
        [TWO[0]], [TWO[1]], ["0001"], {"item_id": "0001"}, pl.DataFrame({"item_id": ["0001"], "label": [None]}))), refused=True),
    "33-none-arguments": lambda folder, home: _asked(
        lambda b: b.recommend(None), lambda b: b.recommend_batch([["0001"], None]), lambda b: b.search("copper", history=None),
        refused=False)(folder, home) or _asked(
        lambda b: b.recommend([], candidates=[["0003"]]), lambda b: b.recommend([], filters=["brand"]),
        lambda b: b.recommend([], filters={"category": date(2024, 1, 1)}), lambda b: b.recommend([], user=["a"], segment="auto"),
        lambda b: b.recommend([], adapter="x"), lambda b: b.click_probability(None), refused=True)(folder, home),
    "34-evaluate-no-known-id": _evaluate(pl.DataFrame({"history": [[1, 2]], "target": [3]}), "target", "0"),
    "35-home-path": _home_refused,
    "36-make-shop-traceback": _refused_shops,
    "38-impressions-only": _cycle_ends("purchase"),
    "39-one-item": _cycle_serves,
    "42-brackets-in-path": _home_holds_all,
    "51-fork-hang": _forks,
    "56-naive-times-at-serving": _note(
        history=lambda ids: [{"item_id": ids[0], "timestamp": datetime(2024, 3, 10, 10)}], absent="after the request",
        at=datetime(2024, 3, 10, 13, 30, tzinfo=ZoneInfo("Pacific/Auckland"))),
    "57-one-time-missing": _note("times ignored", "1 of 2", at="2020-01-01", history=lambda ids: [
        {"item_id": ids[0], "timestamp": "2024-03-01T10:00:00"}, {"item_id": ids[1]}]),
    "59-cli-stdout": _stdout,
    "60-huge-k-in-batch": _capped,
    "66-evaluate-float-ids": _evaluate(pl.DataFrame({"history": [[9000.0]], "target": [9001.0]}), "9001"),
    "68-asset-by-name": _alone,
}


def serving_checks(home: Path) -> dict[str, Callable[[Path], str]]:
    """Case → what checks its folder, with that home."""
    return {name: partial(check, home=home) for name, check in SERVING.items()}


if __name__ == "__main__":
    for name, check in serving_checks(Path(sys.argv[1])).items():
        print(name, check(Path(sys.argv[2], name)) or "right")
