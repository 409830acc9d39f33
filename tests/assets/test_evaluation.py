"""What the UI shows of every segment's evaluation."""

import shutil

from assets.evaluation import decide_all, segment_facts
from tests.adaptation.built import EVALUATION, built_shop


def test_a_segment_shows_k_method_gain_break_even_decision_and_reason(tmp_path) -> None:
    built = built_shop()
    decided = decide_all(built.judged, tmp_path, EVALUATION)
    facts = {name: segment_facts(found, decided[name]) for name, found in built.judged.items()}
    toys, nobody = facts["toys"], facts["nobody"]
    assert (toys["decision"], toys["K"], toys["method"]) == ("promoted", 32, "closed_form")
    assert toys["break_even"] == built.judged["toys"]["curve"]["break_even"]
    gain = built.judged["toys"]["trial"]["gains"]["base"]
    assert toys["gain"].value == f"**{gain['gain']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]**"
    assert "over the base" in toys["reason"] and "| 16 | +0." in toys["curve"].value
    assert (nobody["decision"], nobody["reason"]) == ("refused", "no adapter: 0 shots, needs 4")
    assert nobody["gain"].value == "none" and nobody["break_even"] == "none"


def test_a_few_segments_judged_again_are_decided_beside_the_others(tmp_path) -> None:
    built = built_shop()
    shutil.copytree(built.root / "evaluations", tmp_path / "published")
    whole = decide_all(built.judged, tmp_path / "nothing", EVALUATION)
    again = decide_all({"toys": built.judged["toys"]}, tmp_path / "published", EVALUATION)
    assert again == {name: whole[name] for name in again} and set(again) == set(whole)
    alone = decide_all({"toys": built.judged["toys"]}, tmp_path / "nothing", EVALUATION)
    assert set(alone) == {"toys"} and alone["toys"]["p_holm"] < again["toys"]["p_holm"]
