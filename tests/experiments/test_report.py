import json
from datetime import timedelta

import numpy as np
import pytest

from recsys_core.cli.main import main
from recsys_core.errors import RecsysError
from recsys_core.experiments import interleave, report_experiment
from recsys_core.experiments.config import EXPERIMENTS_FILE, read_experiments
from recsys_core.experiments.report import sample_ratio
from tests.experiments.logged import DECLARED, append, event, write_logs


@pytest.fixture
def declared(tmp_path):
    (tmp_path / EXPERIMENTS_FILE).write_text(DECLARED)
    return read_experiments(tmp_path / EXPERIMENTS_FILE)[0]


def exposed(config, n: int, hours: float = 0.0, **fields):
    at = config.start + timedelta(hours=hours)
    return {"timestamp": at.isoformat(), "request_id": f"r{n}", "user_id": f"u{n}", "experiment": "adapters", "variant": "base",
            "propensity": 0.5, "items": [{"item_id": "x", "position": 1, "propensity": 1.0}], **fields}


def test_a_planted_difference_is_told(declared, tmp_path):
    write_logs(tmp_path / "collected", declared, 4000, {"base": 0.2, "adapted": 0.3}.get, before=0.3)
    found = report_experiment(tmp_path, "adapters", tmp_path / "collected")
    base, adapted = found.variants
    assert base["users"] + adapted["users"] == 4000 and found.pending == found.crossed == 0
    assert base["mean"] == pytest.approx(0.2, abs=0.03) and adapted["mean"] == pytest.approx(0.3, abs=0.03)
    difference = found.differences["adapted"]
    assert 0 < difference.low < 0.1 < difference.high and difference.p_value < 0.01 and not found.ratio.alarm
    # Three items were shown to everybody, one click each at most: a variant's value per item is a third of its mean.
    assert adapted["off_policy"]["snips"]["mean"] == pytest.approx(adapted["mean"] / 3, rel=0.01)
    assert adapted["off_policy"]["mean_weight"] == pytest.approx(1, abs=0.05)


def test_no_difference_is_not_told(declared, tmp_path):
    write_logs(tmp_path / "collected", declared, 3000, lambda variant: 0.2)
    difference = report_experiment(tmp_path, "adapters", tmp_path / "collected").differences["adapted"]
    assert difference.low < 0 < difference.high and difference.p_value > 0.05


def test_users_count_once_their_window_is_closed(declared, tmp_path):
    append(tmp_path / "exposures" / "a.jsonl", [exposed(declared, 1), exposed(declared, 2, hours=30)])
    append(tmp_path / "events" / "a.jsonl", [
        event("u1", declared.start + timedelta(hours=23), "x"), event("u1", declared.start + timedelta(hours=25), "x"),
        event("u2", declared.start + timedelta(hours=31), "y"), event("u1", declared.start - timedelta(hours=1), "x")])
    found = report_experiment(tmp_path, "adapters", tmp_path)
    assert found.variants[0]["users"] == 1 and found.pending == 1
    assert found.variants[0]["mean"] == 1.0  # of four clicks one is after the window, one before it, one another user's
    later = report_experiment(tmp_path, "adapters", tmp_path, until=declared.start + timedelta(hours=54))
    assert later.variants[0]["users"] == 2 and later.pending == 0


def test_money_is_price_times_quantity_and_a_retry_counts_once(declared, tmp_path):
    bought = event("u1", declared.start + timedelta(hours=1), "x", "purchase", price=2.5, quantity=4)
    append(tmp_path / "exposures" / "a.jsonl", [exposed(declared, 1)])
    append(tmp_path / "events" / "a.jsonl", [bought, bought, event("z", declared.end, "x")])
    assert report_experiment(tmp_path, "adapters", tmp_path, "revenue").variants[0]["mean"] == 10
    assert report_experiment(tmp_path, "adapters", tmp_path, "purchase").variants[0]["mean"] == 1


def test_users_with_two_variants_are_left_out_and_counted(declared, tmp_path):
    append(tmp_path / "exposures" / "a.jsonl", [
        exposed(declared, 1), exposed(declared, 1, 1, variant="adapted"), exposed(declared, 2)])
    append(tmp_path / "events" / "a.jsonl", [event("z", declared.end, "x")])
    found = report_experiment(tmp_path, "adapters", tmp_path)
    assert found.crossed == 1 and [row["users"] for row in found.variants] == [1, 0]


