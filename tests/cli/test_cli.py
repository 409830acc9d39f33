import json
import os
import shlex
import shutil
import subprocess
import sys

import polars as pl
import pytest

from recsys_core.cli.main import main
from recsys_core.signatures import PUBLIC_KEY, own_key
from tests.serving.tiny import use_word_encoder


@pytest.fixture(autouse=True)
def word_encoder(monkeypatch):
    use_word_encoder(monkeypatch)


def test_recommend_prints_the_list(bundle_folder, capsys):
    assert main(["recommend", "--bundle", str(bundle_folder), "--history", "k0, nothing", "--k", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and " g0 " in lines[0] and "Zinc planter" in lines[0] and "you bought Steel mug" in lines[0]
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
    assert main([*asked, "--context", "store"]) == 1


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
    ["recommend", "--filter", "price"], ["evaluate", "--test", "missing.parquet"], ["evaluate", "--test", "."],
    ["evaluate", "--test", __file__], ["recommend", "--k", "many"], ["recommend", "--colour"], ["evaluate"],
])
def test_errors_are_one_line_and_exit_code_1(bundle_folder, arguments, capsys):
    assert main([arguments[0], "--bundle", str(bundle_folder), *arguments[1:]]) == 1
    streams = capsys.readouterr()
    assert len(streams.err.splitlines()) == 1 and "Fix:" in streams.err and streams.out == ""


@pytest.mark.parametrize("name", ["cut.parquet", "wrong.parquet"])
def test_a_test_file_that_cannot_be_read_is_one_line(bundle_folder, tmp_path, capsys, name):
    pl.DataFrame({"history": [["k0"]], "target": [{"id": "g0"}]}).write_parquet(tmp_path / "wrong.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "wrong.parquet").read_bytes()[:-40])
    assert main(["evaluate", "--bundle", str(bundle_folder), "--test", str(tmp_path / name)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_foreign_test_rows_are_no_result(bundle_folder, tmp_path, capsys):
    pl.DataFrame({"history": [[1, 2]], "target": [3]}).write_parquet(tmp_path / "test.parquet")
    assert main(["evaluate", "--bundle", str(bundle_folder), "--test", str(tmp_path / "test.parquet")]) == 1
    streams = capsys.readouterr()
    assert streams.out == "" and "1 of 1 targets and 2 of 2 history ids are not in the catalogue, e.g. '3' beside" in streams.err


@pytest.mark.parametrize("wanted", ["brand=Alder", "brand=007", "brand=1e5", "brand=true", 'brand=["007", "Alder"]', "price=3",
                                    "brand=null", "brand=[", 'price={"min": 3}'])
def test_filters_on_text_are_read_as_text(bundle_folder, capsys, wanted):
    assert main(["recommend", "--bundle", str(bundle_folder), "--filter", wanted]) == 0
    out = capsys.readouterr().out
    assert ("segment: base" in out) == ("Alder" in wanted or "price" in wanted)
    assert "segment: base" in out or "no item matches the filters on brand" in out


def recsys(bundle_folder, *arguments: str, encoding: str = "utf-8", reader: str = "cat") -> subprocess.CompletedProcess:
    """The command in a shell of its own, its output piped to a reader."""
    script = ("from tests.serving import tiny; import pytest, sys; from recsys_core.cli.main import main\n"
              "tiny.use_word_encoder(pytest.MonkeyPatch()); sys.exit(main(sys.argv[1:]))")
    command = shlex.join([sys.executable, "-c", script, arguments[0], "--bundle", str(bundle_folder), *arguments[1:]])
    return subprocess.run(["bash", "-o", "pipefail", "-c", f"{command} | {reader}"], capture_output=True, text=True,
                          env={**os.environ, "PYTHONIOENCODING": encoding}, errors="replace")


def test_a_closed_pipe_ends_quietly(bundle_folder):
    done = recsys(bundle_folder, "recommend", "-k", "20", reader="true")
    assert (done.returncode, done.stderr) == (0, "")


def test_any_locale_prints(bundle_folder):
    done = recsys(bundle_folder, "search", "木製おもちゃ", "-k", "1", encoding="ascii")
    assert (done.returncode, done.stderr) == (0, "") and "d3" in done.stdout and "??????" in done.stdout
    answer = recsys(bundle_folder, "recommend", "--history", "d3,未知", "-k", "1", "--json", encoding="ascii").stdout
    assert "未知" in json.loads(answer)["fallback"]


def test_the_default_bundle_is_where_the_chain_leaves_it(bundle_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    assert main(["recommend"]) == 1
    assert str(tmp_path / "bundle") in capsys.readouterr().err
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    assert main(["recommend", "--history", "k0"]) == 0


def test_verify_and_sign_say_what_was_checked(bundle_folder, tmp_path, capsys, monkeypatch):
    folder, private = shutil.copytree(bundle_folder, tmp_path / "bundle"), own_key(tmp_path)
    public = str(private.with_name(PUBLIC_KEY))
    assert main(["verify", "--bundle", str(folder)]) == 0
    assert "by SHA-256" in (said := capsys.readouterr().out) and "signature  none" in said
    assert main(["sign", "--bundle", str(folder), "--key", str(private)]) == 0
    assert main(["verify", "--bundle", str(folder)]) == 0
    assert "was not checked" in capsys.readouterr().out
    assert main(["verify", "--bundle", str(folder), "--key", public]) == 0
    assert "covers all of them and the manifest" in capsys.readouterr().out
    (folder / "extra.json").write_text("{}")
    monkeypatch.setenv("RECSYS_TRUSTED_KEY", public)
    assert main(["verify", "--bundle", str(folder)]) == 1
    assert "extra.json is not in the manifest" in capsys.readouterr().err


def test_rules_are_obeyed_and_the_sentence_is_printed(bundle_folder, tmp_path, capsys):
    rules = tmp_path / "rules.yaml"
    rules.write_text("must_not: [{name: planter, items: [g0]}]\nmust: [{name: teapot, items: [k1], among: 1}]\n")
    assert main(["recommend", "--bundle", str(bundle_folder), "--history", "k0", "-k", "3", "--rules", str(rules)]) == 0
    printed = capsys.readouterr().out
    assert "g0" not in printed and "Glass teapot  (Placed by the shop (“teapot”)" in printed.splitlines()[0]
    rules.write_text("caps: {colour: 1}")
    assert main(["search", "mug", "--bundle", str(bundle_folder), "--rules", str(rules)]) == 1
