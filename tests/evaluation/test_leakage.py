"""Certificates that hold on clean windows and break, by name, on every planted leak."""

import json

import numpy as np
import pytest

from recsys_core.errors import LeakageError
from recsys_core.evaluation.leakage import Certificate, Training, WindowRows, leakage_certificate

DAY = 86_400


def window(first_row: int, day: int, rows: int = 10, sessions: str | None = "s") -> WindowRows:
    at = np.arange(first_row, first_row + rows)
    return WindowRows(at, day * DAY + np.arange(rows),
                      None if sessions is None else np.array([f"{sessions}{row}" for row in at]))


def training(day: int, rows: int = 50, sessions: str | None = "s") -> Training:
    """Of rows 0 … rows − 1, the newest on that day."""
    at = np.arange(rows)
    return Training(day * DAY, at, None if sessions is None else np.array([f"{sessions}{row}" for row in at]))


def clean() -> dict:
    """Each window is asked of what was counted up to its beginning: the earlier windows' rows are among it."""
    return {"name": "floral", "windows": {"trust": window(100, 10), "gate": window(200, 20), "report": window(300, 30)},
            "training": {"trust": training(9), "gate": training(19, 110), "report": training(29, 210)},
            "feature_dates": {"text encoder": 9 * DAY}}


def swap(part: str, window_name: str, rows: WindowRows | Training) -> dict:
    asked = clean()
    return asked | {part: asked[part] | {window_name: rows}}


def broken(certificate: Certificate) -> set[str]:
    return {check.name for check in certificate.checks if not check.holds}


def test_clean_windows_are_certified_and_every_pair_is_checked():
    found = leakage_certificate(**clean())
    found.raise_if_broken()
    assert found.holds and found.temporal == "certified"
    assert {check.name for check in found.checks} == {
        "training before trust", "training before gate", "training before report", "trust before gate",
        "gate before report", "feature text encoder before trust",
        *(f"{kind} of {a} and {b}" for kind in ("rows", "sessions") for a, b in (
            ("training", "trust"), ("training", "gate"), ("training", "report"), ("trust", "gate"), ("trust", "report"),
            ("gate", "report")))}


def test_one_future_event_among_the_questions_is_named():
    trust = window(100, 10)
    trust.timestamps[3] = 21 * DAY
    found = leakage_certificate(**swap("windows", "trust", trust))
    assert broken(found) == {"trust before gate"} and found.temporal == "broken"
    with pytest.raises(LeakageError, match=r"floral.*trust before gate.*trust row 103"):
        found.raise_if_broken()


@pytest.mark.parametrize("asked, day", [("trust", 10), ("trust", 15), ("gate", 20), ("report", 31)])
def test_training_must_be_strictly_earlier_than_what_is_asked_of_it(asked, day):
    found = leakage_certificate(**swap("training", asked, training(day)))
    assert broken(found) == {f"training before {asked}"}
    with pytest.raises(LeakageError, match=f"{asked} row {clean()['windows'][asked].rows[0]}"):
        found.raise_if_broken()


@pytest.mark.parametrize("asked, rows, check, culprit", [
    ("gate", np.array([1, 205, 206]), "rows of training and gate", "row 205"),
    ("trust", np.array([109]), "rows of training and trust", "row 109")])
def test_shared_rows_are_counted_and_named(asked, rows, check, culprit):
    found = leakage_certificate(**swap("training", asked, Training(9 * DAY, rows)))
    assert broken(found) == {check} and found.temporal == "certified"
    with pytest.raises(LeakageError, match=culprit):
        found.raise_if_broken()


def test_a_row_asked_in_two_windows_breaks():
    report = window(300, 30)
    report.rows[0] = 204
    assert "rows of gate and report" in broken(leakage_certificate(**swap("windows", "report", report)))


def test_a_session_across_the_cut_off_breaks_unless_it_is_only_counted():
    crossing = swap("training", "report", Training(29 * DAY, np.arange(5), np.array(["s1", "s302"])))
    assert broken(leakage_certificate(**crossing)) == {"sessions of training and report"}
    assert not leakage_certificate(**crossing).holds
    counted = leakage_certificate(**crossing, block_on_sessions=False)
    counted.raise_if_broken()
    assert counted.holds and broken(counted) == {"sessions of training and report"}


def test_numbered_sessions_are_shown_by_their_names():
    rows = WindowRows(np.array([8, 9]), np.array([DAY, DAY]), np.array([2, 3]))
    found = leakage_certificate("floral", {"report": rows}, {"report": Training(0, np.arange(3), np.array([0, 3]))},
                                session_ids=["a", "b", "c", "visit d"])
    assert found.checks[-1].culprits == ("session visit d",)


def test_features_must_not_know_the_first_window():
    found = leakage_certificate(**clean() | {"feature_dates": {"a": 9 * DAY, "b": 20 * DAY}})
    assert broken(found) == {"feature b before trust"}


def test_order_only_shops_are_checked_by_position_but_not_certified_in_time():
    found = leakage_certificate(**clean(), order_only=True)
    assert found.holds and found.temporal == "not certifiable"
    assert not any("sessions" in check.name for check in found.checks)
    late = leakage_certificate(**swap("training", "gate", training(40)), order_only=True)
    assert not late.holds and late.temporal == "not certifiable"
    assert "position" in late.checks[0].detail


def test_empty_windows_and_missing_sessions_are_left_out():
    found = leakage_certificate("base", {"gate": window(0, 0, rows=0), "report": window(300, 30, sessions=None)},
                                {"gate": training(9), "report": training(9)})
    assert [check.name for check in found.checks] == ["training before report", "rows of training and report"]


def test_certificates_survive_json():
    trust = window(100, 10)
    trust.timestamps[0] = 25 * DAY
    found = leakage_certificate(**swap("windows", "trust", trust))
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert stored["holds"] is False and Certificate.from_json(stored) == found
