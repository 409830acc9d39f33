from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.page import PAGE_STRENGTHS
from recsys_core.errors import AdapterError, RequestError
from recsys_core.promotions.shelves import Shelves
from recsys_core.promotions.table import make_promotions
from recsys_core.promotions.weights import PromotionWeights
from recsys_core.schema import RAW_PROMOTIONS
from recsys_core.serving import Bundle, Recommendation
from recsys_core.serving.history import join_histories, parse_history
from tests.serving.tiny import FAVOURITES, SHELVES, START, TITLES, tiny_adapter

OUT_OF_SEASON = "2024-05-01"


def ids(answers: list[Recommendation]) -> list[str]:
    return [answer.item_id for answer in answers]


def test_what_follows_is_first_and_reasons_add_up(bundle):
    answers = bundle.recommend(["k0"], k=20)
    assert answers[0].item_id == "g0" and answers[0].fallback is None and answers[0].segment is None
    scores = [answer.score for answer in answers]
    assert scores == sorted(scores, reverse=True) and len(set(ids(answers))) == 20
    for answer in answers:
        assert sum(answer.reasons.values()) == pytest.approx(answer.score, abs=1e-4)
    assert max(answers[0].reasons, key=answers[0].reasons.get) == "transitions"


def test_no_history_is_scored_like_any_other_and_says_so(bundle):
    answers = bundle.recommend([], k=20)
    assert answers[0].item_id == "t0" and answers[0].fallback == "no history: ranked by what others take"
    asked = bundle.parts.ranker.score(join_histories([parse_history([], {}, None, "purchase")]))[0]
    assert [a.score for a in answers] == sorted(asked.tolist(), reverse=True)
    for answer in answers:
        assert sum(answer.reasons.values()) == pytest.approx(answer.score, abs=1e-4)


def lifted(bundle, segment: str, history: list[str], **given) -> set[str]:
    """The items whose scores a segment changes; they are lifted by three logits at full trust."""
    base = {a.item_id: a.score for a in bundle.recommend(history, k=20, at=given.get("at"))}
    found = bundle.recommend(history, k=20, segment=segment, **given)
    for answer in found:
        assert sum(answer.reasons.values()) == pytest.approx(answer.score, abs=1e-4)
    return {a.item_id for a in found if a.score > base[a.item_id] + 1e-3}


def test_the_context_picks_the_members_list_for_the_audiences_it_was_promoted_for(bundle):
    few, many = ["k0", "g0"], ["k0", "g0", "t1", "t2", "k3"]
    for segment in ("store", "auto"):
        assert lifted(bundle, segment, few, context={"store": "367"}, at=OUT_OF_SEASON) == {"t4"}
        assert lifted(bundle, segment, [], context={"store": 412}, at=OUT_OF_SEASON) == {"g4"}
        assert lifted(bundle, segment, many, context={"store": "412"}, at=OUT_OF_SEASON) == set()
    assert bundle.recommend(many, segment="store", context={"store": "412"})[0].fallback == \
        "segment 'store' was not promoted for shoppers of more than 4 known steps: the base serves"


def test_the_trust_in_a_member_depends_on_how_much_is_known(bundle):
    def lift(history: list[str]) -> float:
        """Of the favourite, by the store's list."""
        answer = {a.item_id: a for a in bundle.recommend(history, k=20, segment="store", context={"store": "367"})}["t4"]
        assert sum(answer.reasons.values()) == pytest.approx(answer.score, abs=1e-4)
        return answer.reasons.get("segment_items", 0.0)

    for history, trust in [([], 1.0), (["k0"], 0.8), (["k0"] * 4, 0.4)]:
        assert lift(history) == pytest.approx(3 * trust, rel=1e-5)
    assert bundle.parts.families["store"].trust.tolist() == pytest.approx([1.0, 0.8, 0.6, 0.4, 0, 0, 0])


def test_an_unknown_context_is_noted_and_the_base_serves(bundle):
    base = bundle.recommend(["k0"])
    for context, note in [({"store": "99"}, "store '99' is unknown to segment 'store': the base serves"),
                          ({"store": "500"}, "store '500' is unknown"),  # a member without a single shot
                          ({}, "segment 'store' needs context.store: the base serves"),
                          ({"shop": "1"}, "1 unknown context names ignored (shop)")]:
        answers = bundle.recommend(["k0"], segment="store", context=context)
        assert note in answers[0].fallback and [a.score for a in answers] == [a.score for a in base]
    with pytest.raises(RequestError, match="context"):
        bundle.recommend(["k0"], context=["store"])