def test_a_broken_assignment_raises_the_alarm(declared, tmp_path):
    append(tmp_path / "exposures" / "a.jsonl",
           [exposed(declared, n, variant="base" if n < 600 else "adapted") for n in range(1000)])
    append(tmp_path / "events" / "a.jsonl", [event("z", declared.end, "x")])
    found = report_experiment(tmp_path, "adapters", tmp_path)
    assert found.ratio.alarm and any("NOT as declared" in line for line in found.lines())
    assert found.variants[0]["off_policy"]["mean_weight"] == pytest.approx(1.2)


def test_the_sample_ratio_is_pearson_s():
    from scipy.stats import chisquare

    expected = chisquare([480, 330, 190], [500, 300, 200])
    found = sample_ratio([480, 330, 190], [0.25, 0.15, 0.1])
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert sample_ratio([0, 0], [0.5, 0.5]).p_value == 1


def test_other_experiments_rows_and_torn_lines_are_left_out(declared, tmp_path):
    append(tmp_path / "exposures" / "a.jsonl", [
        exposed(declared, 1), exposed(declared, 2, experiment="other"), exposed(declared, 3, hours=-1),
        exposed(declared, 4, user_id=None),
        {"timestamp": declared.start.isoformat(), "request_id": "r", "user_id": "u9", "items": []}])
    with (tmp_path / "exposures" / "a.jsonl").open("a") as file:
        file.write('{"timestamp": "2024-03-0\n')
    append(tmp_path / "events" / "a.jsonl", [event("z", declared.end, "x")])
    assert report_experiment(tmp_path, "adapters", tmp_path).variants[0]["users"] == 1


def test_what_is_not_there_is_named(declared, tmp_path):
    with pytest.raises(RecsysError, match=r"no experiment is called 'colour'.*adapters"):
        report_experiment(tmp_path, "colour", tmp_path)
    with pytest.raises(RecsysError, match="none of 0 exposures"):
        report_experiment(tmp_path, "adapters", tmp_path / "nowhere")


@pytest.mark.parametrize(("taste", "decided"), [(0.65, True), (0.5, False)])
def test_interleaved_lists_are_judged_by_votes(declared, tmp_path, taste, decided):
    """Every list holds one item that only `adapted` knows and one that only `base` does; clicks take one of them."""
    (tmp_path / EXPERIMENTS_FILE).write_text(DECLARED + "    method: interleave\n")
    rng, shown, done = np.random.default_rng(3), [], []
    for n in range(600):
        drawn = interleave(["both", "old"], ["both", "new"], 3, rng)
        picked = zip(drawn.item_ids, drawn.teams, drawn.propensities, strict=True)
        items = [{"item_id": item, "position": place, "propensity": propensity, "team": team}
                 for place, (item, team, propensity) in enumerate(picked, 1)]
        shown.append(exposed(declared, n, hours=n / 60, items=items))
        clicked = "new" if rng.random() < taste else "old"
        done.append(event(f"u{n}", declared.start + timedelta(hours=n / 60 + 1), clicked))
    append(tmp_path / "exposures" / "a.jsonl", shown)
    append(tmp_path / "events" / "a.jsonl", [*done, event("z", declared.end, "x")])
    found = report_experiment(tmp_path, "adapters", tmp_path)
    share = found.differences["adapted"]
    assert share.n == 600 and share.mean == pytest.approx(taste, abs=0.06) and found.ratio is None
    assert (share.p_value < 0.05) == decided


def test_the_command_prints_text_and_json(declared, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    write_logs(tmp_path / "collected", declared, 400, {"base": 0.5, "adapted": 0.9}.get)
    assert main(["experiment", "report", "adapters"]) == 0
    told = capsys.readouterr().out
    assert "adapted − base: +0." in told and "as declared" in told and "SNIPS" in told
    assert main(["experiment", "report", "adapters", "--json", "--metric", "purchase", "--until", "2024-03-05"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metric"] == "purchase" and found["pending"] > 0 and found["differences"]["adapted"]["low"] is None
    assert main(["experiment", "report", "adapters", "--until", "tomorrow"]) == 1
    assert "--until" in capsys.readouterr().err
