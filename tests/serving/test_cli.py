import json
import shutil

import polars as pl
import pytest

from recsys_core.serving.cli import main
from tests.serving.tiny import use_word_encoder


@pytest.fixture(autouse=True)
def word_encoder(monkeypatch):
    use_word_encoder(monkeypatch)


def test_recommend_prints_the_list(bundle_folder, capsys):
    assert main(["recommend", "--bundle", str(bundle_folder), "--history", "k0, nothing", "--k", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and " g0 " in lines[0] and "Zinc planter" in lines[0] and "transitions" in lines[0]
    assert lines[2] == "segment: base; 1 unknown item ids ignored (nothing)"


def test_json_lines_and_filters(bundle_folder, capsys):
    arguments = ["--history", "k0", "--filter", "department=Deli", "--filter", 'price={"max": 16}', "--json"]
    assert main(["recommend", "--bundle", str(bundle_folder), *arguments, "--segment", "auto"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {a["item_id"] for a in answers} == {"d0", "d1"} and answers[0]["segment"] == "new"


def test_context_and_shelf(bundle_folder, capsys):
    asked = ["recommend", "--bundle", str(bundle_folder), "--shelf", "window", "--segment", "auto", "--at", "2024-05-01"]
    assert main([*asked, "--context", "store=412"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 3 and out[2].startswith("segment: store")
    assert main([*asked, "--context", "store"]) == 2


def test_search(bundle_folder, capsys):
    assert main(["search", "--bundle", str(bundle_folder), "steel mug", "-k", "1"]) == 0
    assert "Steel mug" in capsys.readouterr().out


def test_inspect_shows_segments_with_their_reasons(bundle_folder, capsys):
    assert main(["inspect", "--bundle", str(bundle_folder)]) == 0
    out = capsys.readouterr().out
    assert "segment   toys (domain): refused: does not pay" in out and "ndcg@10" in out and "tiny" in out
    assert "segment   store (family): promoted for none, little: pays" in out
    assert "shelves   campaign, new-arrivals, window" in out
    assert "answers the golden requests" in out


def test_evaluate_prints_the_keys_with_k(bundle_folder, tmp_path, capsys):
    pl.DataFrame({"history": [["k0"]], "target": ["g0"]}).write_parquet(tmp_path / "test.parquet")
    assert main(["evaluate", "--bundle", str(bundle_folder), "--test", str(tmp_path / "test.parquet"),
                 "--k", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"n": 1, "hr@5": 1.0, "recall@5": 1.0, "ndcg@5": 1.0, "mrr@5": 1.0}


@pytest.mark.parametrize("arguments", [
    ["recommend", "--k", "0"], ["search", ""], ["recommend", "--at", "soon"],
    ["recommend", "--filter", "price"], ["evaluate", "--test", "missing.parquet"],
])
def test_errors_are_one_line_and_exit_code_2(bundle_folder, arguments, capsys):
    assert main([arguments[0], "--bundle", str(bundle_folder), *arguments[1:]]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_default_bundle_is_where_the_chain_leaves_it(bundle_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    assert main(["recommend"]) == 2
    assert str(tmp_path / "bundle") in capsys.readouterr().err
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    assert main(["recommend", "--history", "k0"]) == 0