def test_a_shelf_restricts_and_expires(bundle):
    def shown(day: str | None, **given) -> set[str]:
        return set(ids(bundle.recommend(["k0"], k=20, at=day and f"{day}T12:00:00-04:00", **given)))

    assert shown("2024-03-20", shelf="campaign") == {"d0"}
    assert shown("2024-04-10", shelf="campaign") == {"d0", "d1"}
    assert shown("2024-04-11", shelf="campaign") == {"d1"}
    assert shown(None, shelf="window") == {"k0", "g3"}
    assert shown(None, shelf="window", exclude_seen=True, filters={"department": "Kitchen"}) == set()
    assert shown(None, shelf="window", candidates=["g3", "d0"]) == {"g3"}
    for day, shelf, note in [("2024-03-19T12:00:00", "campaign", "holds nothing on 2024-03-19"), (None, "cellar", "is unknown")]:
        answers = bundle.recommend(["k0"], k=20, at=day, shelf=shelf)
        assert len(answers) == 20 and f"{shelf!r} {note}" in answers[0].fallback


def test_new_arrivals_are_a_shelf_of_every_bundle(bundle):
    assert ids(bundle.recommend(["k0"], shelf="new-arrivals")) == ["g4"]  # on the newest day
    later = bundle.recommend(["k0"], k=20, shelf="new-arrivals", at="2024-05-01")
    assert len(later) == 20 and "shelf 'new-arrivals' holds nothing on 2024-" in later[0].fallback
    bare = Bundle(replace(bundle.parts, shelves=Shelves(SHELVES.clear(), bundle.catalogue.row_of)))
    assert "holds nothing" in bare.recommend(["k0"], shelf="new-arrivals")[0].fallback


def test_search_and_batches_know_context_and_shelf_too(bundle):
    given = {"segment": "store", "context": {"store": "412"}}
    found = bundle.search("mug", k=20, shelf="window", **given)
    assert set(ids(found)) == {"k0", "g3"} and found[0].segment == "store"
    assert "segment_items" in set().union(*(a.reasons for a in bundle.search("mug", k=20, **given)))
    names, scores = bundle.recommend_batch([["k0"], []], k=3, shelf="window", **given)
    assert set(names[0, :2]) == {"k0", "g3"} and names[0, 2] == "" and np.isneginf(scores[:, 2]).all()
    plain, lifted_ = bundle.click_probability(["g4"], ["k0"])[0], bundle.click_probability(["g4"], ["k0"], **given)[0]
    assert lifted_ > plain


def test_promotions_add_parts_to_every_score(bundle):
    rows = [("t2", "display", '{"store": "367"}'), ("d4", "mailer", None)]
    table = pl.DataFrame([(item, date(2024, 3, 1), date(2024, 3, 31), place, context) for item, place, context in rows],
                         schema=RAW_PROMOTIONS, orient="row")
    promotions = make_promotions(table, bundle.catalogue)
    weights = np.outer(np.linspace(1, 0, 7), [1.0 if name.startswith("promoted") else -0.5 for name in promotions.names])
    shop = Bundle(replace(bundle.parts, promotions=PromotionWeights(promotions, weights.astype(np.float32))))

    def added(history=(), at="2024-03-20", **given) -> dict[str, float]:
        asked = shop.recommend(list(history), k=20, at=at, **given)
        for answer in asked:
            assert sum(answer.reasons.values()) == pytest.approx(answer.score, abs=1e-4)
        return {a.item_id: value for a in asked if (value := sum(v for name, v in a.reasons.items() if "promoted_" in name))}

    assert added(context={"store": "367"}) == {"t2": 1.0, "d4": 1.0}
    assert added(context={"store": "412"}) == added() == {"d4": 1.0}
    assert added(at="2024-04-20", context={"store": "367"}) == {}
    assert added(at=None) == {"d4": 1.0}  # the newest day
    assert added(["k0"])["d4"] == pytest.approx(1 - 1 / 6)
    assert "promoted_mailer" in {a.item_id: a for a in shop.search("fig jam", at="2024-03-20")}["d4"].reasons
    both = {a.item_id: a for a in shop.recommend([], k=20, segment="store", context={"store": "367"}, at="2024-03-20")}
    assert {"segment_items", "promoted_display"} & set(both["t4"].reasons) == {"segment_items"}


