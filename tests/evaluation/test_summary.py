"""Everything gathered: decisions with reasons, windows, certificates and curves."""

import pytest

from recsys_core.evaluation.gate import AUDIENCES
from recsys_core.report.report import write_report
from tests.adaptation.built import SEGMENTS, built_shop


@pytest.fixture(scope="module")
def built():
    return built_shop()


def test_every_segment_is_decided_with_a_reason(built):
    decided = {segment.name: segment for segment in built.results.segments}
    assert sorted(decided) == sorted(SEGMENTS)
    assert all(segment.reason for segment in decided.values())
    assert all(bool(segment.audiences) == (segment.decision == "promoted") for segment in decided.values())
    assert decided["stationery"].decision == "refused"  # noise
    assert decided["stationery"].reason.endswith("the base filtered to the page serves")
    assert decided["nobody"].decision == "no data" and decided["nobody"].reason.startswith("no adapter: 0 shots, needs 4")
    assert decided["region"].kind == "family" and decided["region"].by == "users.region" and decided["region"].members == 3


def test_a_decided_segment_tells_its_windows_and_what_it_gained(built):
    fair = next(segment for segment in built.results.segments if segment.name == "spring-fair")
    assert (fair.support, fair.gate, fair.report) == (
        "2024-04-04 … 2024-04-05", "2024-04-06 … 2024-04-08", "2024-04-09 … 2024-04-11")
    assert fair.method == "counts" and fair.shots > 100
    assert list(fair.by_audience) == list(AUDIENCES)
    for audience, found in fair.by_audience.items():
        assert found.promoted == (audience in fair.audiences)
        assert found.gain.mean == pytest.approx(found.ndcg["adapted"] - found.ndcg["base"])
        assert found.toughest in found.ndcg and 0 <= found.p_holm <= 1
        assert set(found.ndcg) == {"base", "adapted", "placebo", "segment_popularity", "counting"}
    assert fair.curve.to_json() == built.judged["spring-fair"]["curve"]
    assert set(fair.by_audience["full"].gain_by_slice) == {"all", "repeat", "first_time"}


def test_the_shop_is_counted_from_its_own_tables(built):
    shop = built.results.shop
    assert (shop.items, shop.distinct_texts, shop.users) == (120, 120, 180)
    assert shop.events == built.tables["interactions"].height and shop.exposures == 0
    assert (shop.first_day, shop.last_day) == ("2024-03-01", "2024-04-11")
    assert built.results.exposures is None and built.results.promotions is None


def test_certificates_and_curves_come_along(built):
    assert len(built.results.certificates) == len(SEGMENTS) + 1 and all(c.holds for c in built.results.certificates)
    assert [curve.title.split(":")[0] for curve in built.results.curves] == ["text encoder", "student", "without a teacher"]
    assert 0 < built.results.student.cosine <= 1


def test_the_report_can_be_written_from_it(built, tmp_path):
    write_report(tmp_path / "report", built.results)
    text = "".join(path.read_text() for path in (tmp_path / "report").rglob("*.html"))
    assert "toys" in text and "region" in text and "no adapter: 0 shots, needs 4" in text
