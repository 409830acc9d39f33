"""Night by night: the newest days of two shops through the schedule's command, and what each night did on the next day.

DAYS (default 60) nights of the embedded shop and of Online Retail (RECSYS_DATA, default ../shared/data), profile quick. They lie
in var/bench/replay and go on where they were cut. What a night of the profile full costs, the part `steps` measures.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from benchmarks.record import ROOT, Bar
from orchestration.nights import FIGURES, cost_slope, next_day_gain
from orchestration.replay import Replay

PLACE = ROOT / "var" / "bench" / "replay"
GOALS: dict[str, tuple[str, float]] = {
    "replay.events_lost": ("==", 0), "replay.events_double_counted": ("==", 0), "replay.cost_slope_per_100_days": ("<=", 0.10),
    "replay.next_day_gain_over_frozen_low": (">=", 0), "replay.next_day_over_personal_frequency_low": (">", 0)}
Rows = list[dict[str, Any]]


def measure(_: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """The bars, each the worse of the two shops, and a row per night; no bundle is asked for."""
    days = int(os.environ.get("DAYS") or 60)
    shops = {"embedded": run_nights("embedded", None, "quick", days)}
    if (data := Path(os.environ.get("RECSYS_DATA") or ROOT.parent / "shared" / "data") / "online_retail").is_dir():
        shops["online_retail"] = run_nights("online_retail", online_retail(data), "quick", days)
    tables = {f"Nights of {name}": [{key: row.get(key) for key in SHOWN} for row in rows] for name, rows in shops.items()}
    return bars(shops), tables


SHOWN = ("day", "rows_in", "clean", "set_aside", "late", "duplicates", "lost", "double_counted", "segments_adapted",
         "segments_skipped", "segments_refused", "champion_changed", "seconds", "questions", *FIGURES)


def online_retail(data: Path) -> Path:
    """A shop folder over the day files of Online Retail."""
    folder = PLACE / "online_retail-shop"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shop.yaml").write_text(f"preset: online_retail\ndata: '{data.resolve()}'\n", encoding="utf-8")
    return folder


def run_nights(name: str, source: Path | None, profile: Literal["full", "quick"], days: int) -> Rows:
    """Replay a shop's newest days; fewer where the shop has fewer: the first half always comes at once."""
    replay = Replay(PLACE / name, source, profile)
    return replay.run(min(days, len(replay.shop.days()) // 2))


def bars(shops: dict[str, Rows]) -> list[Bar]:
    """The replays' bars over all shops: sums of what is lost, and the worst of each other figure.

    Args:
        shops: name → its nights.
    """
    absent = "" if len(shops) > 1 else "; online_retail is absent: set RECSYS_DATA"
    found = [Bar(bar, float(sum(row[field] for rows in shops.values() for row in rows)), *GOALS[bar],
                 n=sum(map(len, shops.values())), note=f"ledger of {', '.join(shops)}{absent}")
             for bar, field in (("replay.events_lost", "lost"), ("replay.events_double_counted", "double_counted"))]
    slopes = {name: slope for name, rows in shops.items() if (slope := cost_slope(rows))}
    bar = "replay.cost_slope_per_100_days"
    if slopes:
        worst = max(slopes, key=lambda name: slopes[name][0])
        found.append(Bar(bar, *slopes[worst][:1], *GOALS[bar], *slopes[worst][1:], n=len(shops[worst]),
                         note=f"Theil–Sen slope over nights, {worst}, share of the mean night{absent}"))
    else:
        found.append(Bar(bar, None, *GOALS[bar], note="fewer than three nights ran undisturbed"))
    return [*found, _gain_bar("replay.next_day_gain_over_frozen_low", shops, "frozen", absent),
            _gain_bar("replay.next_day_over_personal_frequency_low", shops, "personal_frequency", absent)]


def _gain_bar(bar: str, shops: dict[str, Rows], rival: str, absent: str) -> Bar:
    gains = {name: next_day_gain(rows, rival) for name, rows in shops.items()}
    lost = [name for name, gain in gains.items() if gain is None]
    if lost:
        return Bar(bar, None, *GOALS[bar], note=f"fewer than two judged days: {', '.join(lost)}")
    worst = min((gain for gain in gains.values() if gain), key=lambda gain: gain.low)
    told = ", ".join(f"{name} {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]" for name, gain in gains.items() if gain)
    return Bar(bar, worst.low, *GOALS[bar], worst.low, worst.high, n=worst.n,
               note=f"low end of NDCG@10's gain, over days, least of: {told}{absent}")
