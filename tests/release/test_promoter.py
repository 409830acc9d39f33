"""The champion moves only with a stored passing verdict, goes back when told or proven worse, and survives being killed."""

import json
import math
import shutil

import pytest

from recsys_core.artefacts import write_json
from recsys_core.deployment.manifest import write_manifest
from recsys_core.errors import BundleError, RequestError
from recsys_core.release.champion import manifest_hash, released_champion
from recsys_core.release.promoter import Promoter, content_of
from tests.release.bundles import Nights, built, judged


@pytest.fixture
def nights(tmp_path):
    return Nights(tmp_path / "home", tmp_path / "built")


def test_what_passed_becomes_champion_and_its_verdict_is_stored(nights):
    entry = nights.night("a")
    assert nights.serving == "a" and entry.outcome == "passed"
    stored = nights.promoter.log()
    assert [one.what for one in stored.entries] == ["judged", "promoted"]
    assert stored.verdict(entry.bundle).reasons == ("beats popularity",)
    assert stored.entries[0].gains["champion"]["low"] == 0.005 and stored.entries[0].run == "run 1"


@pytest.mark.parametrize("outcome", ["refused", "held", "broken"])
def test_what_did_not_pass_leaves_the_champion(nights, outcome):
    nights.night("a")
    entry = nights.night("b", outcome, reason="may lose more than allowed")
    assert nights.serving == "a" and nights.promoter.log().verdict(entry.bundle).outcome == outcome
    assert not nights.promoter.log().passed(entry.bundle)


def test_the_first_refused_bundle_leaves_an_empty_place(nights):
    nights.night("a", "refused")
    assert nights.promoter.champion.is_dir() and not list(nights.promoter.champion.iterdir())


def test_a_figure_that_is_no_number_is_stored_as_none(nights):
    nights.night("a", "broken", metric=math.nan)
    assert nights.promoter.log().entries[0].metrics == {"ndcg@10": None}


def test_the_promoter_reads_the_verdict_it_stored(nights):
    entry = nights.night("a", "refused")
    with nights.promoter._alone(), pytest.raises(BundleError, match="no stored passing verdict"):
        nights.promoter._promote(entry.bundle, "night", "")


def test_a_bundle_judged_beside_another_champion_is_refused(nights):
    nights.night("a")
    found = judged(nights.promoter)
    nights.night("b")
    entry = nights.promoter.settle(built(nights.sources / "late", "c"), found)
    assert entry.outcome == "refused" and "compared with" in entry.reasons[0] and nights.serving == "b"


def test_serving_accepts_only_a_champion_with_a_stored_passing_verdict(nights, tmp_path):
    home = nights.promoter.home
    with pytest.raises(BundleError, match="nothing was promoted yet"):
        released_champion(home)
    entry = nights.night("a", "refused")
    with pytest.raises(BundleError, match=f"{entry.bundle[:12]} was refused"):
        released_champion(home)
    nights.night("b")
    assert released_champion(home) == home / "champion"
    shutil.rmtree(home / "champion")
    shutil.copytree(nights.sources / "1", home / "champion")  # by hand, past the gates
    with pytest.raises(BundleError, match="no stored passing verdict"):
        released_champion(home)


def test_a_bundle_put_there_by_hand_is_replaced_by_the_logged_champion(nights):
    nights.night("a")
    shutil.rmtree(nights.promoter.champion)
    built(nights.promoter.champion, "smuggled")
    nights.night("b", "refused")
    assert nights.serving == "a"


def test_a_night_that_built_the_same_again_moves_nothing(nights):
    nights.night("a")
    first = manifest_hash(nights.promoter.champion)
    entry = nights.night("a")
    assert entry.outcome == "unchanged" and entry.bundle != first == manifest_hash(nights.promoter.champion)
    assert nights.promoter.predecessor() is None


def test_content_leaves_out_where_a_bundle_comes_from(tmp_path):
    one, two, other = (content_of(built(tmp_path / str(n), answer, n)) for n, answer in enumerate("aab"))
    assert one == two != other


# --- back ---

def test_a_rollback_restores_the_champion_before_and_says_who_and_why(nights):
    nights.night("a")
    nights.night("b")
    entry = nights.promoter.roll_back("mia", "complaints about toys")
    assert nights.serving == "a" and (entry.who, entry.why) == ("mia", "complaints about toys")
    assert nights.promoter.log().entries[-1] == entry and entry.at.endswith("+00:00")


