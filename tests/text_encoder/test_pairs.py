import numpy as np
import polars as pl

from recsys_core.interactions.arrays import Interactions
from recsys_core.text_encoder.pairs import NO_BASKET, PAIR_KINDS, PairConfig, Pairs, make_pairs

BEHAVIOUR, TAXONOMY, QUERY = range(len(PAIR_KINDS))
ITEMS = pl.DataFrame({
    "item_id": ["a", "b", "c", "d", "e"],
    "text": ["tea", "cup", "lamp", "lamp", "rug"],  # c and d share one text
    "category": ["food > drinks", "kitchen", "home > light", "home > light", None],
    "brand": ["acme", None, "zen", "zen", None],
})


def events(*rows):
    """(user, timestamp, item) rows, in order."""
    user, timestamp, item = (np.array(column) for column in zip(*rows, strict=True))
    zeros = np.zeros(len(user))
    return Interactions(user.astype(np.int32), item.astype(np.int32), timestamp.astype(np.int64),
                        zeros.astype(np.int8), np.arange(len(user)), [str(n) for n in range(user.max() + 1)])


def of_kind(pairs, kind):
    rows = np.flatnonzero(pairs.kind == kind)
    return {(pairs.texts[pairs.anchor[row]], pairs.texts[pairs.positive[row]]) for row in rows}


def draw(interactions, before=1000, queries=None, **config):
    return make_pairs(interactions, ITEMS, before, PairConfig(**config), np.random.default_rng(0), queries)


SHOP = events((0, 10, 0), (0, 20, 1), (0, 30, 2), (0, 30, 4), (1, 10, 2), (1, 20, 3), (1, 90, 0))


def test_behaviour_pairs_are_later_steps_of_the_same_user_within_the_window():
    crowd = [(user, when, item) for user in range(1, 61) for when, item in ((10, 2), (20, 3), (30, 0))]
    shop = events((0, 10, 0), (0, 20, 1), (0, 30, 2), (0, 30, 4), *crowd)
    # user 0: tea → cup → {lamp, rug}; the crowd: lamp → lamp is one text with itself; lamp → tea
    near = of_kind(draw(shop, taxonomy=0, window=1, min_users=1), BEHAVIOUR)
    assert near == {("tea", "cup"), ("cup", "lamp"), ("cup", "rug"), ("lamp", "tea")}
    wider = of_kind(draw(shop, taxonomy=0, window=2, min_users=1), BEHAVIOUR)
    assert wider == near | {("tea", "rug"), ("tea", "lamp")}  # rug and lamp: one basket has no order


def test_nothing_at_or_after_the_cutoff_is_used():
    assert of_kind(draw(SHOP, before=30, taxonomy=0, min_users=1), BEHAVIOUR) == {("tea", "cup")}


def test_pairs_of_several_users_beat_one_users_routine():
    common = [(user, 10 * step, item) for user in range(20) for step, item in enumerate((0, 1))]
    routine = [(20, 10 * step, (2, 4)[step % 2]) for step in range(40)]
    pairs = draw(events(*common, *routine), taxonomy=0, window=1, popularity_power=0.0, behaviour=1)
    assert of_kind(pairs, BEHAVIOUR) == {("tea", "cup")}


def test_what_everybody_takes_next_is_related_to_nothing():
    """Users alternate tea→cup or lamp→rug; all of them take the fuel of item e in between."""
    texts = [f"text {n}" for n in range(41)]
    items = pl.DataFrame({"item_id": [f"{n:02}" for n in range(41)], "text": texts,
                          "category": [None] * 41, "brand": [None] * 41}, schema_overrides={
                              "category": pl.String, "brand": pl.String})
    rows = [(user, 10 * step, item) for user in range(80)
            for step, item in enumerate((user % 20, 40, 20 + user % 20, 40))]
    pairs = make_pairs(events(*rows), items, 10**6, PairConfig(taxonomy=0, window=2, popularity_power=0.5),
                       np.random.default_rng(0))
    found = of_kind(pairs, BEHAVIOUR)
    planted = {(f"text {n}", f"text {20 + n}") for n in range(20)}
    assert found == planted


