"""One contract for every baseline, and a planted pattern that each must find."""

import copy

import numpy as np
import pytest

from recsys_core.errors import DataError
from recsys_core.interactions.arrays import Histories, Interactions
from recsys_core.metrics.baselines import (
    ItemKnnConfig,
    fit_item_knn,
    fit_last_item,
    fit_like_ratio,
    fit_personal_frequency,
    fit_popularity,
)

N = 12
DAY = 86_400


def events(rows: list[tuple[int, int, int]]) -> Interactions:
    """(user, day, item) triples, sorted."""
    user, day, item = np.array(sorted(rows)).T
    return Interactions(user.astype(np.int32), item.astype(np.int32), day.astype(np.int64) * DAY,
                        np.zeros(len(user), np.int8), np.arange(len(user)), [str(u) for u in range(user.max() + 1)])


def histories(*steps: list[list[int]]) -> Histories:
    """Per query a list of steps, oldest first; a step is a list of items."""
    items = [[item for step in query for item in step] for query in steps]
    ago = [[len(query) - 1 - at for at, step in enumerate(query) for _ in step] for query in steps]
    flat = np.array([i for query in items for i in query], np.int32)
    return Histories(np.r_[0, np.cumsum([len(query) for query in items])].astype(np.int64), flat,
                     np.array([a for query in ago for a in query], np.float32),
                     np.zeros(len(flat), np.float32), np.zeros(len(flat), np.int8))


# Item 0 is the most popular; 3 and 4 always come together; 7 sold only lately.
TRAIN = events([(u, 1, 0) for u in range(20)] + [(u, 2, i) for u in range(6) for i in (3, 4)]
               + [(u, 2, 5) for u in range(6, 13)] + [(u, 400, 7) for u in range(9)]
               + [(u, 3, 9) for u in range(4)])
FITTED = {
    "popularity": fit_popularity(TRAIN, N),
    "personal_frequency": fit_personal_frequency(TRAIN, N),
    "item_knn": fit_item_knn(TRAIN, N),
    "last_item": fit_last_item(TRAIN, N),
}
# name → (history, the planted best item)
PLANTED = {
    "popularity": ([[5], [4]], 0),
    "personal_frequency": ([[5], [11], [5], [0]], 5),
    "item_knn": ([[3]], 4),
    "last_item": ([[7], [0], [4]], 3),
}
ASKED = histories([[3], [4, 5]], [], [[11]], [[0], [0], [0]])
each_baseline = pytest.mark.parametrize("name", FITTED)


@each_baseline
def test_every_baseline_finds_its_planted_pattern(name):
    past, best = PLANTED[name]
    scores = FITTED[name].score(histories(past))[0]
    assert np.flatnonzero(scores == scores.max()).tolist() == [best]


@each_baseline
def test_scores_are_finite_float32_over_the_catalogue_and_writable(name):
    scores = FITTED[name].score(ASKED)
    assert scores.shape == (4, N) and scores.dtype == np.float32 and np.isfinite(scores).all()
    scores[0, 0] = -1
    assert FITTED[name].score(ASKED)[0, 0] != -1


@each_baseline
def test_inputs_are_not_changed(name):
    before = copy.deepcopy(ASKED)
    FITTED[name].score(ASKED)
    for field in ("indptr", "items", "steps_ago", "days_ago", "event_type"):
        assert np.array_equal(getattr(before, field), getattr(ASKED, field)), field


@each_baseline
def test_a_batch_scores_like_its_rows(name):
    alone = np.concatenate([FITTED[name].score(ASKED[row:row + 1]) for row in range(4)])
    assert FITTED[name].score(ASKED) == pytest.approx(alone)


@each_baseline
def test_no_queries_give_no_rows(name):
    assert FITTED[name].score(ASKED[0:0]).shape == (0, N)


@pytest.mark.parametrize("fit", [fit_popularity, fit_personal_frequency, fit_item_knn, fit_last_item])
def test_no_training_events_give_a_model_without_a_preference(fit):
    nothing = TRAIN.where(np.zeros(len(TRAIN), bool))
    scores = fit(nothing, N).score(histories([], [[3]]))
    assert len(np.unique(scores[0])) == 1 and np.isfinite(scores).all()


@pytest.mark.parametrize("fit", [fit_popularity, fit_personal_frequency, fit_item_knn])
def test_items_outside_the_catalogue_are_refused(fit):
    with pytest.raises(DataError, match="item row 9"):
        fit(TRAIN, 9)


def test_popularity_counts():
    assert FITTED["popularity"].counts[[0, 3, 5, 7, 9]].tolist() == [20, 6, 7, 9, 4]


def test_popularity_breaks_ties_of_personal_frequency_and_never_overrules_it():
    scores = FITTED["personal_frequency"].score(histories([[11], [11], [0], [5]]))[0]
    assert np.argsort(-scores)[:4].tolist() == [11, 0, 5, 7]


def test_item_similarity_is_the_shrunk_cosine():
    # items 3 and 4: 6 users both; item 0 and 3: 6 of 20 and 6
    similarity = FITTED["item_knn"].similarity.toarray()
    assert similarity[3, 4] == pytest.approx(6 / (6 + 10))
    assert similarity[0, 3] == similarity[3, 0] == pytest.approx(6 / (np.sqrt(20 * 6) + 10))
    assert (similarity.diagonal() == 0).all()


def test_neighbours_are_cut_but_ties_at_the_border_stay():
    basket = events([(u, 1, i) for u in range(3) for i in range(4)] + [(9, 1, 0), (9, 1, 5)])
    similarity = fit_item_knn(basket, N, ItemKnnConfig(neighbours=1, shrinkage=0)).similarity
    assert similarity[[0]].indices.tolist() == [1, 2, 3]
    assert similarity[[1]].indices.tolist() == [2, 3]


def test_only_the_newest_events_of_a_user_co_occur():
    long = events([(0, day, day) for day in range(8)])
    similarity = fit_item_knn(long, N, ItemKnnConfig(newest_events=2)).similarity
    assert sorted(zip(*similarity.nonzero(), strict=True)) == [(6, 7), (7, 6)]


def test_the_last_item_is_the_whole_newest_step_and_nothing_older():
    last, whole = FITTED["last_item"], FITTED["item_knn"]
    assert last.score(histories([[3], [11]])).max() == 0
    assert whole.score(histories([[3], [11]])).max() > 0
    assert np.array_equal(whole.on_newest_step().score(ASKED), last.score(ASKED))


def test_like_ratio_shrinks_to_the_base_rate_and_knows_strangers():
    users, labels = np.array([0] * 20 + [1] * 20), np.array([1] * 20 + [0] * 20)
    fitted = fit_like_ratio(users, labels, prior_rows=20)
    assert fitted.score(np.array([0, 1, 2, -1])) == pytest.approx([0.75, 0.25, 0.5, 0.5])
    with pytest.raises(DataError, match="no exposures"):
        fit_like_ratio(np.zeros(0, int), np.zeros(0))
