"""The summary after `make demo`, from a real bundle and a real report's figures."""

import polars as pl
import pytest

from orchestration.demo import main, summary
from recsys_core.artefacts import write_json
from recsys_core.deployment.bundle import write_bundle
from recsys_core.errors import RecsysError
from recsys_core.evaluation.results import SegmentResult
from tests.features.written import write_feature_table
from tests.report.sample import sample_results, segment
from tests.serving.tiny import SHELVES, tiny_arguments, tiny_events, use_word_encoder


def told(folder, monkeypatch, judged: list[SegmentResult], **arguments) -> list[str]:
    """The summary of the tiny bundle beside a report with these segments."""
    use_word_encoder(monkeypatch)
    write_bundle(folder / "bundle", **tiny_arguments(folder / "sources") | arguments)
    results = sample_results().model_copy(update={"segments": judged})
    write_json(folder / "report" / "metrics.json", results.model_dump(mode="json"))
    write_feature_table(folder / "features", "interactions", tiny_events())
    return list(summary(folder))


STORE = segment("store", "family", {"none": 0.062, "little": 0.011, "full": -0.012}, ("none", "little"), "pays",
                by="context.store")
DELI = segment("deli", "domain", {"full": 0.03}, ("full",), "pays")
TOYS = segment("toys", "domain", {"none": 0.001}, (), "not proven better than the base")


@pytest.fixture
def lines(tmp_path, monkeypatch) -> list[str]:
    return told(tmp_path, monkeypatch, [STORE, DELI, TOYS])


def below(lines: list[str], heading: str, count: int) -> list[str]:
    start = next(n for n, line in enumerate(lines) if line.startswith(heading))
    return lines[start + 1:start + 1 + count]


def items(lines: list[str], heading: str, count: int = 5) -> list[str]:
    return [line.split()[1] for line in below(lines, heading, count)]


def test_it_says_what_was_promoted_and_what_was_refused_and_why(lines) -> None:
    assert "Segments: 2 of 3 promoted." in lines
    assert "  promoted: store (family, 256 shots): pays" in lines
    assert "    shoppers without history: ndcg@10 0.1050 → 0.1670, +0.0620 [+0.0540, +0.0700]" in lines
    assert "  refused: toys (domain, 256 shots): not proven better than the base" in lines


def test_a_shopper_without_history_is_adapted_to_in_a_store(lines) -> None:
    before, after = items(lines, "Before adaptation, a shopper without history, store 367 (8 shots):"), items(
        lines, "after adaptation to store")
    assert "t4" not in before and after[0] == "t4"  # what store 367 likes
    assert any(line.endswith("(store pays for shoppers without history and with little history):") for line in lines)


def test_without_a_family_the_segment_that_gained_most_is_shown_to_whom_it_pays(tmp_path, monkeypatch) -> None:
    lines = told(tmp_path, monkeypatch, [DELI, TOYS])
    before, after = items(lines, "Before adaptation, shopper u00, "), items(lines, "after adaptation to deli")
    assert before != after and {"d1", "d2"} <= set(after)


def test_where_nothing_was_promoted_it_says_so(tmp_path, monkeypatch) -> None:
    lines = told(tmp_path, monkeypatch, [TOYS])
    assert "No segment was promoted: everybody's list is the base's." in lines and "Segments: 0 of 1 promoted." in lines


def test_a_shelf_that_holds_something_on_the_last_day_is_shown(lines, tmp_path, monkeypatch) -> None:
    assert set(items(lines, "Shelf window on 2024-03-05, for shopper u00:", 2)) == {"k0", "g3"}  # the campaign opens later
    other = told(tmp_path / "other", monkeypatch, [TOYS], shelves=SHELVES.filter(pl.col("shelf") == "campaign"))
    assert "No shelf holds anything on 2024-03-05." in other


def test_every_method_has_its_row_and_the_search_answers(lines) -> None:
    table = "\n".join(below(lines, "Ranking the whole catalogue", 9))
    assert "personal frequency" in table and "item-kNN" in table
    assert items(lines, "Search for “train”", 1) == ["t0"]


def test_without_a_report_it_says_what_is_missing(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    with pytest.raises(RecsysError, match=r"metrics.json: the file is missing"):
        main()
