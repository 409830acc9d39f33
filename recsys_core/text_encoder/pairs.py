"""Training pairs for the text encoder: which texts should lie close together, and which must not be
pushed apart.

Three kinds: co-behaviour (taken in one step, taken by the same user a few steps later), taxonomy
(category level, or brand + category → item text) and search (query → item). In-batch negatives are free
but often false: identical texts, items of one basket, and any other known pair. `Pairs` carries what
it takes to find them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import scipy.sparse as sp
from pydantic import BaseModel, Field

from recsys_core.interactions import Interactions
from recsys_core.schema import CATEGORY_SEPARATOR

log = logging.getLogger(__name__)

PAIR_KINDS = ("behaviour", "taxonomy", "query")
NO_BASKET = -1
CHANCE_DEVIATIONS = 3.0  # Poisson standard deviations above chance before two texts count as related


class PairConfig(BaseModel, frozen=True, extra="forbid"):
    """How many training pairs of each kind, and how they are drawn."""

    behaviour: int = Field(8_000, ge=0, description="most co-behaviour pairs kept")
    taxonomy: int = Field(8_000, ge=0, description="most taxonomy phrase → item pairs kept")
    query: int = Field(8_000, ge=0, description="most query → item pairs kept")
    window: int = Field(3, ge=1, description="how many steps later the second item may be taken")
    popularity_power: float = Field(
        0.75, ge=0, le=1, description="an event is drawn with weight 1 / (its text's event count) ** this")
    min_users: int = Field(
        2, ge=1, description="shoppers a pair must be drawn from, where enough pairs are")
    draws_per_pair: int = Field(200, ge=1, description="co-behaviour draws per pair asked for")


@dataclass(frozen=True)
class Pairs:
    """P (anchor, positive) text pairs over M distinct texts, and what tells false negatives.

    Args:
        texts: the M distinct texts, sorted.
        anchor: int32 [P], rows of `texts`.
        positive: int32 [P], rows of `texts`.
        kind: int8 [P], index into `PAIR_KINDS`.
        anchor_basket: int64 [P], the step (one user, one timestamp) in which a co-behaviour pair's anchor was taken;
            `NO_BASKET` for the other kinds.
        positive_basket: int64 [P], the same of the positive.
        related: bool CSR [M, M], symmetric with a full diagonal: every pair known to belong together, whether drawn for
            training or not.
    """

    texts: list[str]
    anchor: np.ndarray
    positive: np.ndarray
    kind: np.ndarray
    anchor_basket: np.ndarray
    positive_basket: np.ndarray
    related: sp.csr_array

    def __len__(self) -> int:
        return len(self.anchor)

    def rows(self, rows: np.ndarray) -> Pairs:
        """The pairs at these positions; texts and relations are kept whole."""
        return replace(self, anchor=self.anchor[rows], positive=self.positive[rows], kind=self.kind[rows],
                       anchor_basket=self.anchor_basket[rows], positive_basket=self.positive_basket[rows])

    def split(self, share: float, most: int, rng: np.random.Generator) -> tuple[Pairs, Pairs]:
        """(train, held out): a share of the unordered text pairs, at most `most`, in the second only."""
        low, high = np.minimum(self.anchor, self.positive), np.maximum(self.anchor, self.positive)
        unordered, group = np.unique(low.astype(np.int64) * len(self.texts) + high, return_inverse=True)
        held = np.zeros(len(unordered), bool)
        held[rng.permutation(len(unordered))[:min(most, int(share * len(unordered)))]] = True
        return self.rows(np.flatnonzero(~held[group])), self.rows(np.flatnonzero(held[group]))

    def not_negatives(self, rows: np.ndarray) -> np.ndarray:
        """bool [b, b]: True where positive j must not serve as a negative of anchor i in this batch.

        That is where j's positive is related (or identical) to either side of pair i, or was taken in
        the basket of either side. The diagonal, the pair itself, is False.
        """
        anchor, positive = self.anchor[rows], self.positive[rows]
        related = self.related[anchor][:, positive].toarray() | (positive[:, None] == positive)
        basket = self.positive_basket[rows]
        shared = (basket[:, None] == basket) | (self.anchor_basket[rows][:, None] == basket)
        related |= shared & (basket != NO_BASKET)
        np.fill_diagonal(related, False)
        return related


def make_pairs(interactions: Interactions, items: pl.DataFrame, before: int, config: PairConfig,
               rng: np.random.Generator, queries: pl.DataFrame | None = None) -> Pairs:
    """Draw the training pairs of an encoder from everything known strictly before a cut-off.

    Args:
        interactions: positive events; their `item` numbers are rows of `items`.
        items: the clean items table, sorted by item_id (text, category, brand).
        before: seconds since the epoch; only earlier events are used.
        queries: search clicks or judged matches, columns query and item_id, already cut to what was known at `before`.

    Returns:
        the pairs; none where no user came back, and no category, brand or query names an item.
    """
    texts, text_of_item = np.unique(items["text"].fill_null("").to_numpy().astype(object),
                                    return_inverse=True)
    parts = [_behaviour(interactions.before(before), text_of_item, config, rng),
             _named(_taxonomy(items), text_of_item, config.taxonomy, 1, rng)]
    if queries is not None:
        row_of = pl.DataFrame({"item_id": items["item_id"]}).with_row_index("item")
        asked = queries.select(pl.col("query").alias("phrase"), "item_id").join(
            row_of, on="item_id", maintain_order="left")
        parts.append(_named(asked, text_of_item, config.query, 2, rng))
    for name, part in zip(PAIR_KINDS, parts, strict=False):
        log.info("%s: %d training pairs of %d known", name, len(part.positive), len(part.known_positive))
    return _join(texts.tolist(), parts)


@dataclass(frozen=True)
class _Part:
    """Drawn and known pairs of one kind; an anchor is a text number or, from M up, a phrase of `phrases`."""

    kind: int
    phrases: list[str]
    anchor: np.ndarray
    positive: np.ndarray
    anchor_basket: np.ndarray
    positive_basket: np.ndarray
    known_anchor: np.ndarray
    known_positive: np.ndarray


def _behaviour(events: Interactions, text_of_item: np.ndarray, config: PairConfig,
               rng: np.random.Generator) -> _Part:
    """Draw events against popularity, then one later event of the same user within the window.

    A user counts once per pair, or one household's routine would look like everybody's.
    Most of what is bought next is bought by everybody, so pairs are kept by their surplus over chance.
    """
    empty = np.zeros(0, np.int64)
    if not len(events) or not config.behaviour:
        return _Part(0, [], *[empty] * 6)
    text = text_of_item[events.item]
    new_user = np.r_[True, events.user[1:] != events.user[:-1]]
    new_step = new_user | np.r_[True, events.timestamp[1:] != events.timestamp[:-1]]
    step = np.cumsum(new_step) - 1
    starts = np.r_[np.flatnonzero(new_step), len(text)]
    user_of_step = events.user[starts[:-1]]
    weight = np.bincount(text)[text] ** -config.popularity_power
    mass = np.r_[0.0, np.cumsum(weight)]

    draws = config.behaviour * config.draws_per_pair
    first = np.minimum(np.searchsorted(mass, rng.random(draws) * mass[-1], "right") - 1, len(text) - 1)
    later = step[first] + rng.integers(1, config.window + 1, draws)
    inside = later < len(user_of_step)
    first, later = first[inside], later[inside]
    same_user = user_of_step[later] == events.user[first]
    first, later = first[same_user], later[same_user]
    low, high = mass[starts[later]], mass[starts[later + 1]]
    second = np.searchsorted(mass, low + rng.random(len(later)) * (high - low), "right") - 1
    second = np.clip(second, starts[later], starts[later + 1] - 1)
    differs = text[first] != text[second]
    first, second = first[differs], second[differs]

    code = np.unique(text[first].astype(np.int64) * (text.max() + 1) + text[second], return_inverse=True)[1]
    user = events.user[first]
    _, once = np.unique(code * (np.int64(user.max(initial=0)) + 1) + user, return_index=True)
    first, second = first[once], second[once]
    where, surplus = _surplus(text[first], text[second], config)
    first, second = first[where], second[where]
    chosen = np.sort(_weighted_choice(surplus, config.behaviour, rng))
    return _Part(0, [], text[first[chosen]], text[second[chosen]], step[first[chosen]], step[second[chosen]],
                 text[first], text[second])


def _surplus(left: np.ndarray, right: np.ndarray, config: PairConfig) -> tuple[np.ndarray, np.ndarray]:
    """Where each pair that goes together first occurs among the draws, and how far beyond chance.

    A pair's worth is its count less what its second text does after all other firsts,
    n(a) (n(b) − n(ab)) / (n − n(a)): a fuel stop follows every kind of basket, and says nothing about any.
    Where pairs that enough shoppers share run short, the most surprising others fill up.
    """
    _, where, count = np.unique(left.astype(np.int64) * (right.max(initial=0) + 1) + right,
                                return_index=True, return_counts=True)
    of_left, of_right = np.bincount(left)[left[where]], np.bincount(right)[right[where]]
    chance = of_left * (of_right - count) / np.maximum(len(left) - of_left, 1)
    together = count >= chance + CHANCE_DEVIATIONS * np.sqrt(chance)
    if not together.any():  # too few events to tell from chance: what there is must do
        together, chance = np.ones(len(count), bool), np.zeros(len(count))
    surplus = count - chance
    agreed, single = together & (count >= config.min_users), together & (count < config.min_users)
    missing = max(0, config.behaviour - int(agreed.sum()))
    filling = np.flatnonzero(single)[np.argsort(-surplus[single], kind="stable")[:missing]]
    kept = np.sort(np.r_[np.flatnonzero(agreed), filling])
    return where[kept], surplus[kept]


def _taxonomy(items: pl.DataFrame) -> pl.DataFrame:
    """phrase, item: each category level, and brand + last level, of every item (row number)."""
    levels = pl.col("category").str.split(CATEGORY_SEPARATOR)
    rows = items.select("category", "brand").with_row_index("item")
    named = pl.concat([
        rows.select("item", levels.alias("phrase")).explode("phrase"),
        rows.select("item", (pl.col("brand") + " " + levels.list.last()).alias("phrase")),
    ])
    return named.with_columns(pl.col("phrase").str.strip_chars()).filter(pl.col("phrase").str.len_chars() > 0)


def _named(named: pl.DataFrame, text_of_item: np.ndarray, most: int, kind: int,
           rng: np.random.Generator) -> _Part:
    """Pairs phrase → item text; each phrase as likely as the next, however many items it names."""
    phrases, phrase = np.unique(named["phrase"].to_numpy().astype(object), return_inverse=True)
    if not len(phrases) or not most:
        return _Part(kind, [], *[np.zeros(0, np.int64)] * 6)
    texts = int(text_of_item.max()) + 1
    known = np.unique(phrase.astype(np.int64) * texts + text_of_item[named["item"].to_numpy()])
    phrase, text = known // texts, known % texts
    chosen = np.sort(_weighted_choice(1.0 / np.bincount(phrase)[phrase], most, rng))
    none = np.full(len(chosen), NO_BASKET, np.int64)
    return _Part(kind, phrases.tolist(), phrase[chosen] + texts, text[chosen], none, none,
                 phrase + texts, text)


def _weighted_choice(weights: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` distinct positions, by weight (Efraimidis & Spirakis 2006: largest u^(1/w))."""
    keys = np.log(rng.random(len(weights))) / weights
    return np.argsort(-keys, kind="stable")[:most]