def test_taxonomy_phrases_are_levels_and_brand_with_level():
    pairs = draw(SHOP, behaviour=0)
    assert of_kind(pairs, TAXONOMY) == {
        ("food", "tea"), ("drinks", "tea"), ("acme drinks", "tea"), ("kitchen", "cup"),
        ("home", "lamp"), ("light", "lamp"), ("zen light", "lamp")}  # once, though two items share the text
    assert (pairs.positive_basket == NO_BASKET).all()


def test_query_pairs_join_known_items_only():
    queries = pl.DataFrame({"query": ["hot drink", "hot drink", "tea"], "item_id": ["a", "gone", "a"]})
    pairs = draw(SHOP, behaviour=0, taxonomy=0, queries=queries)
    assert of_kind(pairs, QUERY) == {("hot drink", "tea")}  # a text is no pair with itself


def test_where_nothing_can_be_paired_there_are_no_pairs():
    pairs = draw(SHOP, behaviour=0, taxonomy=0)
    assert len(pairs) == 0 and all(len(part) == 0 for part in pairs.split(0.1, 10, np.random.default_rng(0)))


def test_same_generator_same_pairs():
    first, second = draw(SHOP, min_users=1), draw(SHOP, min_users=1)
    np.testing.assert_array_equal(first.anchor, second.anchor)
    np.testing.assert_array_equal(first.positive_basket, second.positive_basket)


def test_not_negatives_by_hand():
    import scipy.sparse as sp

    related = np.eye(6, dtype=bool)
    related[0, 4] = related[4, 0] = True
    related = sp.csr_array(related)
    pairs = Pairs(list("abcdef"), anchor=np.array([0, 2, 0, 5]), positive=np.array([1, 3, 4, 1]),
                  kind=np.zeros(4, np.int8), anchor_basket=np.array([7, 9, 7, NO_BASKET]),
                  positive_basket=np.array([8, 8, 9, NO_BASKET]), related=related)
    expected = np.array([
        # j: b (basket 8)  d (8)  e (9)   b (none)
        [False, True, True, True],     # a→b: d shares b's basket; e is related to a; b is b
        [True, False, True, False],    # c→d: b shares d's basket; e was in c's own basket 9
        [False, False, False, False],  # a→e: nothing known about b or d
        [True, False, False, False],   # f→b: b is b; no basket is no shared basket
    ])
    np.testing.assert_array_equal(pairs.not_negatives(np.arange(4)), expected)


def test_every_known_phrase_of_an_item_is_related_even_if_not_drawn():
    pairs = draw(SHOP, behaviour=0, taxonomy=1)
    row = {text: number for number, text in enumerate(pairs.texts)}
    assert len(pairs) == 1
    related = pairs.related.toarray()
    assert related[row["home"], row["lamp"]] and related[row["lamp"], row["zen light"]]
    assert not related[row["home"], row["tea"]]
    assert related.diagonal().all()
    np.testing.assert_array_equal(related, related.T)


def test_split_never_shares_an_unordered_pair():
    anchor, positive = np.divmod(np.arange(400), 20)
    pairs = Pairs([f"{n:02}" for n in range(20)], anchor, positive, np.zeros(400, np.int8),
                  np.arange(400), np.arange(400), None)
    train, held = pairs.split(0.2, 30, np.random.default_rng(0))
    unordered = [{frozenset(pair) for pair in zip(part.anchor, part.positive, strict=True)}
                 for part in (train, held)]
    assert not unordered[0] & unordered[1]
    assert len(train) + len(held) == 400
    assert len(unordered[1]) == 30
    assert len(pairs.split(0.1, 1000, np.random.default_rng(0))[1]) < 60
