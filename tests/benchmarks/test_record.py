"""Benchmark records: the format, `holds` computed and never typed, and a bar without a value there with its reason."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import record
from benchmarks.record import ROOT, Bar, Parts, peak_gib, show, write_results
from recsys_core.errors import RecsysError


@pytest.mark.parametrize(("value", "op", "goal", "holds"), [
    (10.0, ">=", 10, True), (9.9, ">=", 10, False), (0.0, ">", 0, False), (0.1, ">", 0, True), (4.0, "<=", 4, True),
    (4.1, "<=", 4, False), (3.9, "<", 4, True), (4.0, "<", 4, False), (1.0, "==", 1, True), (0.0, "==", 1, False)])
def test_holds_follows_from_value_op_and_goal(value: float, op: str, goal: float, holds: bool) -> None:
    assert Bar("x", value, op, goal).holds is holds


def test_a_bar_needs_a_value_or_a_reason() -> None:
    missing = Bar("gpu.speedup", None, ">=", 30, note="no GPU on this machine")
    assert missing.to_json() == {"bar": "gpu.speedup", "value": None, "op": ">=", "goal": 30, "holds": False,
                                 "low": None, "high": None, "n": None, "note": "no GPU on this machine"}
    with pytest.raises(RecsysError, match="reason"):
        Bar("gpu.speedup", None, ">=", 30)


@pytest.mark.parametrize("wrong", [
    {"op": "≥"}, {"value": float("nan")}, {"value": float("inf")}, {"low": float("-inf")}])
def test_a_bar_that_cannot_be_read_back_is_refused(wrong: dict) -> None:
    with pytest.raises(RecsysError):
        Bar(**{"bar": "x", "value": 1.0, "op": ">=", "goal": 1, **wrong})


def test_the_file_has_exactly_the_agreed_fields(tmp_path: Path) -> None:
    bars = [Bar("a.speed", 12.0, ">=", 10, 11.0, 13.0, 7, "256 segments"), Bar("b.speed", None, ">=", 2, note="no GPU")]
    path = write_results("sample", bars, seed=3, settings={"k": 10}, peers={"peft": "0.21.2"},
                         tables={"systems": [{"system": "ours", "ndcg": 0.25}]}, folder=tmp_path)
    found = json.loads(path.read_text())
    assert path.name == "sample.json"
    assert set(found) == {"name", "commit", "date", "seed", "machine", "settings", "peers", "bars", "tables"}
    assert set(found["machine"]) == {"cpu", "cores", "ram_gib", "gpu"}
    assert len(found["commit"]) == 40 and found["seed"] == 3 and found["peers"] == {"peft": "0.21.2"}
    assert found["settings"]["k"] == 10
    assert found["bars"][0] == {"bar": "a.speed", "value": 12.0, "op": ">=", "goal": 10, "holds": True, "low": 11.0,
                                "high": 13.0, "n": 7, "note": "256 segments"}
    assert found["bars"][1]["value"] is None and found["bars"][1]["holds"] is False
    text = show(path)
    assert "a.speed" in text and "yes" in text and "NO" in text and "no GPU" in text and "0.25" in text


def test_a_bar_is_measured_once(tmp_path: Path) -> None:
    with pytest.raises(RecsysError, match="twice"):
        write_results("sample", [Bar("a", 1.0, ">=", 1)] * 2, seed=0, settings={}, peers={}, tables={}, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_part_is_kept_for_its_commit_and_sources_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(record, "commit", lambda: "one")
    source, calls = tmp_path / "code.py", []
    source.write_text("1")

    def measured() -> dict:
        calls.append(1)
        return {"calls": len(calls)}

    def get() -> dict:
        return Parts(tmp_path / "parts", [source]).get("part", measured)

    assert get() == get() == {"calls": 1}
    source.write_text("2")
    assert get() == {"calls": 2}
    monkeypatch.setattr(record, "commit", lambda: "two")
    assert get() == {"calls": 3}


def test_the_peak_is_this_process_own() -> None:
    """A child of a large process starts small."""
    held = b"x" * (300 * 2**20)
    found = subprocess.run([sys.executable, "-c", "from benchmarks.record import peak_gib; print(peak_gib())"], check=True,
                           capture_output=True, text=True, cwd=ROOT).stdout
    assert len(held) / 2**30 < peak_gib() and 0 < float(found) < 0.2