def test_a_bundle_answers_many_threads_alike(bundle):
    fresh, asked = Bundle.load(bundle.folder), ["367", "412", "99"] * 20
    def answer(store: str) -> list[str]:
        return ids(fresh.recommend([], segment="auto", context={"store": store}, shelf="window", at=OUT_OF_SEASON))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, asked)) == [answer(store) for store in asked]


def test_unknown_ids_are_reported_not_raised(bundle):
    answers = bundle.recommend(["nothing", "k0", None], candidates=["g0", "gone"], segment="neverland")
    assert ids(answers) == ["g0"]
    for phrase in ("nothing", "gone", "'neverland' is unknown"):
        assert phrase in answers[0].fallback
    clean = bundle.recommend(["k0"], candidates=["g0"])
    assert answers[0].score == clean[0].score
    assert bundle.recommend(["k0"], candidates=["gone"]) == []
    assert bundle.recommend(["k0"], candidates=[]) == []


def test_timestamps_give_steps_and_the_future_is_ignored(bundle):
    early = {"item_id": "t1", "timestamp": START, "event_type": "purchase"}
    late = {"item_id": "k0", "timestamp": "2024-03-02T00:00:00Z"}
    future = {"item_id": "d0", "timestamp": 1_900_000_000}
    shown = {"item_id": "d0", "timestamp": START, "event_type": "impression"}
    at = datetime(2024, 3, 3, tzinfo=UTC)
    answers = bundle.recommend([late, early, future, shown], at=at)
    ordered = bundle.recommend([early, late], at=at)
    assert [a.score for a in answers] == [a.score for a in ordered]  # time decides, not the list's order
    assert "g0" in ids(answers)[:2]  # what follows k0
    assert "after the request" in answers[0].fallback and "not one of" in answers[0].fallback
    with pytest.raises(RequestError, match="is no time"):
        bundle.recommend(["k0"], at="next tuesday")


def test_filters_candidates_and_seen(bundle):
    def answers(**filters) -> set[str]:
        return set(ids(bundle.recommend(["k0"], k=20, filters=filters)))

    deli = {item for item in TITLES if item[0] == "d"}
    assert answers(department="Deli") == deli == answers(category="Deli")
    assert answers(category="Deli > jam") == {"d4"}
    assert answers(department=["Deli", "Toys"], price={"min": 14, "max": 15}) <= deli | {"t0", "t4"}
    assert len(answers(price={"min": 3, "max": 5})) == 3
    assert "k0" in ids(bundle.recommend(["k0"], k=20))
    assert "k0" not in ids(bundle.recommend(["k0"], k=20, exclude_seen=True))
    for wrong in ({"colour": "red"}, {"price": "cheap"}, {"price": {"above": 3}}, {"department": date(2024, 1, 1)}):
        with pytest.raises(RequestError):
            bundle.recommend(["k0"], filters=wrong)


def test_segment_by_name_adds_its_offsets(bundle):
    base = {a.item_id: a for a in bundle.recommend(["k0"], k=20)}
    for answer in bundle.recommend(["k0"], k=20, segment="deli"):
        lift = 3.0 if answer.item_id in FAVOURITES["deli"][""] else 0.0
        assert answer.score == pytest.approx(base[answer.item_id].score + lift, abs=1e-5)
        assert answer.segment == "deli" and answer.reasons.get("segment_items", 0.0) == lift


def test_refused_and_expired_segments_serve_the_base_with_the_reason(bundle):
    base = bundle.recommend(["k0"], at=OUT_OF_SEASON)
    for segment, reason in (("toys", "does not pay"), ("easter", "ended on 2024-04-01")):
        answers = bundle.recommend(["k0"], at=OUT_OF_SEASON, segment=segment)
        assert [a.score for a in answers] == [a.score for a in base] and answers[0].segment is None
        assert reason in answers[0].fallback
    assert "starts on" in bundle.recommend(["k0"], at="2024-03-01", segment="easter")[0].fallback


