"""Promotions: where and when a row holds, what is usual, files that are checked, weights that find what was planted."""

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from recsys_core import schema
from recsys_core.errors import DataError, ModelError
from recsys_core.interactions.arrays import Histories, Queries
from recsys_core.promotions.table import Promotions, make_promotions
from recsys_core.promotions.weights import PromotionConfig, PromotionWeights, fit_promotions
from tests.adaptation.planted import make_catalogue

SHOP = make_catalogue()
DAY = date(2024, 3, 1)
STORE_1, STORE_2, APP_1 = '{"store": "1"}', '{"store": "2"}', '{"channel": "app", "store": "1"}'


def ago(days: int) -> date:
    return DAY - timedelta(days=days)


def table(*rows: tuple) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema.RAW_PROMOTIONS, orient="row")


def values(promotions: Promotions, name: str, context: dict, day: date = DAY) -> dict[str, float]:
    row = promotions.features(context, day)[name]
    assert row.dtype == np.float32 and row.shape == (len(SHOP),)
    return {SHOP.item_ids[at]: round(float(row[at]), 4) for at in np.flatnonzero(row)}


ROWS = table(
    ("i000", ago(3), ago(-3), "display", STORE_1), ("i001", ago(3), ago(1), "display", STORE_1),
    ("i002", None, None, "display", None), ("i003", ago(0), ago(0), "mailer", STORE_2),
    ("i004", ago(0), None, "mailer", APP_1), ("i005", None, ago(0), "display", STORE_2),
    ("sold out", ago(9), None, "display", None))


def test_a_row_holds_for_requests_that_have_all_its_keys_on_its_days():
    promotions = make_promotions(ROWS, SHOP)
    assert (len(promotions), promotions.placements) == (6, ("display", "mailer"))
    assert values(promotions, "promoted_display", {}) == {"i002": 1}
    assert values(promotions, "promoted_display", {"store": "1"}) == {"i000": 1, "i002": 1}
    assert values(promotions, "promoted_display", {"store": "2", "channel": "app"}) == {"i002": 1, "i005": 1}
    assert values(promotions, "promoted_mailer", {"store": "2"}) == {"i003": 1}
    assert values(promotions, "promoted_mailer", {"store": "1"}) == {}
    assert values(promotions, "promoted_mailer", {"store": "1", "channel": "app", "hour": "9"}) == {"i004": 1}
    assert values(promotions, "promoted_mailer", {"store": "2"}, ago(-1)) == {}
    assert values(promotions, "promoted_display", {"store": "1"}, ago(1)) == {"i000": 1, "i001": 1, "i002": 1}


def test_usual_is_the_share_of_context_days_before_today():
    promotions = make_promotions(table(
        ("i000", ago(100), ago(-9), "display", STORE_1), ("i001", ago(14), ago(1), "display", STORE_1),
        ("i001", ago(7), ago(1), "display", STORE_2), ("i002", ago(28), ago(1), "display", None),
        ("i003", ago(0), ago(-9), "display", STORE_2), ("i004", ago(80), ago(57), "display", None)), SHOP)
    assert values(promotions, "usually_display", {"store": "2"}) == {"i000": .5, "i001": .1875, "i002": .5}


def test_usual_goes_back_only_as_far_as_the_table():
    promotions = make_promotions(table(("i000", ago(8), ago(5), "display", None), ("i001", None, ago(1), "mailer", None)), SHOP)
    assert values(promotions, "usually_display", {}) == {"i000": .5}
    assert values(promotions, "usually_mailer", {}) == {"i001": 1}
    assert values(promotions, "usually_mailer", {}, ago(8)) == {}


def test_overlapping_adjoining_and_repeated_rows_count_once():
    split = make_promotions(table(
        ("i000", ago(14), ago(8), "display", STORE_1), ("i000", ago(14), ago(8), "display", STORE_1),
        ("i000", ago(10), ago(7), "display", STORE_1), ("i000", ago(6), ago(1), "display", STORE_1),
        ("i000", ago(3), ago(2), "display", STORE_1), ("i000", ago(-5), ago(-8), "display", STORE_1),
        ("i001", ago(56), ago(56), "display", None)), SHOP)
    assert len(split) == 3
    assert values(split, "usually_display", {}) == {"i000": .25, "i001": round(1 / 56, 4)}


