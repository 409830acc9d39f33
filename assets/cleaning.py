"""Trusted tables: typed, deduplicated, normalised; what is not trusted is kept apart with its reason."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from assets.io import count_table
from assets.partitions import days, requested, shop_config
from recsys_core.cleaning import CleaningConfig, clean_days
from recsys_core.cleaning import clean_items as make_clean_items

# A day is made again from the drops around it: late rows end in the day they happened on.
AROUND = dg.TimeWindowPartitionMapping(start_offset=-shop_config.lateness_days,
                                       end_offset=shop_config.lateness_days,
                                       allow_nonexistent_upstream_partitions=True)

DESCRIPTIONS = {
    "clean_events": "Trusted events with ids, sessions and local days, in UTC.",
    "quarantined_events": "Every other row of the drops, with the reason why it is not trusted.",
}


class CleanEventsConfig(CleaningConfig, dg.Config):
    """`CleaningConfig` in Dagster's launchpad; `shop.yaml` gives the defaults."""

    time_zone: str = shop_config.time_zone
    lateness_days: int = shop_config.lateness_days
    max_set_aside: float = shop_config.max_set_aside
    order_only: bool = shop_config.order_only


@dg.asset(group_name="cleaning", io_manager_key="clean_tables", kinds={"polars"})
def clean_items(raw_items: pl.LazyFrame) -> pl.DataFrame:
    """The catalogue with unique ids and the one text per item that the encoder reads."""
    return make_clean_items(raw_items.collect())


@dg.multi_asset(
    outs={name: dg.AssetOut(io_manager_key="clean_tables", description=description, kinds={"polars"},
                            is_required=False)
          for name, description in DESCRIPTIONS.items()},
    ins={"raw_events": dg.AssetIn(partition_mapping=AROUND), "clean_items": dg.AssetIn()},
    group_name="cleaning", partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run(), pool="days",
    can_subset=True)
def events_by_trust(context: dg.AssetExecutionContext, config: CleanEventsConfig,
                    raw_events: dict[str, pl.LazyFrame], clean_items: pl.LazyFrame):
    """Clean day by day; the second output is what the first one set aside on the way, also where only one is selected."""
    known_items = clean_items.select("item_id").collect()["item_id"]
    cleaned = clean_days(raw_events, requested(context), known_items, config)
    set_aside: dict[str, pl.DataFrame] = {}
    duplicates: list[int] = []

    def trusted() -> Iterator[tuple[str, pl.DataFrame]]:
        for day, result in cleaned:
            set_aside[day] = result.quarantined
            duplicates.append(result.duplicates)
            yield day, result.events

    if "clean_events" in context.selected_output_names:
        yield dg.Output(trusted(), "clean_events")
    if "quarantined_events" not in context.selected_output_names:
        return
    for _ in trusted():  # what nobody has asked for yet
        pass
    reasons = pl.concat(set_aside.values())["reason"].value_counts(sort=True)
    yield dg.Output(set_aside.items(), "quarantined_events", metadata={
        "exact_copies": sum(duplicates), "reasons": count_table(reasons)})
