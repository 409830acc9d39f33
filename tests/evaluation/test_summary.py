"""Everything gathered: decisions with reasons, and a bundle that serves what was promoted."""

import numpy as np
import pytest

from recsys_core.deployment.build import build_bundle
from recsys_core.evaluation.report import write_report
from recsys_core.serving import Bundle
from tests.adaptation.built import SEGMENTS, built_shop


@pytest.fixture(scope="module")
def built():
    return built_shop()


@pytest.fixture(scope="module")
def bundle(built, tmp_path_factory):
    place = tmp_path_factory.mktemp("summary") / "bundle"
    build_bundle(place, study=built.study, student=built.root / "student", adapters=built.adapters(),
                 results=built.results, shop=built.shop.config, users=built.shop.users, lineage={"encoder": "tiny"})
    return Bundle.load(place)


def test_every_segment_is_decided_with_a_reason(built):
    decided = {segment.name: segment for segment in built.results.segments}
    assert sorted(decided) == sorted(SEGMENTS)
    assert decided["toys"].decision == "promoted" and "over the base" in decided["toys"].reason
    assert decided["stationery"].decision == "refused" and decided["stationery"].reason
    assert (decided["nobody"].decision, decided["nobody"].reason) == ("no data", "no adapter: 0 shots, needs 4")


def test_a_decided_segment_tells_its_windows_and_what_it_gained(built):
    toys = next(segment for segment in built.results.segments if segment.name == "toys")
    assert (toys.support, toys.gate, toys.report) == (
        "2024-03-18 … 2024-03-30", "2024-03-31 … 2024-04-05", "2024-04-06 … 2024-04-11")
    assert toys.shots == 32 and toys.method == "closed_form"
    assert toys.gain.mean == pytest.approx(toys.ndcg["adapted"] - toys.ndcg["base"])
    assert toys.placebo_gain.mean < toys.gain.low
    assert toys.gate_gain.low > 0 and toys.p_holm <= 0.05
    assert toys.curve.to_json() == built.judged["toys"]["curve"] and toys.available == toys.curve.available
    assert toys.break_even <= 32 and not toys.rests
    assert {"all", "repeat", "first_time", "in_domain"} == set(toys.gain_by_slice)


def test_the_shop_is_counted_from_its_own_tables(built):
    shop = built.results.shop
    assert (shop.items, shop.distinct_texts, shop.users) == (120, 120, 180)
    assert shop.events == built.tables["interactions"].height and shop.exposures == 0
    assert (shop.first_day, shop.last_day) == ("2024-03-01", "2024-04-11")
    assert built.results.exposures is None and built.results.environment == {"seed": "0"}


def test_certificates_and_curves_come_along(built):
    assert len(built.results.certificates) == 6 and all(c.holds for c in built.results.certificates)
    assert [curve.title.split(":")[0] for curve in built.results.curves] == ["text encoder", "student"]
    assert 0 < built.results.student.cosine <= 1


def test_the_report_can_be_written_from_it(built, tmp_path):
    write_report(tmp_path / "report", built.results)
    text = "".join(path.read_text() for path in (tmp_path / "report").rglob("*.html"))
    assert "toys" in text and "promoted" in text and "no adapter: 0 shots, needs 4" in text


def test_the_bundle_serves_what_was_promoted_and_only_that(built, bundle):
    promoted = {segment.name for segment in built.results.segments if segment.decision == "promoted"}
    assert {name for name, route in bundle.segments.items() if route["decision"] == "promoted"} == promoted
    assert {path.name for path in (bundle.folder / "adapters").iterdir()} == promoted
    base, toys = (bundle.recommend(["K00", "T12"], k=10, segment=segment) for segment in (None, "toys"))
    assert [hit.segment for hit in toys] == ["toys"] * 10
    assert sum(hit.item_id.startswith("T") for hit in toys) > sum(hit.item_id.startswith("T") for hit in base)
    for hit in toys:
        assert sum(hit.reasons.values()) == pytest.approx(hit.score, abs=1e-3)
    refused = bundle.recommend(["K00", "T12"], k=10, segment="nobody")
    assert [hit.item_id for hit in refused] == [hit.item_id for hit in base] and refused[0].fallback


def test_the_shipped_adapter_is_the_one_refitted_through_the_newest_day(built, bundle):
    shipped = bundle.parts.adapters["toys"]
    assert shipped.settings["shots"] == 32
    offsets = shipped.offsets(bundle.catalogue)
    after = bundle.catalogue.items["material"].is_in(["wooden", "magnetic"]).to_numpy()
    toys = (bundle.catalogue.items["department"] == "Toys").to_numpy()
    assert offsets[toys & after].mean() > offsets[toys & ~after].mean() > np.mean(offsets[~toys])


def test_a_shoppers_first_clicks_adapt_the_bundle_in_memory(bundle):
    adapter = bundle.adapt([{"history": [], "item_id": f"T{row:02d}", "label": 1} for row in (12, 13, 18, 19)])
    assert adapter.is_live(bundle.catalogue)
    hits = bundle.recommend(["K00"], k=10, adapter=adapter)
    plain = bundle.recommend(["K00"], k=10)
    assert sum(hit.item_id.startswith("T") for hit in hits) > sum(hit.item_id.startswith("T") for hit in plain)
