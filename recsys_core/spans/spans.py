"""Learning attributes from marked texts: values are found in their texts, tokens get tags and features, the chain is fitted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from recsys_core.adaptation import encoder_lock
from recsys_core.errors import AdapterError
from recsys_core.schema import CATEGORY_SEPARATOR
from recsys_core.spans.chain import Chain, Sequences, fit_chain
from recsys_core.spans.span_adapter import SpanAdapter, SpanConfig, level_above, tags_of
from recsys_core.spans.span_features import (
    ALWAYS,
    FEATURE_RULES,
    WORD,
    Gazetteer,
    glue,
    has_meaning,
    is_of_category,
    token_features,
    value_key,
)
from recsys_core.spans.tokens import token_bounds

__all__ = ["SpanAdapter", "SpanConfig", "fit_spans"]


@dataclass(frozen=True)
class _Marked:
    """A text whose values were found in it.

    Args:
        tokens: as written.
        glued: as `glue` says.
        tags: of each token.
        pairs: of attribute and value's key.
    """

    tokens: list[str]
    glued: list[bool]
    tags: np.ndarray
    category: str | None
    pairs: set[tuple[str, tuple[str, ...]]]


def fit_spans(encoder: Any, texts: Sequence[str], spans: Sequence[Sequence[tuple[str, str]]],
              categories: Sequence[str | None], config: SpanConfig | None = None, *,
              task: str) -> SpanAdapter:
    """Learn attributes from texts whose values are marked: seconds for some hundred texts.

    A value is looked for as whole words, letter case aside, the longest values first; one that does not occur in its text,
    or only within another, is dropped. `settings` counts these. A text without values teaches that it has none.

    Args:
        encoder: reads words where `config.meaning` is set.
        texts: n texts.
        spans: of each its (attribute, value) pairs.
        categories: of each, None where unknown.
        config: the defaults if None.
        task: its name.

    Raises:
        AdapterError: lists of different length, a name or value that is no text, or no value that occurs in its text.
    """
    config = config or SpanConfig()
    _check(task, texts, spans, categories)
    attributes = tuple(sorted({attribute for one in spans for attribute, _ in one}))
    place = {attribute: at for at, attribute in enumerate(attributes)}
    known = _with_examples(categories, config.in_category)
    examples = [_mark(*one, place, config.tokens) for one in zip(texts, spans, known, strict=True)]
    found, asked = sum(len(one.pairs) for one in examples), sum(len(set(one)) for one in spans)
    if not found:
        raise AdapterError(f"labels of task {task!r}", f"none of {asked} values occurs in its text as whole words",
                           "mark values in the words of the text")
    examples = [one for one in examples if one.tokens]
    gazetteer = Gazetteer.of([one.pairs for one in examples])
    own = _own_attributes(examples)
    names = [row for one in examples for row in token_features(
        one.tokens, one.glued, gazetteer.features([token.casefold() for token in one.tokens], one.pairs), one.category)]
    counts = Counter(chain.from_iterable(names))
    features = tuple(sorted(name for name, count in counts.items() if count >= config.seen_in or name == ALWAYS))
    words = sorted({word for one in examples for token in one.tokens if has_meaning(word := token.casefold())})
    meant = dict(zip(words, config.meaning * encoder.encode(words), strict=True)) if words and config.meaning else {}
    learned = _folded(_fit(examples, names, features, meant, own, len(attributes), config), features, meant)
    return SpanAdapter(task, attributes, encoder_lock(encoder, FEATURE_RULES), features, gazetteer, learned, own, {
        "texts": len(texts), "values": found, "values_not_in_their_text": asked - found, "meaning": config.meaning,
        "least": config.least, "tokens": config.tokens, "longest": config.longest})


def _mark(text: str, spans: Sequence[tuple[str, str]], category: str | None, place: dict[str, int], limit: int) -> _Marked:
    """Tags of a text's tokens: the longest values first, each at its first place that is free."""
    bounds = token_bounds(text, limit)
    tokens = [text[begin:end] for begin, end in bounds]
    folded, tags, pairs = [token.casefold() for token in tokens], np.zeros(len(tokens), np.int64), set()
    wanted = sorted({(attribute, value_key(value, limit)) for attribute, value in spans}, key=lambda one: (-len(one[1]), one))
    for attribute, key in wanted:
        at = next((at for at in range(len(folded) - len(key) + 1) if key and tuple(folded[at:at + len(key)]) == key
                   and not tags[at:at + len(key)].any()), None)
        if at is not None:
            tags[at:at + len(key)] = 2 * place[attribute] + 2
            tags[at] -= 1
            pairs.add((attribute, key))
    return _Marked(tokens, glue(bounds), tags, category, pairs)


