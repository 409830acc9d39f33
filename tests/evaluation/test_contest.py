"""Hand-computed rankings of three questions, in every slice."""

from math import log2

import numpy as np
import pytest

from recsys_core.evaluation.contest import SLICES, run_contest
from recsys_core.interactions.arrays import Histories, Queries
from recsys_core.interactions.knots import cut_histories

BASE = np.array([5, 4, 3, 2, 1, 0], np.float32)  # item 0 first, item 5 last, whatever the history
SECOND, THIRD, FOURTH = 1 / log2(3), 1 / log2(4), 1 / log2(5)


class Fixed:
    """Ranks by fixed scores, and notes the time it was asked for."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores, self.now = scores, []

    def score(self, histories: Histories, now: int | None = None) -> np.ndarray:
        self.now.append(now)
        return np.tile(self.scores, (len(histories), 1))


def questions() -> Queries:
    """Histories {0, 1}, {}, {2}; targets {1, 3}, {4}, {2}."""
    items = np.array([0, 1, 2], np.int32)
    histories = Histories(np.array([0, 2, 2, 3]), items, np.zeros(3), np.zeros(3), np.zeros(3, np.int8))
    return Queries(np.array([0, 1, 2]), np.array([10, 20, 40]), histories, np.array([0, 2, 3, 4]),
                   np.array([1, 3, 4, 2], np.int32))


def ndcg(contest, name: str, part: str) -> list[float]:
    return contest[name][part]["ndcg@10"].tolist()


def test_every_slice_by_hand():
    contest = run_contest(Fixed(BASE), questions())
    assert set(contest) == {"base"} and set(contest["base"]) == set(SLICES)
    ideal = 1 + SECOND
    assert ndcg(contest, "base", "all") == pytest.approx([(SECOND + FOURTH) / ideal, 1 / log2(6), THIRD])
    assert ndcg(contest, "base", "repeat") == pytest.approx([SECOND, np.nan, THIRD], nan_ok=True)
    # The seen-mask: items 0 and 1 are not offered to the first shopper, so item 3 is second.
    assert ndcg(contest, "base", "first_time") == pytest.approx([SECOND, 1 / log2(6), np.nan], nan_ok=True)


def test_recall_counts_targets_and_hits_count_questions():
    found = run_contest(Fixed(BASE), questions(), k=2)["base"]["all"]
    assert found["recall@2"].tolist() == [0.5, 0, 0]
    assert found["hr@2"].tolist() == [1, 0, 0]
    assert found["mrr@2"].tolist() == [0.5, 0, 0]


def test_everybody_ranks_the_candidates_only():
    within = np.array([0, 1, 0, 1, 1, 1], bool)
    upside_down = Fixed(BASE[::-1].copy())
    contest = run_contest(Fixed(BASE), questions(), candidates=within, rivals={"upside_down": upside_down},
                          blends={"same": lambda rows, base: base})
    ideal = 1 + SECOND
    expected = [(1 + SECOND) / ideal, THIRD, 0.0]  # items 1, 3, 4, 5 in this order; item 2 is not offered
    assert ndcg(contest, "base", "all") == pytest.approx(expected) == ndcg(contest, "same", "all")
    assert ndcg(contest, "upside_down", "all")[1] == pytest.approx(SECOND)
    assert ndcg(contest, "base", "first_time")[0] == pytest.approx(1.0)  # item 1 was seen


def test_blends_see_their_questions_and_the_bases_scores_and_rivals_stand_alone():
    lift = np.zeros((3, 6), np.float32)
    lift[1, 4] = 9  # for the second question only
    rival = Fixed(BASE[::-1].copy())
    for chunk in (1, 128):
        contest = run_contest(Fixed(BASE), questions(), blends={"adapted": lambda rows, base: base + lift[rows]},
                              rivals={"upside_down": rival}, chunk=chunk)
        assert ndcg(contest, "adapted", "all")[1] == 1.0
        assert ndcg(contest, "adapted", "all")[::2] == ndcg(contest, "base", "all")[::2]
        assert ndcg(contest, "upside_down", "all")[1] == pytest.approx(SECOND)


def test_shoppers_of_whom_nothing_is_known_share_one_list():
    class Counted(Fixed):
        def score(self, histories, now=None):
            assert len(histories) == 1
            return super().score(histories, now)

    unknown, base = cut_histories(questions(), 0), Counted(BASE)
    contest = run_contest(base, unknown, blends={"same": lambda rows, base: base + 0})
    assert ndcg(contest, "base", "all") == ndcg(contest, "same", "all") == ndcg(
        run_contest(Fixed(BASE), questions()), "base", "all")
    assert ndcg(contest, "base", "first_time") == ndcg(contest, "base", "all")
    assert np.isnan(ndcg(contest, "base", "repeat")).all()


def test_chunks_change_nothing_and_the_base_is_asked_for_the_windows_time():
    base = Fixed(BASE)
    whole, parts = run_contest(base, questions()), run_contest(base, questions(), chunk=1)
    for part in whole["base"]:
        for metric, values in whole["base"][part].items():
            np.testing.assert_array_equal(values, parts["base"][part][metric])
    assert set(base.now) == {20}


def test_no_questions_make_no_contest():
    nothing = Queries(np.zeros(0), np.zeros(0), Histories(np.zeros(1, int), *[np.zeros(0)] * 4), np.zeros(1, int),
                      np.zeros(0, int))
    assert run_contest(Fixed(BASE), nothing, rivals={"other": Fixed(BASE)}) == {"base": {}, "other": {}}
