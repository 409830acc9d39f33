"""Certificates that hold on clean windows and break, by name, on every planted leak."""

import json

import numpy as np
import pytest

from recsys_core.errors import LeakageError
from recsys_core.evaluation.leakage import Certificate, WindowRows, leakage_certificate

DAY = 86_400


def window(first_row: int, day: int, rows: int = 10, sessions: str | None = "s") -> WindowRows:
    at = np.arange(first_row, first_row + rows)
    return WindowRows(at, day * DAY + np.arange(rows),
                      None if sessions is None else np.array([f"{sessions}{row}" for row in at]))


def clean() -> dict:
    return {"name": "floral", "train_max": 9 * DAY,
            "windows": {"support": window(100, 10), "gate": window(200, 20), "report": window(300, 30)},
            "train_rows": np.arange(50), "train_sessions": np.array([f"s{row}" for row in range(50)]),
            "feature_dates": {"popularity": 9 * DAY}}


def swap(window_name: str, rows: WindowRows, **changes: object) -> dict:
    asked = clean()
    return asked | {"windows": asked["windows"] | {window_name: rows}} | changes


def broken(certificate: Certificate) -> set[str]:
    return {check.name for check in certificate.checks if not check.holds}


def test_clean_windows_are_certified_and_every_pair_is_checked():
    found = leakage_certificate(**clean())
    found.raise_if_broken()
    assert found.holds and found.temporal == "certified"
    assert {check.name for check in found.checks} == {
        "training before support", "support before gate", "gate before report", "feature popularity before gate",
        *(f"{kind} of {a} and {b}" for kind in ("rows", "sessions") for a, b in (
            ("training", "support"), ("training", "gate"), ("training", "report"), ("support", "gate"),
            ("support", "report"), ("gate", "report")))}


def test_one_future_event_among_the_shots_is_named():
    support = window(100, 10)
    support.timestamps[3] = 21 * DAY
    found = leakage_certificate(**swap("support", support))
    assert broken(found) == {"support before gate"} and found.temporal == "broken"
    with pytest.raises(LeakageError, match=r"floral.*support before gate.*support row 103"):
        found.raise_if_broken()


@pytest.mark.parametrize("newest", [10 * DAY, 15 * DAY])
def test_training_must_be_strictly_earlier_than_the_shots(newest):
    found = leakage_certificate(**clean() | {"train_max": newest})
    assert broken(found) == {"training before support"}
    with pytest.raises(LeakageError, match="support row 100"):
        found.raise_if_broken()


def test_a_model_that_may_know_the_support_window_must_still_not_know_the_gate():
    refit = clean() | {"trained_on": ("support",), "train_rows": np.arange(105),
                       "train_sessions": np.array(["s105"])}
    assert leakage_certificate(**refit | {"train_max": 12 * DAY}).holds
    assert broken(leakage_certificate(**refit | {"train_max": 20 * DAY})) == {"training before gate"}


@pytest.mark.parametrize("rows, check, culprit", [
    (np.array([1, 205, 206]), "rows of training and gate", "row 205"),
    (np.array([109]), "rows of training and support", "row 109")])
def test_shared_rows_are_counted_and_named(rows, check, culprit):
    found = leakage_certificate(**clean() | {"train_rows": rows})
    assert broken(found) == {check} and found.temporal == "certified"
    with pytest.raises(LeakageError, match=culprit):
        found.raise_if_broken()


def test_a_row_asked_in_two_windows_breaks():
    report = window(300, 30)
    report.rows[0] = 204
    assert broken(leakage_certificate(**swap("report", report))) == {"rows of gate and report"}


def test_a_session_across_the_cut_off_breaks_unless_it_is_only_counted():
    crossing = clean() | {"train_sessions": np.array(["s1", "s302"])}
    assert broken(leakage_certificate(**crossing)) == {"sessions of training and report"}
    assert not leakage_certificate(**crossing).holds
    counted = leakage_certificate(**crossing, block_on_sessions=False)
    counted.raise_if_broken()
    assert counted.holds and broken(counted) == {"sessions of training and report"}


def test_features_must_not_know_the_gate_window():
    found = leakage_certificate(**clean() | {"feature_dates": {"a": 12 * DAY, "b": 20 * DAY}})
    assert broken(found) == {"feature b before gate"}


def test_order_only_shops_are_checked_by_position_but_not_certified_in_time():
    found = leakage_certificate(**clean(), order_only=True)
    assert found.holds and found.temporal == "not certifiable"
    assert not any("sessions" in check.name for check in found.checks)
    late = leakage_certificate(**clean() | {"train_max": 40 * DAY}, order_only=True)
    assert not late.holds and late.temporal == "not certifiable"
    assert "position" in late.checks[0].detail


def test_empty_windows_and_missing_sessions_are_left_out():
    found = leakage_certificate("base", 9 * DAY, {"support": window(0, 0, rows=0),
                                                  "report": window(300, 30, sessions=None)},
                                train_rows=np.arange(5))
    assert [check.name for check in found.checks] == ["training before report", "rows of training and report"]


def test_certificates_survive_json():
    support = window(100, 10)
    support.timestamps[0] = 25 * DAY
    found = leakage_certificate(**swap("support", support))
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert stored["holds"] is False and Certificate.from_json(stored) == found
