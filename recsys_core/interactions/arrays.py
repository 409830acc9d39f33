"""The model's view of a shop: integers, arrays and ragged histories instead of tables.

Shapes: N items, M distinct item texts, d vector dimensions, E events, n queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from recsys_core.errors import DataError
from recsys_core.schema import CATEGORY_SEPARATOR, POSITIVE_EVENTS

MAX_HISTORY = 1000  # newest events of a shopper that are looked at, in training, judging and serving alike
SECONDS_PER_DAY = 86_400.0
MAX_CATEGORY_LEVELS = 3  # deeper levels are as good as single items


@dataclass(frozen=True)
class Catalogue:
    """The items a model can rank, with one text vector per *distinct* text.

    Args:
        items: the clean items table, N rows sorted by item_id.
        text_of_item: int32 [N], the row of `vectors` that holds the item's text.
        vectors: float32 [M, d], L2-normalised.
    """

    items: pl.DataFrame
    text_of_item: np.ndarray
    vectors: np.ndarray

    def __len__(self) -> int:
        return self.items.height

    @cached_property
    def item_ids(self) -> list[str]:
        return self.items["item_id"].to_list()

    @cached_property
    def row_of(self) -> dict[str, int]:
        return {item: row for row, item in enumerate(self.item_ids)}

    @cached_property
    def item_vectors(self) -> np.ndarray:
        """float32 [N, d]: the vector of every item."""
        return self.vectors[self.text_of_item]

    @cached_property
    def texts(self) -> list[str]:
        """The M distinct texts, in the order of `vectors`."""
        texts = [""] * len(self.vectors)
        for text, row in zip(self.items["text"].to_list(), self.text_of_item.tolist(), strict=True):
            texts[row] = text
        return texts

    @cached_property
    def groups(self) -> list[tuple[str, np.ndarray, list[str]]]:
        """What items have in common: each level of the category path (its whole prefix), and the brand.

        Per level (name, codes int32 [N] with −1 where the item has none, the sorted values), coarse
        levels first; levels with fewer than two values are left out.
        """
        # Plain Python over the distinct values: a forked worker that learns of new items makes the groups again.
        paths = {path: path.split(CATEGORY_SEPARATOR) for path in set(self.items["category"].to_list()) if path is not None}
        deepest = min(max(map(len, paths.values()), default=0), MAX_CATEGORY_LEVELS)
        levels: list[tuple[str, str, dict[str, str]]] = [
            (f"category_{level}", "category", {path: CATEGORY_SEPARATOR.join(parts[:level])
                                               for path, parts in paths.items() if len(parts) >= level})
            for level in range(1, deepest + 1)]
        brands = {brand: brand for brand in self.items["brand"].to_list() if brand is not None}
        found = []
        for name, column, value_of in [*levels, ("brand", "brand", brands)]:
            values = sorted(set(value_of.values()))
            if len(values) > 1:
                code_of = {value: code for code, value in enumerate(values)}
                known = {text: code_of[value] for text, value in value_of.items()}
                codes = [known.get(text, -1) for text in self.items[column].to_list()]
                found.append((name, np.array(codes, np.int32), values))
        return found

    @cached_property
    def group_codes(self) -> dict[str, tuple[int, int]]:
        """"<level>|<value>" → (position in `groups`, the value's code)."""
        return {f"{name}|{value}": (level, code) for level, (name, _, values) in enumerate(self.groups)
                for code, value in enumerate(values)}


@dataclass(frozen=True)
class Interactions:
    """Positive events, sorted by (user, timestamp, item); all arrays have length E.

    Args:
        user: int32, row of `user_ids`.
        item: int32, row of the catalogue.
        timestamp: int64, seconds since the epoch, UTC.
        event_type: int8, index into `schema.POSITIVE_EVENTS`.
        row: int64, the row of the interactions table it came from.
        user_ids: every user's id, sorted.
    """

    user: np.ndarray
    item: np.ndarray
    timestamp: np.ndarray
    event_type: np.ndarray
    row: np.ndarray
    user_ids: list[str]

    def __len__(self) -> int:
        return len(self.user)

    def where(self, mask: np.ndarray) -> Interactions:
        """The events selected by a boolean mask [E]; user numbering is kept."""
        return Interactions(self.user[mask], self.item[mask], self.timestamp[mask],
                            self.event_type[mask], self.row[mask], self.user_ids)

    def before(self, cutoff: int) -> Interactions:
        """The events strictly earlier than `cutoff` (seconds since the epoch)."""
        return self.where(self.timestamp < cutoff)


@dataclass(frozen=True)
class Histories:
    """n ragged histories, oldest event first.

    Args:
        indptr: int64 [n+1].
        items: int32 [nnz], catalogue rows.
        steps_ago: float32 [nnz], 0 for the newest step; a *step* is all events of one user that share a timestamp (a
            basket), so a basket's items have no order among themselves.
        days_ago: float32 [nnz], days between the event and the query (0 where unknown).
        event_type: int8 [nnz], index into `schema.POSITIVE_EVENTS`.
    """

    indptr: np.ndarray
    items: np.ndarray
    steps_ago: np.ndarray
    days_ago: np.ndarray
    event_type: np.ndarray

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, rows: slice) -> Histories:
        """The histories of a contiguous slice of rows."""
        start, stop, _ = rows.indices(len(self))
        low, high = self.indptr[start], self.indptr[stop]
        return Histories(self.indptr[start:stop + 1] - low, self.items[low:high],
                         self.steps_ago[low:high], self.days_ago[low:high],
                         self.event_type[low:high])