def _join(texts: list[str], parts: Iterable[_Part]) -> Pairs:
    """Number texts and phrases together, drop pairs of a text with itself, and collect what is related."""
    parts = list(parts)
    every = sorted(set(texts).union(*(part.phrases for part in parts)))
    row_of = {text: row for row, text in enumerate(every)}
    numbers = [np.array([row_of[text] for text in texts + part.phrases], np.int64) for part in parts]

    def numbered(name: str) -> np.ndarray:
        return np.concatenate([number[getattr(part, name)] for number, part in zip(numbers, parts,
                                                                                   strict=True)])

    anchor, positive = numbered("anchor"), numbered("positive")
    keep = anchor != positive
    left, right = numbered("known_anchor"), numbered("known_positive")
    diagonal = np.arange(len(every))
    edges = np.concatenate([left, right, diagonal]), np.concatenate([right, left, diagonal])
    related = sp.csr_array((np.ones(len(edges[0]), bool), edges), shape=(len(every), len(every)))

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])[keep]

    kind = np.concatenate([np.full(len(part.positive), part.kind, np.int8) for part in parts])[keep]
    return Pairs(every, anchor[keep].astype(np.int32), positive[keep].astype(np.int32), kind,
                 joined("anchor_basket"), joined("positive_basket"), related)
