"""Counts of some consecutive drops: what happened to items, what came of impressions, and what a drop adds to the totals.

Ids are numbers here, in the order of the ids, and counts are dense tables over numbers and days: a night's worth of grouping by
strings would take several times as long. All sums are of integers, so they do not depend on any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from recsys_core.schema import CART, CLICK, EVENT_TYPES, IMPRESSION, POSITIVE_EVENTS, PURCHASE, VIEW

MONEY = 10_000  # amounts are summed as ten-thousandths: float sums depend on the order of rows
COUNTED = {"impressions": IMPRESSION, "views": VIEW, "clicks": CLICK, "carts": CART, "purchases": PURCHASE}
KINDS = pl.Enum(EVENT_TYPES)


class Numbered:
    """Events of consecutive drops, with numbers for ids.

    Args:
        frame: `_file`, user_id, item_id, session_id, timestamp, event_type, day, price and quantity; by `_file`, user, moment.
        before: the same of the drop before, if its sessions may go on in these; else no rows.
        after: the same of the drop after, if sessions may go on into it; else no rows.
        outcome: the event type that counts as success of an impression.
    """

    def __init__(self, frame: pl.DataFrame, before: pl.DataFrame, after: pl.DataFrame, outcome: str) -> None:
        frames = (frame, before, after)
        self.frame = frame
        self.users, self.items = (_names([one[key] for one in frames]) for key in ("user_id", "item_id"))
        self.days = pl.concat([one["day"].unique() for one in frames]).unique().sort()
        self.user, self.item, self.day = self._numbers(frame)
        file = frame["_file"].to_numpy().astype(np.int64)
        self.first, self.files = (int(file[0]), int(file[-1] - file[0]) + 1) if len(file) else (0, 1)
        self.file = file - self.first
        kind = frame["event_type"].cast(KINDS).to_physical().to_numpy()
        self.of_kind = {name: kind == code for code, name in enumerate(EVENT_TYPES)}
        self.positive = np.isin(kind, [EVENT_TYPES.index(name) for name in POSITIVE_EVENTS])
        self.shown, self.success = self.of_kind[IMPRESSION], self.of_kind[outcome]
        self.label, self.conversions = self._conversions(before.filter(event_type=IMPRESSION), after.filter(event_type=outcome))

    def _numbers(self, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """int64 [rows]: shopper, item (−1: none), and position in `days`."""
        runs = frame["user_id"].rle().struct.unnest()  # events of a shopper lie together
        user = np.repeat(_code(runs["value"], self.users), runs["len"].to_numpy())
        return user, _code(frame["item_id"], self.items), np.searchsorted(self.days.to_physical(), frame["day"].to_physical())

    def pair(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """int64: a shopper and an item as one number."""
        return user * len(self.items.categories) + item

    def _conversions(self, before: pl.DataFrame, after: pl.DataFrame) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """The first outcome at or after each impression, of its shopper, item and session, on the same local day or the next.

        Returns:
            bool [impressions of these drops]: whether there is one; and file, item and day per conversion that happened in these
            drops, of an impression of theirs or of the drop before.
        """
        outcomes = pl.concat([self._keyed(self.frame.filter(pl.Series(self.success))), self._keyed(after)])
        shown = pl.concat([self._keyed(self.frame.filter(pl.Series(self.shown))), self._keyed(before)]).with_row_index("_n")
        led = shown.filter(pl.col("pair").is_in(outcomes["pair"].unique().implode())).join(
            outcomes, on=["pair", "session_id"]).filter(
            (pl.col("timestamp_right") >= pl.col("timestamp")) & (pl.col("day_right") <= pl.col("day") + pl.duration(days=1)))
        first = led.sort("_n", "timestamp_right").unique("_n", keep="first", maintain_order=True)
        label = np.zeros(int(self.shown.sum()), bool)
        label[first["_n"].filter(first["_n"] < len(label)).to_numpy()] = True
        inside = first.filter(pl.col("_file_right").is_between(self.first, self.first + self.files - 1))
        return label, (inside["_file_right"].to_numpy().astype(np.int64) - self.first, inside["item"].to_numpy(),
                       np.searchsorted(self.days.to_physical(), inside["day_right"].to_physical()))

    def _keyed(self, rows: pl.DataFrame) -> pl.DataFrame:
        user, item, _ = self._numbers(rows)
        return rows.select("_file", "session_id", "timestamp", "day", pair=pl.Series(self.pair(user, item), dtype=pl.Int64),
                           item=pl.Series(item, dtype=pl.Int64))


def count_items(events: Numbered) -> pl.DataFrame:
    """One row per item and local day on which anything happened to it.

    Returns:
        `schema.ITEM_FEATURES` and _file, by _file, item_id and day.
    """
    size, known = len(events.items.categories) * len(events.days), events.item >= 0
    key = events.item * len(events.days) + events.day
    file_of_day = np.zeros(len(events.days), np.int64)
    file_of_day[events.day] = events.file
    rows = np.flatnonzero(np.bincount(key[known], minlength=size))
    rows = rows[np.argsort(file_of_day[rows % len(events.days)], kind="stable")]
    counts = {name: np.bincount(key[events.of_kind[kind] & known], minlength=size)[rows] for name, kind in COUNTED.items()}
    taken = events.positive & known
    distinct = np.unique(key[taken] * max(1, len(events.users.categories)) + events.user[taken])
    users = np.bincount(distinct // max(1, len(events.users.categories)), minlength=size)[rows]
    bought = events.of_kind[PURCHASE] & known
    pieces = pl.col("quantity").fill_null(1.0)
    sold = events.frame.lazy().filter(pl.Series(bought)).select(
        pl.Series("key", key[bought]), _as_money(pieces).alias("quantity"), _as_money(pl.col("price") * pieces).alias("revenue")
    ).group_by("key").sum()
    item, day = np.divmod(rows, max(1, len(events.days)))
    table = pl.DataFrame({"key": rows, "_file": file_of_day[day] + events.first, "item_id": _ids(item, events.items),
                          "day": events.days.gather(day), **counts, "users": users})
    return table.lazy().join(sold, on="key", how="left", maintain_order="left").with_columns(
        (pl.col(name).cast(pl.Float64) / MONEY).fill_null(0.0) for name in ("quantity", "revenue")).collect(engine="in-memory")


def _as_money(amount: pl.Expr) -> pl.Expr:
    return (amount * MONEY).round().cast(pl.Int128)


def count_totals(events: Numbered) -> pl.DataFrame:
    """What each drop adds to what is known of every shopper, of every item, and of shoppers with items.

    Merging is sums and the earliest day, hence associative: totals of any drops merge into the totals of all of them.

    Returns:
        `totals.TOTALS` and _file, by _file, user_id and item_id, nulls first.
    """
    another = (np.diff(events.user, prepend=-1) != 0) | (np.diff(events.file, prepend=-1) != 0)
    starts = np.flatnonzero(another)  # events of a shopper lie together within a drop
    users = pl.DataFrame({"_file": events.file[starts], "user": events.user[starts],
                          "outcomes": np.add.reduceat(events.success.astype(np.int64), starts),
                          "positives": np.add.reduceat(events.positive.astype(np.int64), starts),
                          "first_day": events.days.gather(np.minimum.reduceat(events.day, starts))})
    width = len(events.items.categories)
    known, key = events.item >= 0, events.file * width + events.item
    file, item, _ = events.conversions
    counts = {name: np.bincount(keys, minlength=events.files * width) for name, keys in {
        "any": key[known], "outcomes": key[known & events.success], "impressions": key[known & events.shown],
        "conversions": file * width + item}.items()}
    rows = np.flatnonzero(counts.pop("any") + counts["conversions"])
    items = pl.DataFrame({"_file": rows // max(1, width), "item": rows % max(1, width),
                          **{name: values[rows] for name, values in counts.items()}})
    both = known & events.success
    pairs = pl.DataFrame({"_file": events.file[both], "user": events.user[both], "item": events.item[both]}).group_by(
        "_file", "user", "item").agg(pl.len().cast(pl.Int64).alias("outcomes"))
    table = pl.concat([users, items, pairs], how="diagonal").sort("_file", "user", "item", nulls_last=False)
    return table.select(
        pl.col("_file") + events.first, _ids(table["user"], events.users).alias("user_id"),
        _ids(table["item"], events.items).alias("item_id"),
        *(pl.col(name).fill_null(0) for name in ("outcomes", "impressions", "conversions", "positives")), "first_day")


def count_known(events: Numbered, known: pl.DataFrame) -> dict[str, np.ndarray]:
    """What was known when the day of each impression began.

    Args:
        events: of these drops.
        known: totals of everything before them, of shoppers and items that occur in them.

    Returns:
        int64 [impressions] by column of `schema.EXPOSURES`.
    """
    user, item = _code(known["user_id"], events.users), _code(known["item_id"], events.items)
    of_item, of_user, of_pair = user < 0, item < 0, (user >= 0) & (item >= 0)
    own, (_, converted, converted_on) = events.success & (events.item >= 0), events.conversions
    pair, known_pair = events.pair(events.user, events.item), events.pair(user, item)[of_pair]
    pairs = np.unique(np.r_[pair[own], known_pair])  # every other pair has had no outcome
    place = np.searchsorted(pairs, pair[events.shown])
    found = place < len(pairs)
    found[found] = pairs[place[found]] == pair[events.shown][found]
    before = {name: known[name].to_numpy() for name in ("outcomes", "impressions", "conversions")}
    n_items, n_users, days = len(events.items.categories), len(events.users.categories), len(events.days)
    shown, day = events.shown, events.day[events.shown]
    known_items = {name: np.bincount(item[of_item], values[of_item], n_items) for name, values in before.items()}
    known_users = np.bincount(user[of_user], before["outcomes"][of_user], n_users)
    users, items = events.user[shown], events.item[shown]
    counted = {
        "user_purchases": (users, _by_day(n_users, days, events.user[events.success], events.day[events.success], known_users)),
        "item_purchases": (items, _by_day(n_items, days, events.item[own], events.day[own], known_items["outcomes"])),
        "item_impressions": (items, _by_day(n_items, days, items, day, known_items["impressions"])),
        "item_conversions": (items, _by_day(n_items, days, converted, converted_on, known_items["conversions"])),
        "user_item_purchases": (np.where(found, place, len(pairs)), _by_day(
            len(pairs) + 1, days, np.searchsorted(pairs, pair[own]), events.day[own],
            np.bincount(np.searchsorted(pairs, known_pair), before["outcomes"][of_pair], len(pairs) + 1)))}
    return {name: table[key, day] for name, (key, table) in counted.items()}


def _by_day(keys: int, days: int, key: np.ndarray, day: np.ndarray, before: np.ndarray) -> np.ndarray:
    """int64 [keys, days]: how often something had happened to a key before each day; `before`: before the first one."""
    width = days + 1
    counts = np.bincount(key * width + day + 1, minlength=keys * width).reshape(keys, width)
    counts[:, 0] = before
    return np.cumsum(counts, axis=1)


def _names(columns: Sequence[pl.Series]) -> pl.Enum:
    """An Enum of every id in some columns; its order is that of the ids."""
    return pl.Enum(pl.concat([column.drop_nulls().unique() for column in columns]).unique().sort())


def _code(ids: pl.Series, names: pl.Enum) -> np.ndarray:
    """int64: the numbers of ids, −1 for null."""
    return ids.cast(names).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()


def _ids(numbers: np.ndarray | pl.Series, names: pl.Enum) -> pl.Series:
    """The ids of numbers; null stays null."""
    return pl.Series(numbers).cast(pl.UInt32).cast(names).cast(pl.String)