@dataclass(frozen=True)
class Queries:
    """n ranking questions: what did this user take at this step, given everything before it?

    Args:
        user: int32 [n].
        timestamp: int64 [n].
        histories: n histories, strictly earlier.
        target_indptr: int64 [n+1].
        targets: int32 [nnz], distinct catalogue rows per query.
    """

    user: np.ndarray
    timestamp: np.ndarray
    histories: Histories
    target_indptr: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.user)


def make_interactions(table: pl.DataFrame, catalogue: Catalogue) -> Interactions:
    """Number the rows of an `interactions` table; rows of items outside the catalogue are left out."""
    known = table.with_row_index("row").join(
        pl.DataFrame({"item_id": catalogue.item_ids}).with_row_index("item"), on="item_id", how="inner")
    users = known["user_id"].unique().sort()
    known = known.join(pl.DataFrame({"user_id": users}).with_row_index("user"), on="user_id")
    types = {name: code for code, name in enumerate(POSITIVE_EVENTS)}
    known = known.with_columns(
        pl.col("timestamp").dt.epoch("s"),
        pl.col("event_type").replace_strict(types, return_dtype=pl.Int8),
    ).sort("user", "timestamp", "item", "row")
    return Interactions(
        known["user"].to_numpy().astype(np.int32), known["item"].to_numpy().astype(np.int32),
        known["timestamp"].to_numpy().astype(np.int64), known["event_type"].to_numpy(),
        known["row"].to_numpy().astype(np.int64), users.to_list())


def make_queries(interactions: Interactions, start: int, end: int, *, target: np.ndarray | None = None,
                 users: np.ndarray | None = None, max_queries: int | None = None,
                 max_history: int = MAX_HISTORY, min_history: int = 0,
                 rng: np.random.Generator | None = None) -> Queries:
    """Turn the steps of [start, end) into ranking questions.

    Args:
        interactions: every event, histories included; only events before a step enter its history.
        start: seconds since the epoch; steps from here on are asked.
        end: seconds since the epoch; steps before it are asked.
        target: bool [E]; where given, a step's targets are only its events with True, and steps without any are not asked
            (a segment's own events).
        users: bool [number of users]; where given, only these users' steps are asked.
        max_queries: a uniform sample of at most this many steps (needs `rng`).
        max_history: the newest events kept per history.
        min_history: shorter ones are not asked.
        rng: draws the sample.

    Raises:
        DataError: if `max_queries` is given without `rng`.
    """
    if max_queries is not None and rng is None:
        raise DataError("ranking queries", "max_queries without a random generator", "pass rng")
    wanted = (interactions.timestamp >= start) & (interactions.timestamp < end)
    if target is not None:
        wanted &= target
    if users is not None:
        wanted &= users[interactions.user]
    new_user = np.r_[True, interactions.user[1:] != interactions.user[:-1]]
    new_step = new_user | np.r_[True, interactions.timestamp[1:] != interactions.timestamp[:-1]]
    step_of_event = np.cumsum(new_step) - 1
    step_start = np.flatnonzero(new_step)
    user_start = np.maximum.accumulate(np.where(new_user, np.arange(len(interactions)), 0))
    asked = np.unique(step_of_event[wanted])
    asked = asked[step_start[asked] - user_start[step_start[asked]] >= min_history]
    if max_queries is not None and rng is not None and len(asked) > max_queries:
        asked = np.sort(rng.choice(asked, max_queries, replace=False))
    at = step_start[asked]
    low = np.maximum(user_start[at], at - max_history)
    lengths = at - low
    indptr = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    positions = np.repeat(low - indptr[:-1], lengths) + np.arange(indptr[-1])
    now = np.repeat(interactions.timestamp[at], lengths)
    histories = Histories(
        indptr, interactions.item[positions],
        (np.repeat(asked, lengths) - step_of_event[positions] - 1).astype(np.float32),
        ((now - interactions.timestamp[positions]) / SECONDS_PER_DAY).astype(np.float32),
        interactions.event_type[positions])
    rows = np.flatnonzero(wanted & np.isin(step_of_event, asked))
    pairs = np.unique(np.stack([np.searchsorted(asked, step_of_event[rows]), interactions.item[rows]]), axis=1)
    target_indptr = np.searchsorted(pairs[0], np.arange(len(asked) + 1)).astype(np.int64)
    return Queries(interactions.user[at], interactions.timestamp[at], histories, target_indptr,
                   pairs[1].astype(np.int32))


def take_queries(queries: Queries, rows: np.ndarray) -> Queries:
    """The questions at `rows`, int [m], in that order."""
    past = queries.histories
    (indptr, at), (target_indptr, wanted) = (_gather(p, rows) for p in (past.indptr, queries.target_indptr))
    histories = Histories(indptr, past.items[at], past.steps_ago[at], past.days_ago[at], past.event_type[at])
    return Queries(queries.user[rows], queries.timestamp[rows], histories, target_indptr, queries.targets[wanted])


def _gather(indptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of some rows of a ragged array: their new indptr, and where their entries are."""
    lengths = np.diff(indptr)[rows]
    gathered = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    return gathered, np.repeat(indptr[:-1][rows] - gathered[:-1], lengths) + np.arange(gathered[-1])
