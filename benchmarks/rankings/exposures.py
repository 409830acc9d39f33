"""Response features over all 319 million impressions: memory, speed, and pandas on a slice it can hold."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.rankings.questions import PLACE
from benchmarks.rankings.responses import ENTITIES, ROW_COLUMNS, ResponseConfig, ResponseSources, build_responses
from benchmarks.record import ROOT, Bar, peak_gib

STORES = (298, 370, 391, 412)  # each met about three million promotions
REPEATS = 5


def run(sources: ResponseSources) -> dict:
    """All impressions in a process of its own, for its peak memory; then some stores', with both, in turn."""
    PLACE.mkdir(parents=True, exist_ok=True)
    everything = _measured(sources, PLACE / "responses")
    part = _slice(sources, PLACE / "responses_slice")
    seconds: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        for rows in (False, True):
            for name, build in (("ours", build_responses), ("pandas", pandas_responses)):
                began = time.perf_counter()
                found = build(PLACE / f"responses_{name}", part, ResponseConfig(impressions=rows))
                seconds.setdefault(f"{name}, {'counts and rows' if rows else 'counts'}", []).append(
                    time.perf_counter() - began)
    _check_equal(PLACE / "responses_ours", PLACE / "responses_pandas")
    return {"all": everything, "slice_impressions": found["impressions"], "seconds": seconds}


def _measured(sources: ResponseSources, folder: Path) -> dict:
    """Build all in a subprocess; its result with seconds and peak GiB of resident memory."""
    paths = [str(getattr(sources, name)) for name in ("transactions", "promotions", "products")]
    done = subprocess.run([sys.executable, "-m", "benchmarks.rankings.exposures", str(folder), *paths], cwd=ROOT,
                          check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _slice(sources: ResponseSources, folder: Path) -> ResponseSources:
    """Files of some stores, the same for both, so that neither pays for reading the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    part = ResponseSources(*(folder / f"{name}.parquet" for name in ("transactions", "promotions", "products")))
    for name, where in (("transactions", f"WHERE store_id IN {STORES}"),
                        ("promotions", f"WHERE store_id IN {STORES}"), ("products", "")):
        duckdb.sql(f"COPY (SELECT * FROM '{getattr(sources, name)}' {where}) TO '{getattr(part, name)}'")
    return part


def pandas_responses(folder: Path, sources: ResponseSources, config: ResponseConfig) -> dict[str, int]:
    """The same files in plain pandas: join visits to promotions, then group."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    keys = ["household_id", "store_id", "week", "product_id"]
    bought = pd.read_parquet(sources.transactions, columns=[*keys, "quantity"])
    visits = bought[["household_id", "store_id", "week"]].drop_duplicates()
    bought = bought[bought["quantity"] > 0]
    shown = pd.read_parquet(sources.promotions, columns=["product_id", "store_id", "week"]).drop_duplicates().merge(
        pd.read_parquet(sources.products, columns=["product_id", "department"]), on="product_id", how="left")
    shown["department"] = shown["department"].fillna("")
    rows = visits.merge(shown, on=["store_id", "week"]).merge(
        bought[keys].drop_duplicates().assign(label=1), on=keys, how="left")
    rows["label"] = rows["label"].fillna(0).astype("int8")
    for entity, columns in ENTITIES.items():
        state = rows.groupby([*columns, "week"], as_index=False).agg(
            impressions=("label", "size"), responses=("label", "sum")).sort_values([*columns, "week"])
        for what in ("impressions", "responses"):
            state[f"{what}_before"] = state.groupby(list(columns))[what].cumsum() - state[what]
        state.to_parquet(folder / f"{entity}.parquet")
        if config.impressions:
            before = {f"{what}_before": f"{entity}_{what}" for what in ("impressions", "responses")}
            rows = rows.merge(state.rename(columns=before)[[*columns, "week", *before.values()]], on=[*columns, "week"])
    if config.impressions:
        _pandas_rows(rows, bought, folder / "impressions.parquet")
    return {"impressions": len(rows), "responses": int(rows["label"].sum()), "weeks": visits["week"].nunique()}


def _pandas_rows(rows, bought, path: Path) -> None:
    """Add the household's earlier purchases of the product and write the rows."""
    import pandas as pd

    known = bought.groupby(["household_id", "product_id", "week"], as_index=False).size().sort_values("week")
    known["household_product_purchases"] = known.groupby(["household_id", "product_id"])["size"].cumsum()
    rows = pd.merge_asof(rows.sort_values("week", kind="stable"), known.drop(columns="size"), on="week",
                         by=["household_id", "product_id"], allow_exact_matches=False)
    rows["household_product_purchases"] = rows["household_product_purchases"].fillna(0).astype("int32")
    rows[list(ROW_COLUMNS)].to_parquet(path)


def _check_equal(ours: Path, theirs: Path) -> None:
    """Both must have computed the same, to the last row."""
    for mine, other in ((ours / "impressions" / "*.parquet", theirs / "impressions.parquet"),
                        *((ours / f"{e}.parquet", theirs / f"{e}.parquet") for e in ENTITIES)):
        columns = [row[0] for row in duckdb.sql(f"DESCRIBE SELECT * FROM '{mine}'").fetchall()]
        names = ", ".join(columns)
        missing = duckdb.sql(f"SELECT count(*) FROM (SELECT {names} FROM '{mine}' EXCEPT ALL "
                             f"SELECT {names} FROM '{other}')").fetchone()[0]
        if missing:
            raise AssertionError(f"{missing} rows of {mine} are not in {other}")


def bars(part: dict) -> list[Bar]:
    """Peak memory over all impressions; impressions per second against pandas on one store."""
    whole, seconds = part["all"], part["seconds"]
    ratios = {what: [theirs / ours for ours, theirs in zip(seconds[f"ours, {what}"], seconds[f"pandas, {what}"],
                                                           strict=True)] for what in ("counts", "counts and rows")}
    counts = ratios["counts"]
    return [
        Bar("exposures.peak_gib", whole["peak_gib"], "<=", 4, n=1,
            note=f"resident memory of the process that wrote {whole['impressions']:,} impressions with their features "
                 f"in {whole['seconds']:.0f} s"),
        Bar("exposures.rows_per_s_over_pandas", float(np.median(counts)), ">=", 10, min(counts), max(counts),
            len(counts), f"count tables of {part['slice_impressions']:,} impressions of {len(STORES)} stores, reading "
            "and writing included, wall time, median, least and most of the repeats; with the rows written too "
            f"{np.median(ratios['counts and rows']):.1f} times")]


def table(part: dict) -> list[dict]:
    whole, rows = part["all"], []
    rows.append({"what": "ours, counts and rows", "impressions": whole["impressions"], "seconds": whole["seconds"],
                 "impressions/s": whole["impressions"] / whole["seconds"]})
    for name, seconds in part["seconds"].items():
        middle = float(np.median(seconds))
        rows.append({"what": f"{name}, {len(STORES)} stores", "impressions": part["slice_impressions"],
                     "seconds": middle, "impressions/s": part["slice_impressions"] / middle})
    return rows


if __name__ == "__main__":
    start = time.perf_counter()
    result = build_responses(Path(sys.argv[1]), ResponseSources(*map(Path, sys.argv[2:5])), ResponseConfig())
    print(json.dumps({**result, "seconds": time.perf_counter() - start, "peak_gib": peak_gib()}))
