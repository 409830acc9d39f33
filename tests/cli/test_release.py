"""`recsys rollback` and `recsys review` on the command line."""

import pytest

from recsys_core.cli.main import main
from tests.release.bundles import Nights


@pytest.fixture
def nights(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOGNAME", "mia")
    return Nights(tmp_path / "home", tmp_path / "built")


def test_rollback_moves_back_and_logs_the_person(nights, capsys):
    first, second = nights.night("a"), nights.night("b")
    assert main(["rollback", "--why", "too many complaints"]) == 0
    assert nights.serving == "a"
    told = capsys.readouterr().out
    assert first.bundle[:12] in told and second.bundle[:12] in told
    last = nights.promoter.log().entries[-1]
    assert (last.who, last.why) == ("mia", "too many complaints")
    assert main(["rollback", "--why", "more"]) == 1 and "no earlier champion" in capsys.readouterr().err


def test_rollback_takes_another_home_and_a_name(nights, capsys, monkeypatch, tmp_path):
    first = nights.night("a")
    for answer in "bc":
        nights.night(answer)
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "elsewhere"))
    assert main(["rollback", "--home", str(nights.promoter.home), "--to", first.bundle[:8], "--why", "x"]) == 0
    assert nights.serving == "a"


def test_review_lists_what_waits_with_its_reasons_and_decides(nights, capsys):
    nights.night("a")
    held = nights.night("b", "held", reason="age 18: NDCG lacks 40% beside all others, 20% allowed")
    refused = nights.night("c", "refused", reason="not proven better than popularity")
    assert main(["review"]) == 0
    told = capsys.readouterr().out
    for words in (f"held       {held.bundle[:12]}", "- age 18: NDCG lacks 40%", f"refused    {refused.bundle[:12]}"):
        assert words in told
    assert main(["review", held.bundle[:12]]) == 0
    assert refused.bundle[:12] not in capsys.readouterr().out
    assert main(["review", held.bundle[:12], "--approve"]) == 1 and "no reason" in capsys.readouterr().err
    assert main(["review", held.bundle[:12], "--approve", "--why", "seven shoppers"]) == 0
    assert nights.serving == "b" and "champion now" in capsys.readouterr().out
    assert main(["review", "--reject", "--why", "x"]) == 1 and "no bundle is named" in capsys.readouterr().err


def test_without_a_champion_that_passed_serving_says_what_waits(nights, capsys):
    entry = nights.night("a", "refused")
    assert main(["serve"]) == 1
    told = capsys.readouterr().err
    assert f"{entry.bundle[:12]} was refused" in told and "recsys review" in told
