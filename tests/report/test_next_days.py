"""What was served on the days after: enough nights, means over days, and their place in the report."""

import pytest

from recsys_core.artefacts import write_json
from recsys_core.evaluation.summary import ENOUGH_NIGHTS, NIGHTS, _next_days
from recsys_core.report.document import to_markdown
from recsys_core.report.report import build_report
from tests.report.sample import sample_results


def nights(count: int) -> list[dict]:
    return [{"day": f"2024-04-{n + 1:02d}", "questions": 100, "shoppers": 50, "served": 0.3 + 0.01 * (n % 2),
             "personal_frequency": 0.2, "popularity": 0.1} for n in range(count)]


def test_means_and_gains_over_days(tmp_path):
    write_json(tmp_path / NIGHTS, nights(6))
    found = _next_days(tmp_path, 0)
    assert (found.days, found.questions, found.first_day, found.last_day) == (6, 600, "2024-04-01", "2024-04-06")
    assert found.ndcg["served"].mean == pytest.approx(0.305)
    assert found.gains["personal_frequency"].mean == pytest.approx(0.105)
    assert 0.09 < found.gains["personal_frequency"].low < 0.105 < found.gains["personal_frequency"].high < 0.12
    assert found.gains["popularity"].clusters == 6


def test_few_nights_say_nothing(tmp_path):
    assert _next_days(None, 0) is None
    assert _next_days(tmp_path, 0) is None
    write_json(tmp_path / NIGHTS, nights(ENOUGH_NIGHTS - 1))
    assert _next_days(tmp_path, 0) is None


def test_the_report_has_its_table(tmp_path):
    write_json(tmp_path / NIGHTS, nights(6))
    results = sample_results().model_copy(update={"next_days": _next_days(tmp_path, 0)})
    told = to_markdown("Evaluation", build_report(results, set()))
    assert "600 steps of 6 days, 2024-04-01 … 2024-04-06" in told
    row = next(line for line in told.splitlines() if line.startswith("| personal frequency") and "+0.105" in line)
    assert "0.2000" in row
    assert "Judged as served" not in to_markdown("Evaluation", build_report(sample_results(), set()))
