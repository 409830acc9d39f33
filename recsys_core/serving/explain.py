"""Why each answered item is there: contributions that add up to its score, and one sentence.

Past items are split in closed form (`base_model.attribution`). Words of a query are split by what the item loses without each of
them; what only several words bring together is divided evenly (the equal allocation of non-separable contributions,
Moulin 1985), so they add up whatever the encoder is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recsys_core.answering import TEMPLATES, Contribution, Facts, offset_contributions, ranked_contributions, sentence, tell
from recsys_core.arguments import is_missing, show
from recsys_core.base_model import Weighed
from recsys_core.errors import RequestError
from recsys_core.retrieval import clean_query
from recsys_core.schema import POSITIVE_EVENTS
from recsys_core.serving.files import BundleParts
from recsys_core.serving.history import join_histories
from recsys_core.serving.request import Request

Told = tuple[list[Contribution], str]
ENGLISH = "en"
MOST_WORDS = 16  # words of a query that are told apart; the rest are one source


def read_language(explain: Any) -> str | None:
    """The language of the sentences; None: nothing is to be explained. English stands in for one without templates.

    Raises:
        RequestError: neither a flag nor text.

    >>> read_language(True), read_language("de-AT"), read_language("xx"), read_language(False)
    ('en', 'de', 'en', None)
    """
    if is_missing(explain) or explain is False:
        return None
    if explain is True:
        return ENGLISH
    if not isinstance(explain, str):
        raise RequestError("explain", f"{show(explain)} is neither true, false nor a language", "send true or a code such as en")
    language = explain.strip().lower().replace("_", "-").partition("-")[0]
    return language if language in TEMPLATES else ENGLISH


def explain_ranking(parts: BundleParts, request: Request, weighed: Weighed, rows: np.ndarray, placed: Mapping[int, str],
                    language: str) -> list[Told]:
    """Explain a recommendation.

    Args:
        parts: the bundle's.
        request: as understood.
        weighed: the ranker's parts for its history.
        rows: int [k], the answered rows.
        placed: row → the rule that placed it.
        language: a key of `TEMPLATES`.
    """
    found = parts.ranker.attribute(join_histories([request.history]), rows, weighed)
    lines = ranked_contributions(found, parts.catalogue.item_ids)
    return _told(parts, request, rows, placed, language, found.rising, lines)


def explain_query(parts: BundleParts, request: Request, query: str, found: Mapping[str, np.ndarray], rows: np.ndarray,
                  placed: Mapping[int, str], language: str) -> list[Told]:
    """Explain a search.

    Args:
        parts: the bundle's.
        request: as understood.
        query: as the caller wrote it.
        found: the named parts of their scores, float32 [k] each.
        rows: int [k], the answered rows.
        placed: row → the rule that placed it.
        language: a key of `TEMPLATES`.
    """
    matched = np.add.reduce([found[name].astype(np.float64) for name in ("text", "words") if name in found])
    words, values = _by_word(parts, clean_query(query), rows, matched)
    lines = [tell([*(("word", word, value) for word, value in zip(words, values[row], strict=True)),
                   ("popularity", "", float(found["popularity"][row]))]) for row in range(len(rows))]
    rising = np.zeros(len(rows), bool)
    if "taste" in found:
        tasted, rising = _taste(parts, request, found["taste"].astype(np.float64), rows)
        lines = [_merged(mine, own) for mine, own in zip(lines, tasted, strict=True)]
    return _told(parts, request, rows, placed, language, rising, lines)


def _by_word(parts: BundleParts, query: str, rows: np.ndarray, matched: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The distinct words of a query, and what each brings of the matched logits [k]: float64 [k, W]."""
    spoken = query.split()
    distinct = list(dict.fromkeys(spoken))
    groups = [[word] for word in distinct[:MOST_WORDS]] + ([distinct[MOST_WORDS:]] if len(distinct) > MOST_WORDS else [])
    if len(groups) == 1:
        return [query], matched[:, None]
    without = [" ".join(word for word in spoken if word not in group) for group in groups]
    lost = matched[:, None] - np.stack([_matched(parts, text, rows) for text in without], axis=1)
    shared = (matched - lost.sum(axis=1)) / len(groups)
    return [" ".join(group) for group in groups], lost + shared[:, None]


def _matched(parts: BundleParts, query: str, rows: np.ndarray) -> np.ndarray:
    """Logits of meaning and words at some items: float64 [k]."""
    documents, config = parts.documents.of_item[rows], parts.search
    reading, total = parts.lexical.read(query), np.zeros(len(rows))
    if config.text:
        texts = parts.documents.texts[documents]
        total += config.text * (parts.catalogue.vectors[texts] @ parts.encoder.encode([reading.text])[0])
    words = parts.lexical.scores(reading.terms)
    return total if words is None else total + config.words * words[documents]


def _taste(parts: BundleParts, request: Request, taste: np.ndarray, rows: np.ndarray
           ) -> tuple[list[list[Contribution]], np.ndarray]:
    """The shopper's taste: the ranker's contributions on a search's scale, less what the mean item has ("rest")."""
    history = join_histories([request.history])
    weighed = parts.ranker.weigh(history, request.now)
    scores = weighed.score()[0]
    mean = float(scores.mean(dtype=np.float64))
    found = parts.ranker.attribute(history, rows, weighed)
    above = found.history.sum(axis=1) + found.popularity + found.trend - mean
    factor = np.divide(taste, above, out=np.zeros_like(taste), where=above != 0)
    lines = ranked_contributions(found, parts.catalogue.item_ids, factor)
    return [[*line, *tell([("rest", "the mean item", -times * mean)])]
            for line, times in zip(lines, factor.tolist(), strict=True)], found.rising


def _merged(first: list[Contribution], second: list[Contribution]) -> list[Contribution]:
    """Both, one line per source."""
    totals: dict[tuple[Any, str], float] = {}
    for one in (*first, *second):
        key = one["source"], one["name"]
        totals[key] = totals.get(key, 0.0) + one["value"]
    return tell((*key, value) for key, value in totals.items())


def _told(parts: BundleParts, request: Request, rows: np.ndarray, placed: Mapping[int, str], language: str,
          rising: np.ndarray, lines: list[list[Contribution]]) -> list[Told]:
    offsets = offset_contributions({name: part[rows] for name, part in request.offsets.items()}, request.segment)
    popular = parts.popularity[rows] > parts.popularity.mean()
    titles, ids = parts.catalogue.items["title"], parts.catalogue.item_ids
    past = dict(zip(request.history.items.tolist(), request.history.event_type.tolist(), strict=True))
    verbs = {ids[row]: POSITIVE_EVENTS[code] for row, code in past.items()}
    named = {one["name"] for line in lines for one in line if one["source"] == "item"}
    called = {item: titles[parts.catalogue.row_of[item]] or item for item in named}
    told = []
    for place, row in enumerate(rows.tolist()):
        found = lines[place] + (offsets[place] if offsets else [])
        if row in placed:
            found.append({"source": "rule", "name": placed[row], "value": 0.0})
        facts = Facts(ids[row], called, verbs, bool(popular[place]), bool(rising[place]), _called(parts, request))
        told.append((sorted(found, key=lambda one: -abs(one["value"])), sentence(found, facts, language)))
    return told


def _called(parts: BundleParts, request: Request) -> str:
    """How people call the segment or member that answers: "store 367"; "" for an adapter that the caller passed."""
    route = parts.router.routes.get(request.segment or "")
    if route is None:
        return ""
    return f"{(route.by or '').partition('.')[2]} {request.member}" if request.member else f"“{route.name}”"
