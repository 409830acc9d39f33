"""The weights that a bundle searches with: learned from judgments, else from clicks, else from queries made of the catalogue.

A made query is a few words of a title, and the titles are hidden: brand, category, description and the other columns must find
the items. Else words alone would always find what they were cut from.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_core.artefacts import read_json, write_json
from recsys_core.base_model import SERVING, BaseModelArtefact, Ranker
from recsys_core.deployment.judged_search import judge_search
from recsys_core.distillation import make_queries
from recsys_core.errors import RequestError
from recsys_core.interactions import Catalogue
from recsys_core.retrieval import (
    EncodesQueries,
    Grouping,
    LexicalIndex,
    Lists,
    SearchConfig,
    Searched,
    as_strong,
    build_lexical,
    clean_query,
    fit_weights,
    list_ndcg,
    log_shares,
    make_lists,
    nonsense_floor,
    some_lists,
)
from recsys_core.schema import JUDGMENTS, POSITIVE_EVENTS, SEARCH
from recsys_core.serving import STUDENT
from recsys_core.student import ONNX, OnnxEncoder, load_student

log = logging.getLogger(__name__)

MADE = 400  # queries made of the catalogue
POOL = 1_000  # distinct texts that they are made of and answered from
BODY = 300  # characters of what the other columns say that are read
FEWEST, FEWEST_CLICKED = 20, 100  # queries with an answer below which the next source is taken
MADE_OF = "queries made of the catalogue"
SEARCH_MODEL = "search.json"
FOLDS = 5


@dataclass(frozen=True)
class LearnedSearch:
    """What a bundle searches with.

    Args:
        config: the weights.
        about: where they come from: source, how many queries, and what NDCG@10 they gain on held-out ones.
        judged: by what the search was judged, and what `judge_search` found; None: neither judgments nor clicks are enough.
    """

    config: SearchConfig
    about: dict[str, Any]
    judged: dict[str, Any] | None


def learn_search(catalogue: Catalogue, log_share: np.ndarray, encoder: EncodesQueries | None, reader: EncodesQueries | None,
                 lexical: LexicalIndex, judgments: pl.DataFrame, clicks: pl.DataFrame, searches: Mapping[str, int]
                 ) -> LearnedSearch:
    """Learn the weights of a search, and below which cosine nothing is like a query; judge it where shoppers or judges did.

    Args:
        catalogue: what is searched.
        log_share: float32 [N], log share of each item.
        encoder: of the queries; None where it cannot read the shop's texts.
        reader: of texts, into the same space; None with it.
        lexical: of the catalogue.
        judgments: `schema.JUDGMENTS`.
        clicks: `schema.JUDGMENTS`, see `clicked_queries`.
        searches: see `count_searches`.
    """
    rng, start = np.random.default_rng(31), SearchConfig() if encoder is not None else SearchConfig(text=0.0)
    documents = lexical.documents
    standing = Grouping(documents.of_item, len(documents.texts)).most(log_share.astype(np.float32))
    searched = Searched(catalogue.vectors, encoder, lexical, np.where(np.isfinite(standing), standing, 0))
    evidence = [(name, judged_queries(table, catalogue, documents.of_item), fewest) for name, table, fewest in
                (("judgments", judgments, FEWEST), ("clicks after searches", clicks, FEWEST_CLICKED))]
    source, asked = next(((name, asked) for name, asked, fewest in evidence if len(asked) >= fewest), (MADE_OF, {}))
    lists = make_lists(asked, searched, rng) if asked else made_lists(catalogue, encoder, reader, rng)
    config, gained = learn_weights(lists, start, rng, source != MADE_OF)
    taught = config is not start
    if taught and source == MADE_OF:  # without their titles items are told apart less surely: only proportions are learned
        config = as_strong(config, start, lists)
    floor = nonsense_floor(catalogue.vectors, encoder, lexical, rng) if encoder is not None else config.least_meaning
    config = config.model_copy(update={"least_meaning": floor})
    about = {"source": source if taught else f"default ({source} taught nothing that others of them confirm)",
             "queries": len(lists.starts) - 1, "gained_ndcg": gained}
    log.info("search: %s; %s", about, config)
    judged = None
    for name, queries, _ in evidence:
        if judged is None and len(queries) >= FEWEST:
            own = _unseen_weights(lists, start, rng) if taught and name == source else [config] * len(queries)
            configs = [one.model_copy(update={"least_meaning": floor}) for one in own]
            judged = {"by": name, "slices": judge_search(queries, configs, searched, searches, rng)}
    return LearnedSearch(config, about, judged)


def write_search(folder: Path, base: BaseModelArtefact, student: Path, events: Mapping[str, pl.LazyFrame],
                 judgments: pl.DataFrame) -> LearnedSearch:
    """Learn the weights of a shop's search and write them.

    Args:
        folder: of the artefact.
        base: whose catalogue is searched.
        student: the student's folder.
        events: day → `schema.CLEAN_EVENTS`.
        judgments: `schema.JUDGMENTS`.
    """
    catalogue = base.catalogue
    popularity = Ranker.load(base.folder / "rankers" / SERVING, catalogue).counts.popularity
    encoder, reader = (load_student(student / STUDENT), OnnxEncoder.load(student / STUDENT / ONNX)) if base.reads_texts \
        else (None, None)
    learned = learn_search(catalogue, log_shares(popularity), encoder, reader,
                           build_lexical(catalogue.items, catalogue.text_of_item), judgments, clicked_queries(events),
                           count_searches(events))
    write_json(folder / SEARCH_MODEL, {"config": learned.config.model_dump(), "about": learned.about, "judged": learned.judged})
    return learned


def read_search(folder: Path) -> LearnedSearch:
    """Read what `write_search` wrote."""
    found = read_json(folder / SEARCH_MODEL)
    return LearnedSearch(SearchConfig(**found["config"]), found["about"], found["judged"])


def clicked_queries(events: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """`schema.JUDGMENTS`: how often each item was taken after a search, in its session and before the next search.

    Args:
        events: day → `schema.CLEAN_EVENTS`.
    """
    taken = [day.select("session_id", "timestamp", "event_type", "query", "item_id")
             .filter((pl.col("event_type") == SEARCH).any().over("session_id"))
             .sort("session_id", "timestamp", pl.col("event_type") != SEARCH)
             .with_columns(pl.when(pl.col("event_type") == SEARCH).then("query").forward_fill().over("session_id").alias("query"))
             .filter(pl.col("event_type").is_in(POSITIVE_EVENTS)).drop_nulls(["query", "item_id"]).select("query", "item_id")
             for day in events.values()]
    if not taken:
        return pl.DataFrame(schema=JUDGMENTS)
    counted = pl.concat(taken).group_by("query", "item_id").agg(pl.len().cast(pl.Float64).alias("gain"))
    return counted.sort("query", "item_id").collect()


def count_searches(events: Mapping[str, pl.LazyFrame]) -> dict[str, int]:
    """Clean query → how often it was asked; unreadable ones are left out.

    Args:
        events: day → `schema.CLEAN_EVENTS`.
    """
    found: dict[str, int] = {}
    for day in events.values():
        asked = day.filter(pl.col("event_type") == SEARCH).group_by("query").len().drop_nulls("query").collect()
        for text, times in asked.iter_rows():
            try:
                query = clean_query(text)
            except RequestError:
                continue
            found[query] = found.get(query, 0) + times
    return found


def judged_queries(judgments: pl.DataFrame, catalogue: Catalogue, document_of_item: np.ndarray) -> dict[str, dict[int, float]]:
    """Clean query → {document: gain}, of queries with an answer in the catalogue; of a document's items the best counts.

    Rows without a readable query, a known item or a finite gain are left out.
    """
    asked: dict[str, dict[int, float]] = {}
    for text, item, gain in judgments.select("query", "item_id", "gain").iter_rows():
        row = catalogue.row_of.get(item)
        if row is None or gain is None or not math.isfinite(gain):
            continue
        try:
            graded = asked.setdefault(clean_query(text), {})
        except RequestError:
            continue
        document = int(document_of_item[row])
        graded[document] = max(graded.get(document, 0.0), float(gain))
    return {query: graded for query, graded in asked.items() if any(gain > 0 for gain in graded.values())}


def made_lists(catalogue: Catalogue, encoder: EncodesQueries | None, reader: EncodesQueries | None,
               rng: np.random.Generator) -> Lists:
    """Lists of words of titles, to be answered by what the other columns say of the same items.

    Args:
        catalogue: at most `POOL` of its texts are searched.
        encoder: of the queries. reader: of the other columns. Both None: meaning is left out.
        rng: draws texts, queries and words.
    """
    first = np.unique(catalogue.text_of_item, return_index=True)[1]
    rows = np.sort(rng.choice(first, min(POOL, len(first)), replace=False))
    pool = catalogue.items[rows].with_columns(pl.lit(None, pl.String).alias("title"))
    lexical = build_lexical(pool, np.arange(len(rows), dtype=np.int32))
    bodies = [" ".join(value for value in row if value)[:BODY] for row in pool.select(lexical.documents.columns).iter_rows()]
    vectors = np.zeros((len(rows), 1), np.float32) if reader is None else reader.encode([body or " " for body in bodies])
    titles = catalogue.items["title"].gather(rows)
    same: dict[str, dict[int, float]] = {}
    for place, title in enumerate(titles.to_list()):
        same.setdefault(title, {})[int(lexical.documents.of_item[place])] = 1.0
    asked = pl.DataFrame({"text": titles, "title": titles, "brand": None, "category": None},
                         schema_overrides={"brand": pl.String, "category": pl.String})
    made = make_queries(asked, list(same), [], MADE, rng)
    graded = {clean_query(query): same[title] for query, title in
              zip(made.texts, [list(same)[at] for at in made.document.tolist()], strict=True)}
    searched = Searched(vectors, encoder, lexical, np.zeros(len(lexical.documents.texts), np.float32))
    return make_lists(graded, searched, rng)


def learn_weights(lists: Lists, start: SearchConfig, rng: np.random.Generator, asked: bool) -> tuple[SearchConfig, float]:
    """The weights that lists teach and how much they gain in NDCG@10 on lists that they were not learned from.

    What is likelier need not rank better. Few real queries must gain more than a standard error, else the given weights stay;
    many made ones must not lose more than one.

    Args:
        lists: of queries.
        start: the given weights.
        rng: draws which lists are held out together.
        asked: the queries are real.
    """
    gained = np.zeros(len(lists.starts) - 1)
    for own, learned in _folds(lists, start, rng):
        gained[own] = list_ndcg(some_lists(lists, own), learned) - list_ndcg(some_lists(lists, own), start)
    mean, error = float(gained.mean()), float(gained.std() / max(len(gained), 1) ** 0.5)
    return (fit_weights(lists, start) if mean > (error if asked else -error) else start), mean


def _folds(lists: Lists, start: SearchConfig, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, SearchConfig]]:
    """Lists that are held out together, and what the others teach."""
    fold = rng.permutation(len(lists.starts) - 1) % FOLDS
    for held in range(FOLDS):
        yield np.flatnonzero(fold == held), fit_weights(some_lists(lists, np.flatnonzero(fold != held)), start)


def _unseen_weights(lists: Lists, start: SearchConfig, rng: np.random.Generator) -> list[SearchConfig]:
    """Of each list the weights that other lists teach."""
    found = [start] * (len(lists.starts) - 1)
    for own, learned in _folds(lists, start, rng):
        for at in own.tolist():
            found[at] = learned
    return found
