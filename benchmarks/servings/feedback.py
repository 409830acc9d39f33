"""Whether a click changes the shopper's next list within the second, whichever worker is asked."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Bar
from benchmarks.servings.served import served
from recsys_core.serving import Bundle

SHOPPERS, ASKS = 100, 4


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """One request over a connection of its own, so that any worker may get it."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def run(folder: Path) -> dict[str, Any]:
    """Each shopper asks, clicks an item that the bundle ranks others by, and asks again, several times."""
    bundle, rng = Bundle.load(folder), np.random.default_rng(0)
    popular = np.argsort(-bundle.popularity)[:1000]
    with tempfile.TemporaryDirectory() as work, served(folder, Path(work), "--rate", "0") as service:
        changed, ms = [], []
        for n, row in enumerate(rng.choice(popular, SHOPPERS, replace=False)):
            asked = {"user_id": f"shopper-{n}", "k": 10}
            before = _items(post(f"{service.url}/v1/recommend", asked))
            began = time.perf_counter()
            event = {"user_id": asked["user_id"], "event_type": "purchase", "item_id": bundle.catalogue.item_ids[row]}
            post(f"{service.url}/v1/events", {"events": [event]})
            after = [_items(post(f"{service.url}/v1/recommend", asked)) for _ in range(ASKS)]
            ms.append(1000 * (time.perf_counter() - began))
            changed.append(all(one != before and one == after[0] for one in after) and ms[-1] < 1000)
    return {"changed": float(np.mean(changed)), "ms": float(np.median(ms))}


def _items(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def measure(folder: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables."""
    found = run(folder)
    note = (f"share of shoppers whose list changed, the same in {ASKS} requests over new connections to two workers; click and "
            f"all {ASKS} answers took {found['ms']:.0f} ms at the median")
    return [Bar("feedback.next_list_changes", found["changed"], "==", 1, n=SHOPPERS, note=note)], {}
