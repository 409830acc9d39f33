"""`Bundle`: everything needed to answer, in one verified folder, and nothing else.

Every score is a sum of named parts, each float32 [N]: the ranker's, an adapter's as far as it is trusted with so much
history, the promotions', a query's. So an explanation is exact, and serving, evaluation and adaptation add up the same
logits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_core.adaptation import Adapter
from recsys_core.answering import BoundRules
from recsys_core.arguments import read_flag, read_ids, read_k, read_list
from recsys_core.metrics import top_rows
from recsys_core.retrieval import best_items
from recsys_core.schema import PAD_ITEM, PAD_SCORE
from recsys_core.serving.adapt import adapt_to_clicks, adapt_to_page, taken_rows
from recsys_core.serving.answers import Recommendation, Recommendations
from recsys_core.serving.click import click_odds
from recsys_core.serving.explain import Told, explain_query, explain_ranking, read_language
from recsys_core.serving.files import read_parts
from recsys_core.serving.history import join_histories
from recsys_core.serving.labelled import LabelledTasks
from recsys_core.serving.request import Event, Request, under_rules, understand
from recsys_core.serving.scores import add_offsets, exclude, history_scores, match
from recsys_core.wording import Words

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)

NO_HISTORY = "no history: ranked by what others take"
SCORES_AT_ONCE = 8_000_000  # floats of one batch chunk


class Bundle(LabelledTasks, Words):
    """A published model; thread-safe, read-only. Make one with `Bundle.load`."""

    @classmethod
    def load(cls, folder: str | Path, key: str | Path | None = None) -> Bundle:
        """Verify a bundle's files, then read them.

        A child process answers with what its parent loaded. It cannot load once its parent has used Polars: load first.

        Args:
            folder: the bundle.
            key: PEM file of the public key that must have signed it; None: the one that the variable RECSYS_TRUSTED_KEY
                names, and where it names none, an unsigned bundle will do.

        Raises:
            BundleError: no folder; missing, extra, changed, truncated or pickled files; another format; not signed with
                the key.
            AdapterError: an adapter made for another base.

        Examples:
            >>> Bundle.load(folder).manifest["lineage"]["shop"]
            'tiny'
        """
        return cls(read_parts(folder, key))

    def recommend(self, history: Sequence[Event] | None = None, k: int = 10, user_id: str | None = None,
                  user: Mapping[str, Any] | None = None, at: Any = None, segment: str | None = None,
                  candidates: Sequence[str] | None = None, filters: Mapping[str, Any] | None = None,
                  exclude_seen: bool = False, adapter: Adapter | None = None, context: Mapping[str, Any] | None = None,
                  shelf: str | None = None, rules: BoundRules | None = None, explain: bool | str = False) -> Recommendations:
        """Rank the catalogue, or one shelf of it, for a shopper.

        Ids are text or numbers: spaces around text do not count, integral floats are integers. Lists may be tuples,
        arrays or columns; a history and a support may be Polars or pandas frames.

        Args:
            history: oldest first; item ids, or dicts with item_id, event_type, timestamp; None: what the bundle knows of
                `user_id`, [] that nothing is known.
            k: the most items that are answered, ≥ 1.
            user_id: whose history and attributes are looked up, as far as the bundle knows them.
            user: attributes by name; they come before those looked up.
            at: the request's time (datetime or ISO text; as in a history, without a zone it is the shop's local time);
                None: now, ages counted from the newest event, shelves and promotions as on the newest event's day.
            segment: None is the base alone, a name that segment or family, "auto" the most specific that fits.
            candidates: ids of the only items that may be answered; None: all.
            filters: {column: value, list of values, or {"min": …, "max": …}}; a category also matches everything below it.
            exclude_seen: leave out the items of the history.
            adapter: one from `adapt`; takes the place of a segment.
            context: value of each name that the shop declares, such as {"store": "367"}: picks a family's member and what
                is promoted.
            shelf: only its items of that day; "new-arrivals" is in every bundle. All restrictions hold together.
            rules: business rules, from `bind_rules`.
            explain: also answer contributions and a sentence, in English or, for a code such as "de", in that language.

        Returns:
            at most k, best first. Unknown ids are ignored and named in `fallback`, which an empty list has, too.

        Raises:
            RequestError: an argument that cannot be read; a time, filter or k that makes no sense.
            AdapterError: an adapter made for another base.

        Examples:
            >>> [answer.item_id for answer in bundle.recommend(["k0"], k=2)]
            ['g0', 't0']
            >>> bundle.recommend(["k0"], segment="deli")[0].segment
            'deli'
        """
        k, seen, language = read_k(k), read_flag(exclude_seen, "exclude_seen"), read_language(explain)
        request = understand(self.parts, history, user_id=user_id, user=user, at=at, segment=segment,
                             candidates=candidates, filters=filters, adapter=adapter, context=context, shelf=shelf)
        request = under_rules(request, rules)
        notes = () if len(request.history.items) else (NO_HISTORY,)
        weighed = self.parts.ranker.weigh(join_histories([request.history]), request.now)
        scores = add_offsets(weighed.score()[0], request)
        rows, placed = self._best(scores, request, k, rules, seen)
        reasons = dict(zip(self.parts.ranker.part_names, weighed.explain(rows[None])[0].T, strict=True))
        reasons |= {name: part[rows] for name, part in request.offsets.items()}
        told = explain_ranking(self.parts, request, weighed, rows, placed, language) if language else None
        return self._answers(rows, scores[rows], reasons, request, notes, told)

    def recommend_batch(self, histories: Sequence[Sequence[Event] | None], k: int = 10, segment: str | None = None,
                        exclude_seen: bool = False, context: Mapping[str, Any] | None = None, shelf: str | None = None,
                        rules: BoundRules | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The same ranking for many shoppers, all in one context and before one shelf; arguments as `recommend`.

        Returns:
            ids [n, k] text and scores float32 [n, k], in the order of the lists; short rows end in "" and −inf; a k beyond
            the catalogue is the catalogue's size.

        Examples:
            >>> ids, scores = bundle.recommend_batch([["k0"], []], k=2)
            >>> ids.tolist()
            [['g0', 't0'], ['t0', 'k0']]
        """
        k, histories = min(read_k(k), len(self.catalogue)), read_list(histories, "histories", "histories")
        ids = np.full((len(histories), k), PAD_ITEM, object)
        scores = np.full((len(histories), k), PAD_SCORE, np.float32)
        names = np.array(self.catalogue.item_ids, object)
        for start, block in self.score_batches(histories, segment, exclude_seen, context, shelf, rules):
            for row, values in enumerate(block, start):
                top, _ = self._chosen(values, k, rules)
                ids[row, :len(top)], scores[row, :len(top)] = names[top], values[top]
        if k and (empty := int((ids[:, 0] == PAD_ITEM).sum())):
            log.warning("%d of %d rows have nothing to answer with; recommend says why", empty, len(ids))
        return ids.astype(str), scores

    def score_batches(self, histories: Sequence[Sequence[Event] | None], segment: str | None = None,
                      exclude_seen: bool = False, context: Mapping[str, Any] | None = None, shelf: str | None = None,
                      rules: BoundRules | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, scores float32 [rows, N]) in chunks; items that may not be answered score −inf.

        Of `rules` only bans and boosts can be seen in scores; musts and caps choose among them.

        Examples:
            >>> [(first, scores.shape) for first, scores in bundle.score_batches([["k0"], []])]
            [(0, (2, 20))]
        """
        histories, seen = read_list(histories, "histories", "histories"), read_flag(exclude_seen, "exclude_seen")
        size = max(1, SCORES_AT_ONCE // max(len(self.catalogue), 1))
        for start in range(0, len(histories), size):
            requests = [under_rules(understand(self.parts, h, segment=segment, context=context, shelf=shelf), rules)
                        for h in histories[start:start + size]]
            block = history_scores(self.parts, requests)
            for values, request in zip(block, requests, strict=True):
                exclude(values, request, seen)
            yield start, block

    def search(self, query: str, k: int = 10, history: Sequence[Event] | None = None,
               user_id: str | None = None, at: Any = None, segment: str | None = None,
               candidates: Sequence[str] | None = None, filters: Mapping[str, Any] | None = None,
               adapter: Adapter | None = None, context: Mapping[str, Any] | None = None, shelf: str | None = None,
               rules: BoundRules | None = None, explain: bool | str = False) -> Recommendations:
        """Rank the catalogue for a query, and for the shopper where a history is given; arguments as `recommend`.

        Raises:
            RequestError: an empty query, or one of more than 512 characters.

        Examples:
            >>> [answer.item_id for answer in bundle.search("glass teapot", k=2)]
            ['k2', 'k1']
        """
        k, language = read_k(k), read_language(explain)
        request = understand(self.parts, history, user_id=user_id, at=at, segment=segment,
                             candidates=candidates, filters=filters, adapter=adapter, context=context, shelf=shelf)
        request = under_rules(request, rules)
        found, placed = match(self.parts, query, request, k if rules is None else None), dict[int, str]()
        if rules is None:
            rows, scores = best_items(found.said.scores, found.said.documents, found.standing, self.parts.items_of, k,
                                      self.parts.ties, request.allowed)
        else:  # a rule may ask for an item that no shortlist holds
            every = found.items(self.parts.documents)
            rows, placed = self._best(every, request, k, rules)
            scores = every[rows]
        reasons = found.reasons(rows, self.parts.documents.of_item[rows])
        told = explain_query(self.parts, request, query, reasons, rows, placed, language) if language else None
        return self._answers(rows, scores, reasons, request, (found.said.note,) if found.said.note else (), told)

    def click_probability(self, items: Sequence[str], history: Sequence[Event] | None = None,
                          query: str | None = None, user_id: str | None = None, at: Any = None,
                          segment: str | None = None, adapter: Adapter | None = None,
                          context: Mapping[str, Any] | None = None) -> list[float]:
        """How likely each item is taken.

        With a click model and no query: when shown, given the shopper's history; a segment or an
        adapter shifts the log-odds. Otherwise it is the item's share in the softmax over the whole
        catalogue: how likely it is the next item. An unknown item has no counts, or an average share.

        Returns:
            float [len(items)], in [0, 1].

        Examples:
            >>> [round(share, 2) for share in bundle.click_probability(["g0", "k1"], history=["k0"])]
            [0.72, 0.0]
        """
        ids = [str(item) for item in read_ids(items, "items")]
        request = understand(self.parts, history, user_id=user_id, at=at, segment=segment, adapter=adapter, context=context)
        rows = np.array([self.catalogue.row_of.get(item, -1) for item in ids], np.int64)
        if self.parts.click is not None and query is None:
            return click_odds(self.parts.click, self.parts, request, ids, rows).tolist()
        if query is None:
            scores = history_scores(self.parts, [request])[0]
        else:
            found = match(self.parts, query, request)
            scores = found.items(self.parts.documents)
        shares = np.exp((scores - scores.max()).astype(np.float64))
        shares /= shares.sum()
        return np.where(rows >= 0, shares[rows], 1.0 / len(shares)).tolist()

    def adapt(self, support: pl.DataFrame | Sequence[Mapping[str, Any]], page: Sequence[str] | None = None) -> Adapter:
        """Adapt in memory to a handful of labelled events: a shopper's first clicks, or the first sales of a page.

        Without `page` it tilts groups and texts; single items are the history's part, so give `recommend` the clicks as
        history too. With it, it orders the page's items, which the base need not know yet.

        Args:
            support: rows with item_id and label (a number, positive: taken; rows may leave it out: taken).
            page: ids of a new page's items; taken items beside it only tell what is similar.

        Returns:
            an adapter for `recommend`, `search` and `click_probability`; one that changes nothing
            where no known item has a positive label (for a page: too few, see `adaptation.page`).

        Raises:
            RequestError: a row without item_id, or with a label that is no number; a page that is no list.

        Examples:
            >>> adapter = bundle.adapt([{"item_id": item} for item in ("d0", "d1", "d2", "d3", "d4", "d0", "d1", "d2")])
            >>> max(adapter.groups, key=adapter.groups.get)
            'category_1|Deli'
        """
        taken = taken_rows(self.parts, support)
        if page is not None:
            return adapt_to_page(self.parts, page, taken)
        return adapt_to_clicks(self.parts, taken)

    def _best(self, scores: np.ndarray, request: Request, k: int, rules: BoundRules | None, seen: bool = False
              ) -> tuple[np.ndarray, dict[int, str]]:
        """Rows of the answer, and which rule placed which; marks what may not be answered with −inf in `scores`."""
        exclude(scores, request, seen)
        return self._chosen(scores, k, rules)

    def _chosen(self, scores: np.ndarray, k: int, rules: BoundRules | None) -> tuple[np.ndarray, dict[int, str]]:
        if rules is None:
            return top_rows(scores, k, self.parts.ties), {}
        return rules.choose(lambda most: top_rows(scores, most, self.parts.ties), scores, k)

    def _answers(self, rows: np.ndarray, scores: np.ndarray, reasons: dict[str, np.ndarray], request: Request,
                 notes: tuple[str, ...], told: Sequence[Told] | None) -> Recommendations:
        if not len(rows) and (request.allowed is None or request.allowed.any()):
            notes = (*notes, "every item that fits is in the history")
        fallback = "; ".join(request.notes + notes) or None
        if not len(rows):
            log.warning("nothing to answer with: %s", fallback)
        names, by_part = self.catalogue.item_ids, list(reasons)
        why: Sequence[tuple[Any, ...]] = told or [()] * len(rows)
        columns = zip(*(part.tolist() for part in reasons.values()), strict=True) if reasons else ((),) * len(rows)
        return Recommendations([
            Recommendation(names[row], score, {name: value for name, value in zip(by_part, values, strict=True) if value},
                           request.segment, fallback, *explained)
            for row, score, values, explained in zip(rows.tolist(), scores.tolist(), columns, why, strict=True)], fallback)
