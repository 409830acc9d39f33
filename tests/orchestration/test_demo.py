"""The summary after `make demo`, from a real bundle and a real report's figures."""

import polars as pl
import pytest

from orchestration.demo import main, summary
from recsys_core.artefacts import write_json
from recsys_core.deployment.bundle import write_bundle
from recsys_core.evaluation.results import SegmentResult
from tests.evaluation.sample import curve, interval, sample_results
from tests.serving.tiny import tiny_arguments, tiny_events, use_word_encoder


def segment(name: str, decision: str, reason: str, shots: int) -> SegmentResult:
    return SegmentResult(name=name, kind="domain", decision=decision, reason=reason, shots=shots, method="closed_form",
                         gain=interval(0.062 if decision == "promoted" else 0.001, 0.008),
                         curve=curve(0.062 if decision == "promoted" else 0.001))


@pytest.fixture
def lines(tmp_path, monkeypatch) -> list[str]:
    use_word_encoder(monkeypatch)
    write_bundle(tmp_path / "bundle", **tiny_arguments(tmp_path / "sources"))
    judged = [segment("deli", "promoted", "pays", 64), segment("toys", "refused", "does not pay", 32)]
    results = sample_results().model_copy(update={"segments": judged})
    write_json(tmp_path / "report" / "metrics.json", results.model_dump(mode="json"))
    (tmp_path / "features").mkdir()
    events = tiny_events()
    events.write_parquet(tmp_path / "features" / "interactions.parquet")
    deli = events.filter(pl.col("item_id").str.starts_with("d")).select(pl.lit("deli").alias("segment"), "event_id")
    deli.write_parquet(tmp_path / "features" / "segment_events.parquet")
    return list(summary(tmp_path))


def below(lines: list[str], heading: str, count: int) -> list[str]:
    start = next(n for n, line in enumerate(lines) if line.startswith(heading))
    return lines[start + 1:start + 1 + count]


def test_it_says_what_was_promoted_and_what_was_refused_and_why(lines) -> None:
    assert "Segments: 1 of 2 promoted." in lines
    assert ("  promoted: deli (K = 64, closed_form, NDCG@10 +0.0620 [+0.0540, +0.0700], pays from K = 16 on): pays") in lines
    assert ("  refused: toys (K = 32, closed_form, NDCG@10 +0.0010 [-0.0070, +0.0090], pays at no K): does not pay") in lines


def test_adapting_changes_the_shoppers_list(lines) -> None:
    before = [line.split()[1] for line in below(lines, "Shopper ", 5)]
    after = [line.split()[1] for line in below(lines, "after adaptation to deli", 5)]
    assert before != after
    assert {"d1", "d2"} <= set(after)  # the adapter's favourites


def test_every_method_has_its_row_and_the_search_answers(lines) -> None:
    table = "\n".join(below(lines, "Ranking the whole catalogue", 9))
    assert "personal frequency" in table and "item-kNN" in table
    assert [line.split()[1] for line in below(lines, "Search for “train”", 1)] == ["t0"]


def test_without_a_report_it_says_what_is_missing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    assert main() == 1
    assert "metrics.json: the file is missing" in capsys.readouterr().err
