"""How fast the service answers at half of what it can do, and how many of 100,000 requests fail.

A virtual machine loses time to its neighbours ("steal" in /proc/stat), and every request that waits meanwhile is late. A repeat
that lost more than `MOST_STOLEN` is run again, whatever its latency; every one is in the table.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Bar
from benchmarks.servings.load import Call, press
from benchmarks.servings.served import served
from recsys_core.serving import Bundle

STEAL = 7  # place in the first line of /proc/stat
REPEATS, SECONDS, CONNECTIONS, ALL = 5, 12.0, 16, 100_000
MOST_STOLEN, MOST_REPEATS = 0.005, 20  # share of the processors' time; repeats at most


def calls(bundle: Bundle, count: int = 600) -> list[Call]:
    """What a shop's pages ask, in turns: half are lists for a session, a quarter searches, a quarter lists for a known user."""
    rng = np.random.default_rng(0)
    shares = bundle.popularity.astype(np.float64) + 0.5
    items = rng.choice(len(shares), (count, 8), p=shares / shares.sum())
    names, titles = bundle.catalogue.item_ids, bundle.catalogue.items["title"].to_list()
    found = []
    for n, rows in enumerate(items.tolist()):
        history = [names[row] for row in rows]
        if n % 4 == 1:
            found.append(Call("/v1/search", {"query": (titles[rows[0]] or names[rows[0]])[:100], "k": 10}))
        elif n % 4 == 3:
            found.append(Call("/v1/recommend", {"user_id": f"shopper-{n}", "k": 10}))
        else:
            found.append(Call("/v1/recommend", {"history": history[:1 + n % 8], "k": 10}))
    return found


def processor_times() -> np.ndarray:
    """Ticks of all processors since the machine began, by what they did; 0 where the system does not say."""
    try:
        return np.array(Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:STEAL + 2], np.int64)
    except OSError:
        return np.zeros(STEAL + 1, np.int64)


def run(folder: Path) -> dict[str, Any]:
    """The most that the service can do, then repeats at half of it, then 100,000 requests.

    Args:
        folder: of the bundle.
    """
    asked = calls(Bundle.load(folder))
    with tempfile.TemporaryDirectory() as work, served(folder, Path(work), "--rate", "0") as service:
        press(service.url, asked, seconds=3.0, connections=CONNECTIONS)  # warm
        most = press(service.url, asked, seconds=10.0, connections=CONNECTIONS)
        rate = 0.5 * len(most.ms) / most.seconds
        rows = []
        while sum(row["stolen"] <= MOST_STOLEN for row in rows) < REPEATS and len(rows) < MOST_REPEATS:
            before = processor_times()
            half = press(service.url, asked, rate, SECONDS, CONNECTIONS)
            spent = processor_times() - before
            rows.append({"requests_per_s": rate, "p50_ms": half.quantile(0.5), "p90_ms": half.quantile(0.9),
                         "p99_ms": half.quantile(0.99), "failed": half.failed,
                         "stolen": float(spent[STEAL] / max(spent.sum(), 1))})
        everything = press(service.url, asked, connections=CONNECTIONS, requests=ALL)
        return {"start_s": service.start_s, "most_per_s": 2 * rate, "rows": rows, "asked": sum(everything.statuses.values()),
                "failed": everything.failed, "statuses": dict(everything.statuses)}


def measure(folder: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables."""
    found = run(folder)
    p99 = sorted(row["p99_ms"] for row in sorted(found["rows"], key=lambda row: row["stolen"] > MOST_STOLEN)[:REPEATS])
    note = (f"open loop at {found['most_per_s'] / 2:.0f} of {found['most_per_s']:.0f} requests a second over {CONNECTIONS} "
            f"connections; the generator shares the machine's cores; least and most of {REPEATS} repeats, "
            f"{sum(row['stolen'] > MOST_STOLEN for row in found['rows'])} more lost over {MOST_STOLEN:.1%} to other machines")
    return [Bar("http.p99_ms_at_half_load", p99[len(p99) // 2], "<=", 10, p99[0], p99[-1], REPEATS, note),
            Bar("http.errors_in_100k", found["failed"], "==", 0, n=found["asked"], note=f"answers: {found['statuses']}")
            ], {"Over HTTP at half load": found["rows"]}
