import math
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recsys_core.deployment.searching import clicked_queries, count_searches, judged_queries, learn_search
from recsys_core.interactions.arrays import Catalogue
from recsys_core.retrieval.lexical import build_lexical
from recsys_core.retrieval.search import SearchConfig
from recsys_core.schema import JUDGMENTS
from tests.serving.tiny import WordEncoder, tiny_catalogue


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return tiny_catalogue()


def learn(catalogue: Catalogue, judgments: pl.DataFrame | None, encoder: object = None, clicks: pl.DataFrame | None = None,
          searches: dict[str, int] | None = None):
    lexical = build_lexical(catalogue.items, catalogue.text_of_item)
    nobody = pl.DataFrame(schema=JUDGMENTS)
    reads = encoder or WordEncoder()
    return learn_search(catalogue, np.zeros(len(catalogue), np.float32), reads, reads, lexical,
                        nobody if judgments is None else judgments, nobody if clicks is None else clicks, searches or {})


def judged(rows: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=JUDGMENTS, orient="row")


def test_without_judgments_the_catalogue_s_own_queries_teach_and_the_same_every_time(catalogue):
    one, other = learn(catalogue, None), learn(catalogue, judged([]))
    assert one.config == other.config and "made of the catalogue" in one.about["source"] and one.about["queries"] > 20
    assert 0 < one.config.least_meaning < 1 and one.config.taste == SearchConfig().taste


class Deaf:
    """An encoder whose vectors say nothing of the query."""

    def encode(self, texts: list[str]) -> np.ndarray:
        found = np.random.default_rng(len(texts[0])).normal(size=(len(texts), 16))
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_judgments_come_first_and_an_encoder_that_misleads_counts_less(catalogue):
    named = list(zip(catalogue.items["title"].to_list(), catalogue.item_ids, strict=True))
    table = judged([(query, item, 1.0) for title, item in named for query in (title, f"{title} alder")])
    found = learn(catalogue, table, Deaf())
    assert found.about["source"] == "judgments" and found.about["gained_ndcg"] > 0
    assert found.config.text < SearchConfig().text


def test_rows_that_cannot_be_read_are_left_out(catalogue):
    documents = build_lexical(catalogue.items, catalogue.text_of_item).documents
    rows = [("mug", "k0", 1.0), ("mug", "k0", 0.1), ("mug", "nowhere", 1.0), (None, "k0", 1.0), ("\u0000", "k0", 1.0),
            ("x" * 600, "k0", 1.0), ("pot", "g4", math.nan), ("pot", "g4", None), ("bowl", "k4", 0.0)]
    k0 = int(documents.of_item[catalogue.row_of["k0"]])
    assert judged_queries(judged(rows), catalogue, documents.of_item) == {"mug": {k0: 1.0}}


def test_what_was_taken_after_a_search_answers_it_until_the_next_search():
    def event(minute: int, kind: str, item: str | None, query: str | None, session: str = "s") -> tuple:
        return session, datetime(2024, 3, 1, 12, minute, tzinfo=UTC), kind, query, item

    day = pl.DataFrame([
        event(0, "view", "k9", None), event(1, "search", None, "mug"), event(2, "impression", "k1", None),
        event(3, "click", "k0", None), event(4, "purchase", "k0", None), event(5, "search", None, "pot"),
        event(6, "click", "g4", None), event(2, "click", "k5", None, "t"), event(1, "search", None, "mug", "u"),
        event(2, "click", "k0", None, "u")],
        schema=["session_id", "timestamp", "event_type", "query", "item_id"], orient="row")
    assert clicked_queries({"2024-03-01": day.lazy()}).rows() == [("mug", "k0", 3.0), ("pot", "g4", 1.0)]
    assert clicked_queries({}).is_empty()
    assert count_searches({"2024-03-01": day.lazy(), "2024-03-02": day.lazy()}) == {"mug": 4, "pot": 2}


def test_clicks_teach_where_nobody_judged(catalogue):
    asked = [(f"{title} {number}", item, 1.0) for title, item in zip(catalogue.items["title"], catalogue.item_ids, strict=True)
             for number in range(6)]
    assert learn(catalogue, None, clicks=judged(asked)).about["source"].count("clicks")


def test_a_search_is_judged_by_judgments_else_by_clicks_else_by_nothing(catalogue):
    named = list(zip(catalogue.items["title"].to_list(), catalogue.item_ids, strict=True))
    own = judged([(query, item, 1.0) for title, item in named for query in (title, f"{title} alder")])
    rare = judged([("mug", "k0", 1.0)])
    assert learn(catalogue, own, clicks=rare).judged["by"] == "judgments"
    found = learn(catalogue, rare, clicks=own, searches={"olive": 3}).judged
    assert found["by"] == "clicks after searches" and set(found["slices"]) == {"all", "tail"}
    assert found["slices"]["all"]["queries"] == 2 * len({title for title, _ in named})
    assert found["slices"]["all"]["metrics"]["ndcg@10"]["mean"] > 0.9
    assert learn(catalogue, rare).judged is None


def test_no_query_is_judged_with_weights_that_it_taught(catalogue, monkeypatch):
    seen = []

    def fit(lists, start):
        seen.append(len(lists.starts) - 1)
        return start.model_copy(update={"text": 100.0 + len(seen)})

    judged_with = {}
    monkeypatch.setattr("recsys_core.deployment.searching.fit_weights", fit)
    monkeypatch.setattr("recsys_core.deployment.searching.list_ndcg",
                        lambda lists, config: np.full(len(lists.starts) - 1, config.text))
    monkeypatch.setattr("recsys_core.deployment.searching.judge_search",
                        lambda asked, configs, *_: judged_with.update(zip(asked, configs, strict=True)))
    named = zip(catalogue.items["title"].to_list(), catalogue.item_ids, strict=True)
    learn(catalogue, judged([(f"{title} {item}", item, 1.0) for title, item in named]))
    assert len({config.text for config in judged_with.values()}) == 5 and max(seen[-5:]) < len(judged_with)