def test_batch_equals_single_and_pads(bundle):
    histories = [["k0"], [], ["t0", "d1", "unknown"]]
    found, scores = bundle.recommend_batch(histories, k=30, segment="deli", exclude_seen=True)
    assert found.shape == scores.shape == (3, 20) and found.dtype.kind == "U" and scores.dtype == np.float32
    for row, history in enumerate(histories):
        single = bundle.recommend(history, k=30, segment="deli", exclude_seen=True)
        assert found[row, :len(single)].tolist() == ids(single)
        assert scores[row, :len(single)] == pytest.approx([a.score for a in single], abs=1e-5)
        assert set(found[row, len(single):]) <= {""} and np.isneginf(scores[row, len(single):]).all()
    empty, none = bundle.recommend_batch([], k=5)
    assert empty.shape == none.shape == (0, 5)


def test_batches_are_chunked_without_changing_anything(bundle, monkeypatch):
    histories = [[item] for item in TITLES]
    whole = bundle.recommend_batch(histories, k=5)
    monkeypatch.setattr("recsys_core.serving.bundle.SCORES_AT_ONCE", 60)
    parts = bundle.recommend_batch(histories, k=5)
    assert (whole[0] == parts[0]).all() and np.allclose(whole[1], parts[1], atol=1e-5)


def test_search_finds_words_meaning_and_the_shopper(bundle):
    assert bundle.search("STEEL  mug")[0].item_id == "k0"
    assert bundle.search("木製おもちゃ")[0].item_id == "d3"
    answers = bundle.search("glass teapot", k=20)
    assert set(ids(answers)[:2]) == {"k1", "k2"} and answers[0].score == answers[1].score
    assert set(answers[0].reasons) <= {"text", "words", "popularity"}
    personal = bundle.search("glass teapot", k=20, history=["k0"], segment="deli")
    assert {"taste", "segment_items"} <= set().union(*(a.reasons for a in personal))
    for answer in personal:
        assert sum(answer.reasons.values()) == pytest.approx(answer.score, abs=1e-3)
    assert {item[0] for item in ids(bundle.search("mug", filters={"department": "Deli"}))} == {"d"}


def test_search_without_a_known_word_says_so_and_bad_queries_are_refused(bundle):
    assert bundle.search("qwertyuiop")[0].fallback.startswith("no word of the query")
    for query in ("", " \n\t", "x" * 513, None, 7):
        with pytest.raises(RequestError, match="query"):
            bundle.search(query)


def test_click_probability_without_a_click_model_is_the_share_of_the_softmax(bundle):
    everything = bundle.click_probability(list(TITLES), ["k0"])
    assert sum(everything) == pytest.approx(1.0) and all(p > 0 for p in everything)
    assert dict(zip(TITLES, everything, strict=True))["g0"] == max(everything)
    assert bundle.click_probability(["gone"], ["k0"]) == [pytest.approx(1 / 20)]
    asked = bundle.click_probability(["k0", "d4"], query="steel mug")
    assert asked[0] > 0.5 > asked[1]
    assert bundle.click_probability([]) == []


def test_adapt_in_memory_lifts_what_was_taken(bundle):
    support = [{"history": ["k0"], "item_id": item, "label": label}
               for item, label in [("d1", 1), ("d1", 1), ("d1", 1), ("d2", 1), ("t0", 0), ("gone", 1)]]
    adapter = bundle.adapt(support)
    frame = bundle.adapt(pl.DataFrame(support))
    assert frame.offsets(bundle.catalogue).tolist() == adapter.offsets(bundle.catalogue).tolist()
    before = {a.item_id: a.score for a in bundle.recommend(["k0"], k=20)}
    after = {a.item_id: a for a in bundle.recommend(["k0"], k=20, adapter=adapter)}
    lift = {item: after[item].score - before[item] for item in before}
    assert lift["d1"] == max(lift.values()) > 0 and lift["d1"] > lift["t0"]
    assert after["d1"].segment == "request"
    query = bundle.click_probability(["d1"], ["k0"])[0]
    assert bundle.click_probability(["d1"], ["k0"], adapter=adapter)[0] > query


def test_adapting_to_nothing_serves_the_base_and_says_so(bundle):
    adapter = bundle.adapt([{"history": [], "item_id": "k0", "label": 0}, {"item_id": "gone", "label": 1}])
    answers = bundle.recommend(["k0"], adapter=adapter)
    assert [a.score for a in answers] == [a.score for a in bundle.recommend(["k0"])]
    assert "no known item has a positive label" in answers[0].fallback