def _with_examples(categories: Sequence[str | None], least: int) -> list[str | None]:
    """Each text's category, or the level above it, where that has enough texts; else None."""
    found = [category or None for category in categories]
    for depth in range(max((one.count(CATEGORY_SEPARATOR) for one in found if one), default=-1), -1, -1):
        count = Counter(found)
        found = [level_above(one) or None if one and one.count(CATEGORY_SEPARATOR) == depth and count[one] < least else one
                 for one in found]
    return found


def _own_attributes(examples: Sequence[_Marked]) -> dict[str, list[int]]:
    """Category → places of the attributes that its examples have."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for one in examples:
        if one.category is not None:
            found[one.category] |= set(((one.tags[one.tags > 0] - 1) // 2).tolist())
    return {category: sorted(places) for category, places in sorted(found.items())}


def _fit(examples: Sequence[_Marked], names: Sequence[Sequence[str]], features: Sequence[str], meant: dict[str, np.ndarray],
         own: dict[str, list[int]], attributes: int, config: SpanConfig) -> Chain:
    row_of = {name: row for row, name in enumerate(features)}
    rows = [[row_of[name] for name in one if name in row_of] for one in names]
    group = {category: at for at, category in enumerate(own, 1)}
    nothing = np.zeros_like(next(iter(meant.values()), np.zeros(0, np.float32)))
    vectors = np.array([meant.get(token.casefold(), nothing) for one in examples for token in one.tokens], np.float32)
    texts = Sequences(
        np.fromiter(chain.from_iterable(rows), np.int64), np.cumsum([0, *map(len, rows)]), vectors,
        np.concatenate([one.tags for one in examples]), np.array([len(one.tokens) for one in examples]),
        np.array([group.get(one.category or "", 0) for one in examples]))
    groups = [tags_of(range(attributes)), *(tags_of(places) for places in own.values())]
    shared = np.array([not is_of_category(name) for name in features])
    return fit_chain(texts, groups, shared, np.random.default_rng(config.seed), strength=config.strength, epochs=config.epochs,
                     rate=config.rate, hidden=config.hidden)


def _folded(learned: Chain, features: Sequence[str], meant: dict[str, np.ndarray]) -> Chain:
    """What the vectors say of the words that are features, put into these: an answer reads only new words with the encoder."""
    sparse = learned.sparse.copy()
    for row, name in enumerate(features):
        if name.startswith(WORD) and (word := name.removeprefix(WORD)) in meant:
            sparse[row] += meant[word] @ learned.dense
    return Chain(sparse, learned.dense, learned.steps, learned.start)


def _check(task: str, texts: Sequence[str], spans: Sequence[Sequence[tuple[str, str]]], categories: Sequence[str | None]) -> None:
    where = f"labels of task {task!r}"
    if not len(texts) == len(spans) == len(categories):
        raise AdapterError(where, f"{len(texts)} texts, {len(spans)} lists of values and {len(categories)} categories",
                           "give every text its values and its category, or None")
    for row, (text, one) in enumerate(zip(texts, spans, strict=True)):
        if not isinstance(text, str):
            raise AdapterError(where, f"row {row} has no text ({text!r})", "remove the row, or give its text")
        for attribute, value in one:
            if not all(isinstance(part, str) and part.strip() for part in (attribute, value)):
                raise AdapterError(where, f"row {row} has the value {value!r} of attribute {attribute!r}",
                                   "attributes and values are non-empty strings")
