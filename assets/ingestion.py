"""Raw tables, exactly as the shop delivered them."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from assets.io import preview, tried_again
from assets.partitions import Home, days, requested
from recsys_core import schema
from recsys_core.errors import DataError
from recsys_core.ingestion import Shop


@dg.asset(group_name="ingestion", io_manager_key="raw_tables", partitions_def=days,
          backfill_policy=dg.BackfillPolicy.single_run(), pool="days", kinds={"polars"})
@tried_again()
def raw_events(context: dg.AssetExecutionContext, home: Home):
    """What shoppers did: one partition per day that the shop delivered; a year loads as one run."""
    shop, asked = home.open_shop(), requested(context)
    delivered = [day for day in shop.days() if day.isoformat() in set(asked)]
    if not delivered:
        raise DataError("raw_events", f"no data for {asked[0]} … {asked[-1]} in shop {shop.config.name!r}",
                        "deliver the day's drop, or ask for a day that has one")
    closed = sorted(set(asked) - {day.isoformat() for day in delivered})
    return dg.Output(_read(context, shop, delivered), metadata={"closed_days": closed})


def _read(context: dg.AssetExecutionContext, shop: Shop,
          asked: list[date]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield each day as it is read; what could not be read is counted and shown when the last one is."""
    rejects = []
    for drop in shop.events(asked[0], asked[-1]):
        if drop.day in asked:
            rejects.append(drop.rejects)
            yield drop.day.isoformat(), drop.events
    shop.check_ledger()
    unreadable = pl.concat(rejects)
    context.add_asset_metadata({"unreadable_lines": unreadable.height, "examples": preview(unreadable, 20),
                                "records_delivered": sum(file.delivered for file in shop.ledger.values())})


def _ledger(shop: Shop) -> dict[str, Any]:
    """Metadata: what became of the records of the files that were read."""
    files = shop.ledger.values()
    return {"records_delivered": sum(file.delivered for file in files), "unreadable_lines": sum(file.set_aside for file in files),
            "examples": "; ".join(file.example for file in files if file.example)}


@dg.asset(group_name="ingestion", io_manager_key="raw_tables", kinds={"polars"})
@tried_again()
def raw_items(context: dg.AssetExecutionContext, home: Home) -> pl.DataFrame:
    """The catalogue as the shop keeps it."""
    shop = home.open_shop()
    items = shop.items()
    context.add_asset_metadata(_ledger(shop))
    return items


@dg.asset(group_name="ingestion", io_manager_key="raw_tables", kinds={"polars"})
@tried_again()
def raw_users(context: dg.AssetExecutionContext, home: Home) -> pl.DataFrame:
    """What the shop knows about its users; without a users table, an empty one."""
    shop = home.open_shop()
    users = shop.users()
    context.add_asset_metadata(_ledger(shop))
    return pl.DataFrame(schema={"user_id": pl.String}) if users is None else users


@dg.asset(group_name="ingestion", io_manager_key="raw_tables", kinds={"polars"})
@tried_again()
def raw_shelves(home: Home) -> pl.DataFrame:
    """What the shop's pages offer, and when; without a shelves table, an empty one."""
    shelves = home.open_shop().shelves()
    return pl.DataFrame(schema=schema.RAW_SHELVES) if shelves is None else shelves


@dg.asset(group_name="ingestion", io_manager_key="raw_tables", kinds={"polars"})
@tried_again()
def raw_judgments(home: Home) -> pl.DataFrame:
    """How well items answer queries, where somebody judged it; without a judgments table, an empty one."""
    judgments = home.open_shop().judgments()
    return pl.DataFrame(schema=schema.JUDGMENTS) if judgments is None else judgments


class PromotionsConfig(dg.Config):
    """How far back promotions are read."""

    days: int = Field(84, gt=0, description="the newest days of the shop; a year of them can be tens of millions of rows")


@dg.asset(group_name="ingestion", io_manager_key="raw_tables", kinds={"polars"})
@tried_again()
def raw_promotions(home: Home, config: PromotionsConfig) -> pl.DataFrame:
    """What the shop promotes for whom, when and how, of its newest days; without a promotions table, an empty one."""
    shop = home.open_shop()
    promotions = shop.promotions(shop.last_day - timedelta(days=config.days - 1), shop.last_day)
    return pl.DataFrame(schema=schema.RAW_PROMOTIONS) if promotions is None else promotions


@dg.asset(group_name="ingestion", io_manager_key="raw_tables", kinds={"polars"})
@tried_again()
def raw_labels(context: dg.AssetExecutionContext, home: Home) -> pl.DataFrame:
    """What the shop labelled: classes, attributes, grades; without a labels table, an empty one."""
    shop = home.open_shop()
    labels = shop.labels()
    context.add_asset_metadata(_ledger(shop))
    return pl.DataFrame(schema=schema.LABELS) if labels is None else labels
