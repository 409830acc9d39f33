"""Judged nights hold a bundle where what was served is proven worse than rivals that cost nothing, or cannot be compared."""

import json
import math

import numpy as np
import pytest

from recsys_core.errors import RecsysError
from recsys_core.evaluation import NIGHTS
from recsys_core.release.nights import NightsConfig, judge_nights
from tests.release.bundles import Nights, built, judged

CONFIG = NightsConfig()


def rows(nights: int, served: float = 0.30, popularity: float = 0.10, frequency: float = 0.20, base: float = 0.29,
         fresh: bool = True) -> list[dict]:
    """Nights whose figures vary together by a little, and each by less."""
    rng = np.random.default_rng(7)
    common, own = rng.normal(0, 0.05, nights), rng.normal(0, 0.005, (4, nights))
    named = {"served": served, "popularity": popularity, "personal_frequency": frequency, "base": base}
    return [{"day": f"2024-{1 + n // 28:02d}-{1 + n % 28:02d}", "questions": 100, "shoppers": 50, "fresh": fresh}
            | {name: value + float(common[n] + own[at, n]) for at, (name, value) in enumerate(named.items())}
            for n in range(nights)]


@pytest.fixture
def judge(tmp_path):
    def of(found: list[dict], config: NightsConfig = CONFIG):
        (tmp_path / NIGHTS).write_text(json.dumps(found))
        return judge_nights(tmp_path, config)

    return of


def test_a_champion_that_beats_its_free_rivals_holds_nothing(judge):
    found = judge(rows(20))
    assert found.held == ()
    assert found.gains["served over popularity on judged nights"].mean == pytest.approx(0.2, abs=0.01)
    rivals = [phrase.split(" than ")[1].split(" on ")[0] for phrase in found.told]
    assert rivals == ["base ranker", "personal frequency", "popularity"]
    assert all("on 20 judged nights +" in phrase for phrase in found.told)


@pytest.mark.parametrize(("rival", "name"), [("popularity", "popularity"), ("frequency", "personal frequency"),
                                             ("base", "base ranker")])
def test_a_champion_proven_worse_than_a_free_rival_holds_with_the_figures(judge, rival, name):
    found = judge(rows(20, **{rival: 0.33}))
    [reason] = found.held
    assert reason.startswith(f"worse than {name} on 20 judged nights -0.03")
    assert len(found.told) == 2
    assert found.gains[f"served over {name} on judged nights"].high < 0


def test_one_bad_night_proves_nothing(judge):
    found = rows(20)
    found[3]["popularity"] = 1.0
    assert judge(found).held == ()


@pytest.mark.parametrize("count", [0, 1, 13])
def test_too_few_nights_say_so_and_hold_nothing(judge, count):
    found = judge(rows(count, popularity=0.9))
    assert (found.held, found.gains) == ((), {})
    assert found.told == (f"{count} of 14 fresh nights judged as served: not yet compared",)
    assert judge(rows(14, popularity=0.9)).held != ()


def test_nights_of_a_stale_champion_count_for_nothing(judge):
    assert judge(rows(40, popularity=0.9, fresh=False)).told[0].startswith("0 of 14")
    assert judge(rows(20, popularity=0.9, fresh=False) + rows(20)).held == ()


def test_only_the_newest_nights_count(judge):
    assert judge(rows(20, popularity=0.9) + rows(20), NightsConfig(newest=20)).held == ()


@pytest.mark.parametrize("value", [math.nan, None, "much", ...])
@pytest.mark.parametrize("name", ["served", "popularity", "personal_frequency", "base"])
def test_a_figure_that_is_missing_or_no_number_holds(judge, name, value):
    found = rows(20)
    if value is ...:
        del found[5][name]
    else:
        found[5][name] = value
    held = judge(found).held
    assert len(held) == (3 if name == "served" else 1)
    assert all("missing or no number" in reason for reason in held)


def test_rows_that_cannot_be_read_fail_the_step(tmp_path):
    with pytest.raises(RecsysError, match="missing"):
        judge_nights(tmp_path, CONFIG)


@pytest.mark.parametrize(("outcome", "stored"), [("passed", "held"), ("held", "held"), ("refused", "refused"),
                                                 ("broken", "broken")])
def test_bad_nights_hold_what_would_pass_and_a_person_may_overrule(tmp_path, judge, outcome, stored):
    nights = Nights(tmp_path / "home", tmp_path / "built")
    nights.night("a")
    bad = judge(rows(20, popularity=0.33))
    entry = nights.promoter.settle(built(nights.sources / "b", "b"), judged(nights.promoter, outcome), "run 2", bad)
    assert (entry.outcome, nights.serving) == (stored, "a")
    assert any(reason.startswith("worse than popularity on 20") for reason in entry.reasons)
    assert entry.reasons[0].startswith("worse than popularity" if stored == "held" else "beats popularity")
    assert entry.gains["served over popularity on judged nights"]["high"] < 0
    if stored == "held":
        nights.promoter.decide(entry.bundle, approve=True, who="ann", why="the week was a holiday")
        assert nights.serving == "b"


def test_good_nights_let_pass_and_are_told_last(tmp_path, judge):
    nights = Nights(tmp_path / "home", tmp_path / "built")
    entry = nights.promoter.settle(built(nights.sources / "b", "b"), judged(nights.promoter), "run 1", judge(rows(20)))
    assert (entry.outcome, nights.serving) == ("passed", "b")
    assert entry.reasons[0] == "beats popularity"
    assert "not proven worse than popularity" in entry.reasons[-1]