def test_a_context_within_another_shares_its_promotions():
    promotions = make_promotions(table(("i000", ago(56), ago(1), "display", STORE_1), ("i001", ago(56), ago(1), "display", APP_1),
                                       ("i002", ago(56), ago(1), "display", STORE_2)), SHOP)
    usual = values(promotions, "usually_display", {})
    assert usual == {"i000": round(2 / 3, 4), "i001": round(1 / 3, 4), "i002": round(1 / 3, 4)}


def test_many_days_stay_few_in_memory_and_features_are_read_only():
    promotions = make_promotions(ROWS, SHOP)
    for days in range(100):
        promotions.features({}, ago(days))
    assert len(promotions._days) <= 32
    with pytest.raises(ValueError):
        promotions.features({}, DAY)["usually_display"][0] = 1


def test_an_empty_table_says_nothing():
    promotions = make_promotions(table(), SHOP)
    assert promotions.features({"store": "1"}, DAY) == {}
    assert PromotionWeights(promotions, np.zeros((7, 0), np.float32)).offsets({}, DAY, 3) == {}


def test_files_hold_everything_and_a_serving_copy_answers_alike(tmp_path):
    old = table(("i009", ago(200), ago(150), "endcap", '{"store": "9"}'))
    promotions = make_promotions(pl.concat([ROWS, old]), SHOP)
    weights = PromotionWeights(promotions, np.arange(42, dtype=np.float32).reshape(7, 6), {"ridge": 5})
    weights.save(tmp_path / "all")
    for first_day, rows in ((None, 7), (DAY, 6)):
        found = PromotionWeights.load(tmp_path / "all", SHOP, first_day)
        assert (len(found.promotions), found.settings) == (rows, {"ridge": 5})
        for context in ({}, {"store": "1"}, {"store": "9"}):
            for name, row in weights.offsets(context, DAY, 3).items():
                np.testing.assert_array_equal(found.offsets(context, DAY, 3)[name], row)


def spoil(folder, **changes):
    path = folder / "promotions.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(("changes", "reason"), [
    ({"format": 0}, "format 0"), ({"catalogue": "x"}, "another catalogue"), ({"contexts": [{}]}, "does not exist"),
    ({"placements": None}, "cannot be read")])
def test_wrong_files_are_refused(tmp_path, changes, reason):
    make_promotions(ROWS, SHOP).save(tmp_path / "p")
    spoil(tmp_path / "p", **changes)
    with pytest.raises(ModelError, match=reason):
        Promotions.load(tmp_path / "p", SHOP)


def test_weights_of_another_table_are_refused(tmp_path):
    promotions = make_promotions(ROWS, SHOP)
    PromotionWeights(promotions, np.zeros((7, 4), np.float32)).save(tmp_path / "p")
    spoil(tmp_path / "p", placements=["display", "flyer"])
    with pytest.raises(ModelError, match=r"weights\.json"):
        PromotionWeights.load(tmp_path / "p", SHOP)


def test_weights_move_to_a_newer_table_by_name():
    weights = PromotionWeights(make_promotions(ROWS, SHOP), np.tile(np.array([1, 2, 3, 4], np.float32), (7, 1)))
    newer = make_promotions(table(("i007", ago(9), ago(0), "mailer", None), ("i008", ago(0), ago(0), "flyer", None)), SHOP)
    parts = weights.on(newer).offsets({}, DAY, 0)
    row = SHOP.row_of["i007"]
    assert {name: float(part[row]) for name, part in parts.items()} == {
        "promoted_flyer": 0, "promoted_mailer": 2, "usually_flyer": 0, "usually_mailer": 4}
    assert not parts["promoted_flyer"].any()


