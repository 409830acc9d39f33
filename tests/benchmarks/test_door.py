"""The planted shops of `make bench-door`, a few of them: nothing is lost, nothing is wrong, nothing foreign comes out."""

from __future__ import annotations

from benchmarks.doors.cases import READING, cases_right
from benchmarks.doors.faults import PARTS, dirty_shop, number_of_faults
from benchmarks.doors.fuzzing import foreign_exceptions
from benchmarks.doors.holding import outcomes
from benchmarks.doors.serving_cases import SERVING


def test_planted_dirt_is_read_right_or_set_aside():
    found = outcomes(range(60))
    assert [one.faults for one in found if one.lost or one.wrong] == []
    assert sum(bool(one.refused) for one in found) < 6  # a shop that is refused proves little


def test_faults_are_many_and_the_same_in_every_run():
    assert number_of_faults() >= 60 and all(PARTS.values())
    assert dirty_shop(3).rows() == dirty_shop(3).rows() and dirty_shop(3).faults == dirty_shop(3).faults


def test_damaged_shops_raise_only_errors_of_ours():
    assert foreign_exceptions(40, 1)[0] == []


def test_cases_lie_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.delenv("CASES", raising=False)
    assert cases_right(tmp_path) == {}
    monkeypatch.setenv("CASES", str(tmp_path))
    (tmp_path / "18-semicolon").mkdir()
    assert "no events file" in cases_right(tmp_path)["18-semicolon"] and not set(READING) & set(SERVING)
