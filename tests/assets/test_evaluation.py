"""What the UI shows of every segment's evaluation."""

import shutil

from assets.evaluation import decide_all, segment_facts
from assets.partitions import segments
from tests.adaptation.built import EVALUATION, built_shop


def test_a_segment_shows_its_decision_its_gain_per_audience_and_its_curve(tmp_path) -> None:
    built = built_shop()
    decided = decide_all(built.judged, tmp_path, EVALUATION)
    facts = {name: segment_facts(found, decided[name]) for name, found in built.judged.items()}
    fair, nobody = facts["spring-fair"], facts["nobody"]
    assert (fair["decision"], fair["method"]) == (decided["spring-fair"]["decision"], "counts")
    report = built.judged["spring-fair"]["audiences"]["none"]["report"]
    shown = "{mean:+.4f} [{low:+.4f}, {high:+.4f}]".format(**report["gain"])
    assert f"| none | {report['questions']} | {shown} |" in fair["gains"].value
    last = built.judged["spring-fair"]["curve"][-1]
    assert fair["curve"].value.splitlines()[-1].startswith(f"| {last['k']} | ")
    assert nobody["decision"] == "refused" and nobody["reason"].startswith("no adapter: 0 shots, needs 4")
    assert "curve" not in nobody


def test_a_few_segments_judged_again_are_decided_beside_the_others(tmp_path) -> None:
    built = built_shop()
    shutil.copytree(built.root / "evaluations", tmp_path / "published")
    own = {name: found for name, found in built.judged.items() if name in segments.get_partition_keys()}
    whole = decide_all(own, tmp_path / "nothing", EVALUATION)
    again = decide_all({"spring-fair": built.judged["spring-fair"]}, tmp_path / "published", EVALUATION)
    assert again == {name: whole[name] for name in again} and set(again) == set(whole)
    alone = decide_all({"spring-fair": built.judged["spring-fair"]}, tmp_path / "nothing", EVALUATION)
    assert set(alone) == {"spring-fair"}
    assert alone["spring-fair"]["p_holm"]["little"] < again["spring-fair"]["p_holm"]["little"]
