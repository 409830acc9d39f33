import numpy as np
import polars as pl
import pytest

from recsys_core.distillation.queries import logged_queries, make_queries

ITEMS = pl.DataFrame({
    "text": [f"Steel kettle number {n}. Alder. Kitchen" for n in range(20)],
    "title": [f"Steel kettle number {n}" for n in range(20)],
    "brand": ["Alder"] * 20, "category": ["Kitchen > Kettles"] * 20})
TEXTS = ITEMS["text"].to_list()


def test_generated_queries_are_made_of_their_item():
    queries = make_queries(ITEMS, TEXTS, [], 60, np.random.default_rng(0))
    assert len(queries.texts) == len(set(queries.texts)) == 60 == queries.generated
    whole = 0
    for text, document in zip(queries.texts, queries.document, strict=True):
        known = set(f"{TEXTS[document]} Kettles".replace(".", "").split())
        strange = [word for word in text.split() if word.strip(".") not in known]
        assert len(strange) <= 2  # one typo, which may also swap a space away
        whole += not strange
    assert whole > 40 and len(set(queries.document.tolist())) > 10
    assert {len(text.split()) for text in queries.texts} >= {1, 2, 3}


def test_logged_queries_come_first_and_leave_half_to_the_catalogue():
    logged = ["kettle"] * 3 + ["pan"] + ["pot"] * 2
    queries = make_queries(ITEMS, TEXTS, logged, 4, np.random.default_rng(0))
    assert queries.texts[:2] == ["kettle", "pot"] and queries.document[:2].tolist() == [-1, -1]
    assert queries.generated == 2 == len(queries.texts[2:])


def test_scripts_without_spaces_give_spans_of_characters():
    items = pl.DataFrame({"text": ["木製おもちゃの電車"], "title": ["木製おもちゃの電車"], "brand": [None], "category": [None]},
                         schema_overrides={"brand": pl.String, "category": pl.String})
    queries = make_queries(items, items["text"].to_list(), [], 10, np.random.default_rng(0))
    assert min(map(len, queries.texts)) < 9 and any(text in items["text"][0] for text in queries.texts)


@pytest.mark.parametrize("text", ["...", "—"])
def test_a_catalogue_without_words_gives_no_queries(text):
    items = ITEMS.head(1).with_columns(text=pl.lit(text), title=pl.lit(text), brand=pl.lit(None, pl.String),
                                       category=pl.lit(None, pl.String))
    assert make_queries(items, [text], [], 5, np.random.default_rng(0)).texts == []


def test_only_search_events_are_logged_queries():
    day = pl.LazyFrame({"event_type": ["search", "click", "search"], "query": ["kettle", "pan", None]})
    assert logged_queries({"2024-03-01": day, "2024-03-02": day}) == ["kettle", "kettle"]
    assert logged_queries({}) == []
