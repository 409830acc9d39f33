"""Two hundred requests to a bundle, their answers and their milliseconds; the same file asks an older checkout.

Run inside a checkout: `python path/to/bundle_requests.py BUNDLE ANSWERS.json`. It uses nothing but the documented `Bundle`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

REQUESTS, ROUNDS = 200, 3


def make_requests(bundle: Any) -> list[dict[str, Any]]:
    """The same requests for the same bundle: histories of 0 to 60 items, with stores, shelves, segments, filters; searches."""
    rng, ids = np.random.default_rng(17), np.array(bundle.catalogue.item_ids)
    share = bundle.popularity / bundle.popularity.sum()
    titles = bundle.catalogue.items["title"].to_list()
    members = [(segment["by"].split(".", 1), bundle.parts.router.members[name]) for name, segment in bundle.segments.items()
               if segment["by"] and bundle.parts.router.members.get(name)]
    shelves, found = bundle.parts.shelves.names, []
    for at in range(REQUESTS):
        history = rng.choice(ids, int(rng.integers(0, 61)) if at % 4 else at % 3, p=share).tolist()
        request: dict[str, Any] = {"history": history, "segment": ("auto", None)[at % 2]}
        if at % 10 == 7 and shelves:
            request["shelf"] = shelves[int(rng.integers(len(shelves)))]
        elif members and at % 5 < 3:
            (table, column), values = members[int(rng.integers(len(members)))]
            value = values[int(rng.integers(len(values)))]
            request |= {"segment": "auto", "user" if table == "users" else "context": {column: value}}
        elif at % 10 == 9:
            title = titles[int(rng.choice(len(ids), p=share))]
            request = {"query": (title or "bread")[:60], "history": history}
        request["exclude_seen"] = at % 7 == 0
        if "query" in request:
            request.pop("exclude_seen")
        found.append(request)
    return found


def main(folder: str, path: str) -> None:
    from recsys_core.serving import Bundle

    bundle = Bundle.load(folder)
    answers, milliseconds = [], []
    for request in make_requests(bundle):
        ask = bundle.search if "query" in request else bundle.recommend
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            answer = ask(**request, k=10)
            times.append(1000 * (time.perf_counter() - start))
        answers.append([(one.item_id, one.score, one.reasons, one.segment, one.fallback) for one in answer])
        if "query" not in request:
            milliseconds.append(min(times))
    Path(path).write_text(json.dumps({"answers": answers, "recommend_ms": statistics.median(milliseconds)}), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