def test_an_adapter_of_another_base_is_refused(bundle):
    stranger = tiny_adapter("deli", ["d1"])
    with pytest.raises(AdapterError, match="another base"):
        bundle.recommend(["k0"], adapter=type(stranger)(**{**vars(stranger), "lock": {"encoder": "x"}}))


@pytest.mark.parametrize("k", [0, -1, 2.5, None, True])
def test_k_must_make_sense(bundle, k):
    with pytest.raises(RequestError):
        bundle.recommend(["k0"], k=k)


def test_a_text_instead_of_a_list_is_refused(bundle):
    with pytest.raises(RequestError, match="list of item ids"):
        bundle.recommend("k0")


def test_click_model_is_used_and_shifted_by_the_segment(bundle):
    from recsys_core.base_model.click import ClickModel

    zeros = np.zeros(6)
    names = ("user_item", "repeat", "user_activity", "item_popularity", "item_shown", "item_rate")
    weights = np.array([1.0, 0, 0, 0, 0, 0])
    counts = pl.DataFrame({"item_id": ["k0"], "item_purchases": [9], "item_impressions": [9],
                           "item_conversions": [1]})
    click = ClickModel(names, zeros, np.ones(6), weights, -2.0, 1.0, 0.0, 0.1, 20.0, "purchase", counts)
    with_click = Bundle(replace(bundle.parts, click=click))
    asked = ["k0", "t0", "gone"]
    p = dict(zip(asked, with_click.click_probability(asked, ["k0"]), strict=True))
    assert p["t0"] == p["gone"] == pytest.approx(1 / (1 + np.exp(2.0)))
    assert p["k0"] == pytest.approx(1 / (1 + np.exp(2.0 - np.log(2))))  # log1p of one purchase of it
    in_deli = with_click.click_probability(["d1", "t0"], ["k0"], segment="deli")
    assert in_deli[0] > p["t0"] > in_deli[1]
    odds = in_deli[0] / (1 - in_deli[0]) * (1 - in_deli[1]) / in_deli[1]
    assert np.log(odds) == pytest.approx(3.0)
    viewed = with_click.click_probability(["k0"], [{"item_id": "k0", "event_type": "view"}])
    assert viewed == [p["t0"]]  # a view is not the model's outcome



def test_adapting_to_a_page_orders_the_page(bundle, caplog):
    page = ["k1", "k2", "d3", "d3", "nothing"]
    taken = [{"item_id": "k1", "label": 1}] * min(PAGE_STRENGTHS) + [{"item_id": "k0"}, {"item_id": "d3", "label": 0}]
    adapter = bundle.adapt(taken, page=page)
    assert "1 items of the page are unknown" in caplog.text
    on_page = bundle.recommend([], k=3, candidates=page, adapter=adapter)
    assert on_page[0].item_id == "k1" and on_page[0].segment == adapter.segment == "page"
    moved = np.flatnonzero(adapter.offsets(bundle.catalogue))
    assert {bundle.catalogue.item_ids[row] for row in moved} <= {"k1", "k2", "d3"}


@pytest.mark.parametrize(("taken", "page", "reason"), [
    (["k1"], ["k1", "k2"], f"a page needs {min(PAGE_STRENGTHS)} known items with a positive label"),
    ([], ["k1"], "a page needs"), (["k1", "k2"], ["nothing"], "no item of the page is known")])
def test_a_page_without_shots_stays_with_the_base(bundle, taken, page, reason):
    adapter = bundle.adapt([{"item_id": item} for item in taken], page=page)
    assert reason in bundle.recommend([], adapter=adapter)[0].fallback


def test_times_without_a_zone_are_new_york_s(bundle):
    """The tiny shop's zone; 10:00 there is 15:00 UTC."""
    history = [{"item_id": "k0", "timestamp": datetime(2024, 3, 5, 10)}]
    assert bundle.recommend(history, at="2024-03-05T15:00:00Z").fallback is None
    assert "lie after the request" in bundle.recommend(history, at="2024-03-05T14:59:00Z").fallback
    assert "lie after the request" in bundle.recommend(history, at="2024-03-05T09:59:00").fallback
    assert bundle.recommend(["k0"], segment="easter", at="2024-04-01T23:59:00").fallback is None  # its last local evening