def test_parts_follow_the_known_steps():
    weights = np.zeros((7, 4), np.float32)
    weights[:, 0] = [7, 6, 5, 4, 3, 2, 1]
    offsets = PromotionWeights(make_promotions(ROWS, SHOP), weights).offsets
    row = SHOP.row_of["i000"]
    found = [float(offsets({"store": "1"}, DAY, steps)["promoted_display"][row]) for steps in (0, 1, 4, 1000)]
    np.testing.assert_allclose(found, [7, 6, 4, 1], rtol=1e-6)


class UsualRanker:
    """Popularity that already holds an item's usual promotions."""

    def __init__(self, share: np.ndarray) -> None:
        self.logits = np.log(share).astype(np.float32)

    def score(self, histories: Histories, now: int | None = None) -> np.ndarray:
        return np.tile(self.logits, (len(histories), 1))


def planted(effect: float, n: int = 1500) -> tuple[Promotions, UsualRanker, Queries, list[dict], list[date]]:
    """A third of the items on display often, a third at times, a third never; a display lifts by `effect`, in nats."""
    rng, size = np.random.default_rng(0), len(SHOP)
    rate = np.repeat([0.8, 0.2, 0.0], size // 3)
    days = [DAY + timedelta(days=day) for day in range(-56, 14)]
    shown = {(day, store): rng.random(size) < rate for day in days for store in "12"}
    rows = [(SHOP.item_ids[item], day, day, "display", f'{{"store": "{store}"}}') for (day, store), live in shown.items()
            for item in np.flatnonzero(live)]
    taste = rng.gamma(2.0, size=size)
    seen = taste * (1 + rate * (np.exp(effect) - 1))
    asked = [(days[-1 - rng.integers(14)], "12"[rng.integers(2)]) for _ in range(n)]
    lifted = [taste * np.where(shown[one], np.exp(effect), 1.0) for one in asked]
    targets = np.array([rng.choice(size, p=share / share.sum()) for share in lifted], np.int32)
    stamps = np.array([(day - date(1970, 1, 1)).days * 86_400 for day, _ in asked], np.int64)
    nothing = np.zeros(0, np.float32)
    histories = Histories(np.zeros(n + 1, np.int64), nothing.astype(np.int32), nothing, nothing, nothing.astype(np.int8))
    queries = Queries(np.arange(n, dtype=np.int32), stamps, histories, np.arange(n + 1, dtype=np.int64), targets)
    return (make_promotions(table(*rows), SHOP), UsualRanker(seen / seen.sum()), queries,
            [{"store": store} for _, store in asked], [day for day, _ in asked])


def test_a_planted_display_is_found_with_its_usual_share_taken_off():
    found = fit_promotions(*planted(1.0), PromotionConfig(head_share=0.0))
    now, usual = found.weights[0]
    assert now == pytest.approx(1.0, abs=.15)
    assert usual == pytest.approx(-np.log(1 + .8 * (np.e - 1)) / .8, abs=.3)


def test_displays_that_do_nothing_weigh_next_to_nothing():
    assert abs(fit_promotions(*planted(0.0), PromotionConfig()).weights).max() < 0.2


def test_cut_histories_join_in_and_the_same_seed_gives_the_same_weights():
    promotions, ranker, queries, contexts, days = planted(1.0, n=60)
    steps = np.tile([1.0, 0.0], 60).astype(np.float32)
    past = Histories(np.arange(0, 121, 2), np.zeros(120, np.int32), steps, steps, np.zeros(120, np.int8))
    queries = Queries(queries.user, queries.timestamp, past, queries.target_indptr, queries.targets)
    one, two = (fit_promotions(promotions, ranker, queries, contexts, days, PromotionConfig(
        sure_candidates=20, tail_candidates=30)) for _ in range(2))
    assert one.settings["choices"] == 180  # 2, 1 and no known steps
    np.testing.assert_array_equal(one.weights, two.weights)


def test_questions_without_a_context_are_refused():
    promotions, ranker, queries, contexts, days = planted(1.0, n=3)
    with pytest.raises(DataError, match="2 contexts and 3 days for 3 questions"):
        fit_promotions(promotions, ranker, queries, contexts[:2], days, PromotionConfig())
