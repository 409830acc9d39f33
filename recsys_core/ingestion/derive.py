"""Items and users of shops that only deliver events."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.config import ShopConfig, nearest
from recsys_core.ingestion.values import as_category, as_id, as_number, as_text, without_words

EventRows = Iterable[tuple[pl.DataFrame, dict[str, str], str]]  # rows as delivered, ours → theirs, file


def derive_items(files: EventRows, config: ShopConfig) -> pl.DataFrame:
    """One row per item of the events, sorted by item_id.

    Text columns take the item's most frequent value (ties: the alphabetically first), `price` the median
    positive one. Without a title column the title is the last category level and the brand.

    Args:
        files: event files as delivered.
        config: says which columns, by `items_from_events`.
    """
    wanted = {name: theirs for name, theirs in config.items_from_events.items() if name != "item_id"}  # it is the key
    values = _derive(files, "item_id", wanted, config)
    columns = []
    for name, dtype in schema.RAW_ITEMS.items():
        columns.append(pl.col(name) if name in values.columns else pl.lit(None, dtype).alias(name))
    items = values.with_columns(columns)
    if "title" not in config.items_from_events:
        level = pl.col("category").str.split(schema.CATEGORY_SEPARATOR).list.last().str.replace_all("_", " ")
        items = items.with_columns(title=pl.concat_str([level, "brand"], separator=" ", ignore_nulls=True)
                                   .replace("", None))
    return items.select(*schema.RAW_ITEMS, pl.exclude(*schema.RAW_ITEMS))


def derive_users(files: EventRows, config: ShopConfig) -> pl.DataFrame:
    """One row per user of the events with their most frequent values, sorted by user_id."""
    wanted = {name: theirs for name, theirs in config.users_from_events.items() if name != "user_id"}
    return _derive(files, "user_id", wanted, config)


def derived_columns(config: ShopConfig) -> dict[str, schema.Columns]:
    """The columns that derived items and users tables have, by dtype."""
    items: schema.Columns = {**schema.RAW_ITEMS, "text": pl.String()}
    return {"items": {**{name: pl.String() for name in config.items_from_events if name not in items}, **items},
            "users": {name: pl.String() for name in dict.fromkeys(("user_id", *config.users_from_events))}}


def _derive(files: EventRows, key: str, wanted: dict[str, str], config: ShopConfig) -> pl.DataFrame:
    """Count every (key, value) pair over all files, then pick one value per key and column."""
    counts: dict[str, list[pl.DataFrame]] = {name: [] for name in (key, *wanted)}
    for frame, matched, artefact in files:
        keys = as_id(frame[matched[key]], config).alias("key")
        counts[key].append(keys.drop_nulls().unique().to_frame())
        for name, theirs in wanted.items():
            if theirs not in frame.columns:
                raise ShopError(artefact, f"column {theirs!r} is missing{nearest(theirs, frame.columns)}; "
                                f"columns found: {', '.join(frame.columns)}",
                                f"correct it in {key.removesuffix('_id')}s_from_events of shop.yaml")
            values = _typed(name, frame[theirs], config, artefact).alias("value")
            counts[name].append(pl.DataFrame([keys, values]).drop_nulls().group_by("key", "value").len())
    table = pl.concat(counts.pop(key)).unique().sort("key")
    for name, parts in counts.items():
        totals = pl.concat(parts).group_by("key", "value").agg(pl.col("len").sum())
        picked = _median_positive(totals) if name == "price" else _most_frequent(totals)
        table = table.join(picked.rename({"value": name}), on="key", how="left", maintain_order="left")
    return table.rename({"key": key})


def _typed(name: str, values: pl.Series, config: ShopConfig, artefact: str) -> pl.Series:
    if name == "price":
        return as_number(values, artefact, config)
    if name == "category":
        return as_category(values, config.category_separator)
    return without_words(as_text(values, " ").str.strip_chars().replace("", None), config)


def _most_frequent(totals: pl.DataFrame) -> pl.DataFrame:
    ordered = totals.sort("key", "len", "value", descending=[False, True, False])
    return ordered.unique("key", keep="first", maintain_order=True).select("key", "value")


def _median_positive(totals: pl.DataFrame) -> pl.DataFrame:
    """The lower median, so that it is a price the item was really sold at."""
    positive = totals.filter(pl.col("value").is_finite() & (pl.col("value") > 0)).sort("key", "value")
    share = pl.col("len").cum_sum().over("key") / pl.col("len").sum().over("key")
    upper_half = positive.filter(share >= 0.5)
    return upper_half.unique("key", keep="first", maintain_order=True).select("key", "value")