def test_what_was_rolled_back_is_not_promoted_again_unless_its_content_changed(nights):
    for answer in "ab":
        nights.night(answer)
    nights.promoter.roll_back("mia", "complaints")
    again = nights.night("b")
    assert nights.serving == "a" and again.outcome == "refused" and "rolled back" in again.reasons[0]
    assert nights.night("c").outcome == "passed" and nights.serving == "c"


def test_a_person_may_take_what_was_rolled_back_again(nights):
    for answer in "ab":
        nights.night(answer)
    gone = nights.promoter.roll_back("mia", "complaints").champion
    assert nights.promoter.log().waiting()["rolled back"].bundle == gone
    nights.promoter.decide(gone[:8], True, "leo", "the complaints were about prices")
    assert nights.serving == "b" and not nights.promoter.log().barred()
    nights.promoter.roll_back("mia", "no")
    assert nights.serving == "a"


def test_a_rollback_past_several_names_one_and_bars_all_that_it_leaves(nights):
    first = nights.night("a").bundle
    for answer in "bc":
        nights.night(answer)
    nights.promoter.roll_back("mia", "long wrong", to=first[:10])
    assert nights.serving == "a"
    assert [nights.night(answer).outcome for answer in "bc"] == ["refused", "refused"]
    with pytest.raises(RequestError, match="no earlier champion"):
        nights.promoter.roll_back("mia", "further")


def test_a_rollback_needs_a_reason_and_a_bundle_that_is_kept(nights):
    nights.night("a")
    nights.night("b")
    with pytest.raises(RequestError, match="no reason"):
        nights.promoter.roll_back("mia", " ")
    with pytest.raises(RequestError, match="names 0"):
        nights.promoter.roll_back("mia", "x", to="0" * 12)
    damaged = nights.promoter.predecessor() / "answers.json"
    damaged.unlink()  # a name of its own: the published file may share its bytes
    damaged.write_text("{}")
    with pytest.raises(BundleError):
        nights.promoter.roll_back("mia", "x")
    assert nights.serving == "b" and nights.promoter.log().entries[-1].what == "promoted"


def test_so_many_earlier_champions_are_kept_as_the_shop_says(tmp_path):
    nights = Nights(tmp_path / "home", tmp_path / "built", keep=2)
    for answer in "abcde":
        nights.night(answer)
    assert len(list((nights.promoter.home / "release" / "bundles").iterdir())) == 3
    for expected in "dc":
        nights.promoter.roll_back("mia", "back")
        assert nights.serving == expected
    with pytest.raises(RequestError, match="no earlier champion"):
        nights.promoter.roll_back("mia", "back")


def test_a_champion_proven_worse_than_its_predecessor_goes_back_by_itself(nights):
    nights.night("a")
    nights.night("b")
    entry = nights.night("c", "refused", relapse="worse than its predecessor: -0.02 [-0.03, -0.01]")
    moves = [one for one in nights.promoter.log().entries if one.what == "rolled back"]
    assert nights.serving == "a" and entry.outcome == "refused"
    assert [(one.who, one.why[:27]) for one in moves] == [("night", "worse than its predecessor:")]
    assert nights.night("b").outcome == "refused" and nights.serving == "a"


def test_a_better_challenger_takes_the_place_of_a_champion_that_went_back(nights):
    nights.night("a")
    nights.night("b")
    nights.night("c", relapse="worse")
    assert nights.serving == "c"
    nights.promoter.roll_back("mia", "check")
    assert nights.serving == "a"  # not b, which went back


# --- a person decides ---

def test_with_approval_a_passed_challenger_waits_until_somebody_approves_it(tmp_path):
    nights = Nights(tmp_path / "home", tmp_path / "built", approval=True)
    entry = nights.night("a")
    assert entry.outcome == "held" and "person" in entry.reasons[0] and not (nights.promoter.champion / "manifest.json").exists()
    assert nights.promoter.log().waiting()["held"] == entry
    decided = nights.promoter.decide(entry.bundle[:6], True, "leo", "looked at the report")
    assert nights.serving == "a" and (decided.what, decided.who, decided.why) == ("approved", "leo", "looked at the report")
    assert not nights.promoter.log().waiting() and released_champion(nights.promoter.home)


