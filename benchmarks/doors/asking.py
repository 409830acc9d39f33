"""Requests with anything in any place: whatever a bundle raises must be an error of the project's own."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from recsys_core.errors import RecsysError
from recsys_core.serving import Bundle


class Strange:
    """An object that no request can hold."""


def _values(ids: list[str]) -> list[Any]:
    """What callers have handed over, and worse."""
    row, frame = {"item_id": ids[0], "label": 1, "timestamp": "2024-03-01 9:05"}, {"item_id": ids[:2], "label": [1, None]}
    scalars = [None, True, 0, -1, 1, 7.0, 2.5, 10**13, 10**400, float("nan"), float("inf"), "", " ", ids[0], "nowhere", "\ud800",
               "x" * 5000, "2024-03-01", "31/12/2024", "auto", "bath", b"\xff", date(2024, 3, 1), datetime.max, datetime.min,
               Decimal("1.5"), pd.NaT, pd.NA, np.int64(3), np.float32(2), np.datetime64("NaT")]
    lists = [[], [None], [[]], [ids[0]], ids[:5], [ids[0], None, 3, 4.0], [ids], [b"\xff"], [float("nan")], [{}], [row],
             [row, {"item_id": ids[1]}],
             *([{**row, **one}] for one in ({"label": "a"}, {"timestamp": "soon"}, {"event_type": 5}))]
    names = [{}, row, {1: 2}, {"brand": "Orla"}, {"brand": ["Orla", None]}, {"price": {"min": "a"}},
             {"price": {"min": 1, "max": None}}, {"nothing": 1}, {"brand": {"min": 1}}, {"region": "north"},
             {"region": ["north"]}, {"user_id": {}}]
    others = [set(ids[:3]), frozenset(), tuple(ids[:2]), range(3), iter(ids), ids.__iter__, np.array(ids[:3]), np.zeros((2, 2)),
              np.array(5), pl.DataFrame(frame, strict=False), pl.Series(ids[:2]), pd.DataFrame(frame), pd.Series(ids[:2]),
              Strange(), Strange, len, slice(1), complex(1, 2), memoryview(b"a")]
    return [*scalars, *lists, *names, *others]


def _calls(bundle: Bundle) -> list[tuple[Callable[..., Any], tuple[str, ...], tuple[str, ...]]]:
    """Every public call: what it must be given, and what it may be."""
    asked = ("at", "segment", "adapter", "context", "user_id")
    listed = ("k", "candidates", "filters", "shelf", *asked)
    return [(bundle.recommend, ("history",), ("user", "exclude_seen", *listed)),
            (bundle.recommend_batch, ("histories",), ("k", "segment", "exclude_seen", "context", "shelf")),
            (bundle.search, ("query",), ("history", *listed)),
            (bundle.click_probability, ("items",), ("history", "query", *asked)),
            (bundle.adapt, ("support",), ("page",)), (Bundle.load, ("folder",), ())]


def _plain(name: str, bundle: Bundle) -> Any:
    """What belongs in the first argument of a call."""
    ids = bundle.catalogue.item_ids[:3]
    return {"query": "copper mirror", "histories": [ids], "folder": bundle.folder,
            "support": [{"item_id": one, "label": 1} for one in ids]}.get(name, ids)


def foreign_exceptions(bundle: Bundle, inputs: int, seed: int) -> tuple[list[str], int]:
    """Ask `inputs` requests.

    Returns:
        what came out that is no error of ours; how many requests were answered.
    """
    rng, foreign, answered = random.Random(seed), [], 0
    values, calls = _values(bundle.catalogue.item_ids), _calls(bundle)
    logging.disable(logging.CRITICAL)
    try:
        for _ in range(inputs):
            call, needed, allowed = rng.choice(calls)
            names = [*needed, *rng.sample(allowed, min(len(allowed), rng.choice([0, 1, 1, 2, 3])))]
            given = {name: rng.choice(values) for name in names}
            if rng.random() < 0.7:  # else the first argument is refused before the others are looked at
                given |= {name: _plain(name, bundle) for name in needed}
            try:
                call(**given)
                answered += 1
            except RecsysError:
                pass
            except BaseException as error:  # a panic of Polars is none of Exception
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    raise
                foreign.append(f"{call.__name__}({', '.join(f'{name}={value!r:.40}' for name, value in given.items())}): "
                               f"{type(error).__name__}: {error}"[:300])
    finally:
        logging.disable(logging.NOTSET)
    return foreign, answered
