"""The feature tables as one writes them in pandas: everything in memory, from all days at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from recsys_core.features import Inputs
from recsys_core.schema import POSITIVE_EVENTS

KINDS = {"impressions": "impression", "views": "view", "clicks": "click", "carts": "add_to_cart", "purchases": "purchase"}
READ = ["event_id", "user_id", "timestamp", "event_type", "item_id", "session_id", "price", "quantity", "context", "position",
        "propensity", "day"]


def pandas_tables(days: Sequence[Path], inputs: Inputs, first_days: int) -> dict[str, pd.DataFrame]:
    """The four tables.

    Args:
        days: clean day files.
        inputs: items and users.
        first_days: of the segment of new users.
    """
    events = pd.concat([pd.read_parquet(path, columns=READ) for path in days], ignore_index=True)
    events["day"] = pd.to_datetime(events["day"])
    events = events.sort_values(["user_id", "timestamp", "event_id"], ignore_index=True)
    positive = events[events["event_type"].isin(POSITIVE_EVENTS)]
    return {"item_features": _item_features(events, positive),
            "segment_events": _segment_events(events, positive, inputs, first_days),
            "interactions": _interactions(positive, inputs), "exposures": _exposures(events)}


def _item_features(events: pd.DataFrame, positive: pd.DataFrame) -> pd.DataFrame:
    key = ["item_id", "day"]
    counts = events.groupby([*key, "event_type"]).size().unstack("event_type", fill_value=0)
    table = pd.DataFrame({name: counts.get(kind, 0) for name, kind in KINDS.items()})
    table["users"] = positive.groupby(key)["user_id"].nunique()
    sold = events[events["event_type"] == "purchase"]
    pieces = sold["quantity"].fillna(1)
    table["quantity"] = pieces.groupby([sold["item_id"], sold["day"]]).sum()
    table["revenue"] = (sold["price"] * pieces).groupby([sold["item_id"], sold["day"]]).sum()
    return table.fillna(0).reset_index()


def _interactions(positive: pd.DataFrame, inputs: Inputs) -> pd.DataFrame:
    known = positive[positive["item_id"].isin(inputs.items["item_id"].to_list())]
    return known.sort_values(["user_id", "timestamp", "item_id", "event_id"])[
        ["event_id", "user_id", "item_id", "timestamp", "event_type", "session_id", "context"]]


def _segment_events(events: pd.DataFrame, positive: pd.DataFrame, inputs: Inputs, first_days: int) -> pd.DataFrame:
    joined = positive.merge(inputs.items.select("item_id", "department").to_pandas(), on="item_id", how="left").merge(
        inputs.users.to_pandas(), on="user_id", how="left")
    first = joined["user_id"].map(events.groupby("user_id")["day"].min())
    late = first >= events["day"].min() + pd.Timedelta(days=first_days // 3)
    rows = {"department": joined["department"] == "d3", "north": joined["region"] == "r1",
            "new": late & (joined["day"] < first + pd.Timedelta(days=first_days))}
    return pd.concat([joined.loc[mask, ["event_id"]].assign(segment=name) for name, mask in rows.items()])


def _exposures(events: pd.DataFrame) -> pd.DataFrame:
    shown = events[events["event_type"] == "impression"].sort_values("timestamp")
    bought = events[events["event_type"] == "purchase"].sort_values("timestamp")
    key = ["user_id", "item_id", "session_id"]
    outcomes = bought[["timestamp", *key, "day"]].rename(columns={"day": "converted_on"})
    table = pd.merge_asof(shown, outcomes, on="timestamp", by=key, direction="forward")
    late = table["converted_on"] > table["day"] + pd.Timedelta(days=1)
    table["converted_on"] = table["converted_on"].mask(late)
    table["label"] = table["converted_on"].notna().astype("int8")
    converted = table.dropna(subset=["converted_on"])[["item_id", "converted_on"]].rename(columns={"converted_on": "day"})
    table = table.sort_values("day", kind="stable")
    for name, rows, by in (("user_item_purchases", bought, ["user_id", "item_id"]), ("user_purchases", bought, ["user_id"]),
                           ("item_purchases", bought, ["item_id"]), ("item_impressions", shown, ["item_id"]),
                           ("item_conversions", converted, ["item_id"])):
        counts = rows.groupby([*by, "day"]).size().rename("n").reset_index()
        counts[name] = counts.groupby(by)["n"].cumsum()
        table = pd.merge_asof(table, counts.drop(columns="n").sort_values("day"), on="day", by=by, allow_exact_matches=False)
        table[name] = table[name].fillna(0).astype("int64")
    return table[["event_id", "user_id", "item_id", "timestamp", "label", "position", "propensity", "user_item_purchases",
                  "user_purchases", "item_purchases", "item_impressions", "item_conversions"]]
