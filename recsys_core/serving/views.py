"""What a bundle tells besides lists: items like one item, facets, completions, a shopper's profile, rules looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from recsys_core.answering import (
    RELATIONS,
    BoundRules,
    Profile,
    Relation,
    Rules,
    bind_rules,
    find_similar,
    make_profile,
    read_rules,
)
from recsys_core.arguments import read_id, read_k, read_list, show
from recsys_core.errors import RequestError
from recsys_core.interactions import Catalogue
from recsys_core.retrieval import Attribute, Facet, clean_query
from recsys_core.serving.answers import Recommendation, Recommendations
from recsys_core.serving.files import BundleParts
from recsys_core.serving.history import parse_history, to_seconds
from recsys_core.serving.request import Event, read_history, read_user_id, understand
from recsys_core.serving.scores import found_rows, match
from recsys_core.serving.upserts import with_items


class Views:
    """The part of `Bundle` that ranks for nobody."""

    def __init__(self, parts: BundleParts) -> None:
        self.parts = parts

    @property
    def manifest(self) -> dict[str, Any]:
        """What the bundle says of itself: versions, lineage, windows, metrics, licences, files."""
        return self.parts.manifest

    @property
    def catalogue(self) -> Catalogue:
        return self.parts.catalogue

    @property
    def popularity(self) -> np.ndarray:
        """float32 [N]: how often each item was taken in training."""
        return self.parts.popularity

    @property
    def folder(self) -> Path:
        return self.parts.folder

    @property
    def segments(self) -> dict[str, dict[str, Any]]:
        """Every segment the shop declares, with its decision and the reason."""
        return {name: route.model_dump(mode="json") for name, route in self.parts.router.routes.items()}

    def with_items(self, rows: Sequence[Mapping[str, Any]]) -> Self:
        """A bundle that knows new and changed items at once; this one and its folder stay as they are.

        A new item was never taken: it is found by search and all filters, and recommended by its text, brand and category.
        A changed item keeps what was counted of it. A row is the whole item: columns it leaves out are empty.

        Args:
            rows: item_id and any columns of the items table but `text`, which is made of them.

        Raises:
            RequestError: no list of rows; a row without item_id, with a strange column or a value of another type.

        Examples:
            >>> more = bundle.with_items([{"item_id": "k9", "title": "Ceramic sieve", "price": 9.5}])
            >>> more.search("sieve", k=1)[0].item_id, len(more.catalogue), len(bundle.catalogue)
            ('k9', 21, 20)
        """
        return type(self)(with_items(self.parts, rows))

    def similar(self, item_id: str, k: int = 10, relation: Relation | None = None) -> Recommendations:
        """Items like one item: what follows it, what its shoppers take too, what its text, brand and category say.

        Items that share a text are one answer, the item's own text is none. Scores are comparable within one list.

        Args:
            item_id: the item.
            k: the most items that are answered, ≥ 1.
            relation: only items that are this to it: duplicate, variant, substitute or complement; also those of its own text.

        Returns:
            at most k, best first, with reasons that add up and the relation; empty, with `fallback`, for an unknown item.

        Raises:
            RequestError: an id that is none; a k or a relation that makes no sense.

        Examples:
            >>> [answer.item_id for answer in bundle.similar("k0", k=2)]
            ['g0', 't0']
            >>> [answer.item_id for answer in bundle.similar("k1", relation="duplicate")]
            ['k2']
        """
        k, item = read_k(k), read_id(item_id, "item_id")
        if relation is not None and relation not in RELATIONS:
            raise RequestError("relation", f"{show(relation)} is none", f"use one of {', '.join(RELATIONS)}")
        row = self.parts.catalogue.row_of.get(item or "")
        if row is None:
            return Recommendations([], f"item {str(item)[:40]!r} is unknown")
        found = find_similar(self.parts.ranker, self.parts.columns.items, self.parts.ties, row, k, relation)
        ids = self.parts.catalogue.item_ids
        none = None if found else f"no item is {f'a {relation} of' if relation else 'like'} {item!r}"
        return Recommendations([Recommendation(ids[one.row], one.score, one.reasons, None, None, relation=one.relation)
                                for one in found], none)

    def attributes(self, item_id: str) -> dict[str, Attribute]:
        """What an item's columns of extracted attributes say, and whether the shop gave it or a task read it off the text.

        Filters, facets and rules know these columns like the shop's own; where the shop gives a value it stands.

        Args:
            item_id: the item; an unknown one has none.

        Raises:
            RequestError: an id that is none.

        Examples:
            >>> {name: (one["value"], one["source"]) for name, one in bundle.attributes("k0").items()}
            {'material': ('Steel', 'attributes')}
        """
        row = self.parts.catalogue.row_of.get(read_id(item_id, "item_id") or "")
        return {} if row is None else self.parts.attributes.told(self.parts.catalogue.items, row)

    def suggest(self, prefix: str, k: int = 8) -> list[str]:
        """Titles, categories and brands that begin with a prefix, or have a word that does; the most taken first.

        Args:
            prefix: what a shopper has typed so far; one letter of it may be wrong.
            k: the most phrases that are answered, ≥ 1.

        Raises:
            RequestError: no text, or a very long one; a k that makes no sense.

        Examples:
            >>> bundle.suggest("tea"), bundle.suggest("woodn t")
            (['Glass teapot', 'teapot'], ['Wooden train'])
        """
        return self.parts.phrases.complete(clean_query(prefix), read_k(k))

    def facets(self, query: str, columns: Sequence[str], candidates: Sequence[Any] | None = None,
               filters: Mapping[str, Any] | None = None, at: Any = None, shelf: str | None = None) -> dict[str, list[Facet]]:
        """How many of the items that a query finds have which value: what narrows a search, to be passed on as its filters.

        Found are the items whose words say at least half as much as the best one's; without a known word, the 200 nearest.

        Args:
            query: as that of `search`, like what follows `columns`.
            columns: of the items; numbers are told in ranges.

        Raises:
            RequestError: a column that the items do not have; else as `search`.

        Examples:
            >>> bundle.facets("glass teapot", ["department"])
            {'department': [{'value': 'Kitchen', 'count': 2}]}
        """
        request = understand(self.parts, [], at=at, candidates=candidates, filters=filters, shelf=shelf)
        names = [str(name) for name in read_list(columns, "columns", "names of columns", ordered=False)]
        rows = found_rows(self.parts, match(self.parts, query, request), request)
        return {name: self.parts.columns.facet(name, rows) for name in names}

    def known_history(self, user_id: str) -> list[dict[str, Any]]:
        """The events the bundle knows of a shopper, oldest first, as `recommend` reads them; none where it knows nobody.

        Args:
            user_id: the shop's id.

        Returns:
            dicts of item_id, event_type and, where the shop has times, timestamp (seconds since the epoch).

        Raises:
            RequestError: no id.

        Examples:
            >>> [event["item_id"] for event in bundle.known_history("u00")]
            ['k0', 'g0', 't0', 'k0', 'k0', 't0']
        """
        name = self.parts.name_of(read_user_id(user_id))
        return [] if name is None or self.parts.histories is None else self.parts.histories.events(name, self.catalogue.item_ids)

    def profile(self, history: Sequence[Event] | None = None, user_id: str | None = None) -> Profile:
        """A shopper in a few figures: categories, brands, prices, cadence, repeats; no event and no id is in it.

        Args:
            history: as that of `recommend`.
            user_id: whose known history is summed up where none is given.

        Raises:
            RequestError: an argument that cannot be read.

        Examples:
            >>> bundle.profile(["k0", "k0", "d1"])["categories"]
            [{'value': 'Kitchen', 'share': 0.6666666666666666}, {'value': 'Deli', 'share': 0.3333333333333333}]
        """
        parts = self.parts
        events = self.known_history(user_id) if history is None and user_id is not None else read_history(history)
        past = parse_history(events, parts.catalogue.row_of, None, parts.manifest["default_event_type"], parts.router.zone)
        timed = past.first_days_ago is not None
        newest = max(to_seconds(event["timestamp"], parts.router.zone) for event in events) if timed else None
        return make_profile(parts.catalogue, parts.prices, past.items, past.steps_ago, past.days_ago if timed else None,
                            None if newest is None else parts.router.local_day(newest))

    def bind_rules(self, rules: Rules | str | Path) -> BoundRules:
        """Look up business rules in this catalogue, once, for `recommend` and `search`.

        Args:
            rules: them, or the path of a YAML file that holds them.

        Raises:
            RequestError: a file that cannot be read; a rule over a column that the items do not have.

        Examples:
            >>> rules = bundle.bind_rules(Rules(must_not=[{"name": "no-toys", "filters": {"category": "Toys"}}]))
            >>> [answer.item_id for answer in bundle.recommend(["k0"], k=2, rules=rules)]
            ['g0', 'k0']
        """
        if isinstance(rules, str | Path):
            rules = read_rules(Path(rules))
        if not isinstance(rules, Rules):
            raise RequestError("rules", f"{show(rules)} are none", "pass Rules or the path of a rules file")
        return bind_rules(rules, self.parts.columns.matching, self.parts.columns.codes, self.parts.catalogue.row_of)
