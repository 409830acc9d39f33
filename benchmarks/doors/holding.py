"""What a dirty shop loads as, held against what was planted in it."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.doors.faults import dirty_shop
from benchmarks.doors.planting import Plant, Truth
from recsys_core.errors import RecsysError
from recsys_core.ingestion import open_shop


@dataclass(frozen=True)
class Outcome:
    """Args: faults: laid over the shop. refused: the error, "" if it opened. lost: records without a trace. wrong: values that
    are neither right nor missing, or missing where the right value can be told."""

    faults: list[str]
    refused: str
    lost: int
    wrong: list[str]


def hold(seed: int) -> Outcome:
    """Plant a dirty shop, load it, and compare."""
    shop = dirty_shop(seed)
    with TemporaryDirectory() as folder:
        shop.write(Path(folder))
        try:
            drops = list(open_shop(Path(folder)).events())
        except RecsysError as error:
            return Outcome(shop.faults, str(error), 0, [])
    rows = [row for drop in drops for row in drop.events.iter_rows(named=True)]
    rejects = sum(drop.rejects.height for drop in drops)
    known = {one.event_id: one for one in shop.truth}
    wrong = [fault for row in rows if row["event_id"] in known for fault in _wrong(row, known[row["event_id"]], shop)]
    return Outcome(shop.faults, "", max(0, shop.records - len(rows) - rejects), wrong)


def _wrong(row: dict, truth: Truth, shop: Plant) -> list[str]:
    price = row["price"]
    told = {"user_id": (row["user_id"], truth.user_id or None),
            "item_id": ((row["item_id"] or "").strip(), shop.ids_as(truth.item_id)),
            "timestamp": (row["timestamp"], truth.moment), "query": (row["query"], truth.query)}
    faults = [f"{name} is {found!r}, not {right!r}" for name, (found, right) in told.items() if found != right]
    alike = (price is None) == (truth.price is None) and (price is None or math.isclose(price, truth.price, abs_tol=0.005))
    return faults if alike else [*faults, f"price is {price!r}, not {truth.price!r}"]


def outcomes(seeds: range) -> list[Outcome]:
    """Every seed's outcome, with the readers' own log kept still."""
    logging.disable(logging.WARNING)
    try:
        return [hold(seed) for seed in seeds]
    finally:
        logging.disable(logging.NOTSET)