def test_what_a_person_rejects_does_not_come_back(nights):
    entry = nights.night("a", "held", reason="age 18: NDCG lacks 40%")
    nights.promoter.decide(entry.bundle[:12], False, "leo", "unfair")
    assert not nights.promoter.log().waiting()
    again = nights.night("a")
    assert again.outcome == "refused" and "leo rejected" in again.reasons[0] and not list(nights.promoter.champion.iterdir())


def test_a_person_may_overrule_the_gates_but_approve_nothing_broken(nights):
    refused = nights.night("a", "refused")
    nights.promoter.decide(refused.bundle, True, "leo", "the gate lacks rows")
    assert nights.serving == "a"
    broken = nights.night("b", "broken", reason="golden request 3 is answered differently")
    with pytest.raises(RequestError, match="golden request 3"):
        nights.promoter.decide(broken.bundle, True, "leo", "never mind")
    assert nights.serving == "a"


def test_a_decision_needs_a_reason_and_something_that_waits(nights):
    entry = nights.night("a", "held")
    with pytest.raises(RequestError, match="no reason"):
        nights.promoter.decide(entry.bundle, True, "leo", "")
    with pytest.raises(RequestError, match="names 0"):
        nights.promoter.decide("f" * 12, True, "leo", "x")
    with pytest.raises(RequestError, match=r"names 1 .* give 6 letters"):
        nights.promoter.decide(entry.bundle[:3], True, "leo", "x")


def test_a_newer_held_bundle_takes_the_place_of_an_older_one_and_a_promotion_ends_all(nights):
    nights.night("a", "held")
    newer = nights.night("b", "held")
    assert [one.bundle for one in nights.promoter.log().waiting().values()] == [newer.bundle]
    nights.night("c")
    assert not nights.promoter.log().waiting()
    assert len(list((nights.promoter.home / "release" / "bundles").iterdir())) == 1


# --- killed ---

def test_a_move_that_was_logged_and_not_made_is_made_by_the_next(nights, monkeypatch):
    nights.night("a")
    with monkeypatch.context() as patch:
        patch.setattr(Promoter, "_publish", lambda self, bundle: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            nights.night("b")
    assert nights.serving == "a" and released_champion(nights.promoter.home)  # the old one serves on
    nights.night("c", "refused")
    assert nights.serving == "b"


def test_half_a_line_of_a_killed_writer_never_held_and_swallows_no_other(nights):
    nights.night("a")
    path = nights.promoter.home / "release" / "log.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + json.dumps({"at": "2026-01-01", "what": "promoted"}).encode()[:20])
    assert [one.what for one in nights.promoter.log().entries] == ["judged", "promoted"]
    nights.night("b")
    assert [one.what for one in nights.promoter.log().entries] == ["judged", "promoted"] * 2 and nights.serving == "b"


def test_a_killed_verdict_was_never_stored(nights):
    entry = nights.night("a", "refused")
    path = nights.promoter.home / "release" / "log.jsonl"
    line = path.read_text().replace('"refused"', '"passed"')
    path.write_text(line[:len(line) // 2])
    assert not nights.promoter.log().passed(entry.bundle)


def rewrite(folder):
    """As the erasure of a shopper changes a bundle: another file, another manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "answers.json").unlink()
    write_json(folder / "answers.json", {"answer": manifest["lineage"]["run"] + " without her"})
    write_manifest(folder, {"items": 3, "lineage": manifest["lineage"]})


def test_bundles_that_were_rewritten_without_a_shopper_keep_their_verdicts(nights):
    for answer in "ab":
        nights.night(answer)
    held = nights.night("c", "held")
    for folder in [nights.promoter.champion, *(nights.promoter.home / "release" / "bundles").iterdir()]:
        rewrite(folder)
    with pytest.raises(BundleError, match="no stored passing verdict"):
        released_champion(nights.promoter.home)
    nights.promoter.follow_erasure()
    assert nights.serving == "run 2 without her" and released_champion(nights.promoter.home)
    waiting = nights.promoter.log().waiting()["held"]
    assert waiting.bundle != held.bundle and waiting.reasons == held.reasons
    nights.promoter.roll_back("mia", "check")
    assert nights.serving == "run 1 without her"
    nights.promoter.decide(waiting.bundle, True, "leo", "fine")
    assert nights.serving == "run 3 without her"
    nights.promoter.follow_erasure()
    assert nights.serving == "run 3 without her"
