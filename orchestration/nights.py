"""What a replay tells: a table, a plot, and the few figures that say whether the nights are sound."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.artefacts import staged_file
from recsys_core.evaluation import METHOD_NAMES
from recsys_core.metrics import Interval, paired_bootstrap

FIGURES = ("served", "frozen", "personal_frequency", "popularity")
NAMES = {**METHOD_NAMES, "frozen": "frozen at day 0"}
COLUMNS = {  # of the table: field → its head
    "day": "day", "rows_in": "rows in", "clean": "clean", "set_aside": "set aside", "late": "late", "duplicates": "duplicates",
    "lost": "lost", "double_counted": "counted twice", "segments_adapted": "adapted", "segments_skipped": "skipped",
    "segments_refused": "refused", "champion_changed": "new champion", "seconds": "seconds", "questions": "questions",
    **{name: NAMES[name] for name in FIGURES}}


def next_day_gain(rows: Sequence[Mapping[str, Any]], rival: str, seed: int = 0) -> Interval | None:
    """NDCG@10 of what was served minus a rival's, with an interval over days; None with fewer than two judged days."""
    gains = np.array([row["served"] - row[rival] for row in rows if row["served"] is not None])
    return paired_bootstrap(gains, np.arange(len(gains)), np.random.default_rng(seed)) if len(gains) > 1 else None


def cost_slope(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, float] | None:
    """What a night costs more after 100 further ones, as a share of the mean night: Theil–Sen slope with its 95% interval.

    The median of all pairs' slopes: a night that met a busy machine does not tilt it. Resumed nights are left out.
    """
    from scipy.stats import theilslopes

    nights = [(n, row["seconds"]) for n, row in enumerate(rows) if not row["resumed"]]
    if len(nights) < 3:
        return None
    at, seconds = np.array(nights).T
    found = theilslopes(seconds, at)
    slope, low, high = (float(100 * one / seconds.mean()) for one in (found.slope, found.low_slope, found.high_slope))
    return slope, low, high


def write_nights(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `replay.md` and `replay.png`."""
    _draw(folder / "replay.png", rows)
    with staged_file(folder / "replay.md") as file:
        file.write_text("\n".join(_told(rows)) + "\n", encoding="utf-8")


def _told(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lost, twice = (sum(row[name] for row in rows) for name in ("lost", "double_counted"))
    lines = [f"# Replay of {len(rows)} nights, {rows[0]['day']} … {rows[-1]['day']}", "",
             f"- Events lost: {lost}; counted twice: {twice}.",
             f"- Seconds of a night: median {np.median([row['seconds'] for row in rows]):.1f}."]
    if slope := cost_slope(rows):
        lines.append(f"- Cost after 100 further nights: {slope[0]:+.1%} [{slope[1]:+.1%}, {slope[2]:+.1%}] of the mean night.")
    for rival in FIGURES[1:]:
        if gain := next_day_gain(rows, rival):
            lines.append(f"- NDCG@10 on the next day, over {NAMES[rival]}: {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}].")
    lines += ["", "A day's NDCG@10 is that of the champion of the evening before (before the first one, of the bundle). "
              "Rivals are counted up to that evening.", "",
              "![NDCG@10 and seconds by night](replay.png)", "",
              "| " + " | ".join(COLUMNS.values()) + " |", "| :-- |" + " --: |" * (len(COLUMNS) - 1)]
    return lines + ["| " + " | ".join(_cell(row.get(name)) for name in COLUMNS) + " |" for row in rows]


def _cell(value: Any) -> str:
    if value is None or value is False:
        return "–"
    return "yes" if value is True else f"{value:.4g}" if isinstance(value, float) else str(value)


def _draw(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    ranking, cost = figure.subplots(2, 1, sharex=True)
    for name, style in zip(FIGURES, ("o-", "s--", "^:", "x:"), strict=True):
        known = [(n, row[name]) for n, row in enumerate(rows, 1) if row[name] is not None]
        if known:
            ranking.plot(*zip(*known, strict=True), style, label=NAMES[name], markersize=3)
            ranking.legend()
    ranking.set_ylabel("NDCG@10 on the next day")
    cost.bar(range(1, len(rows) + 1), [row["seconds"] for row in rows])
    cost.set_ylabel("seconds")
    cost.set_xlabel("night")
    cost.xaxis.set_major_locator(MaxNLocator(integer=True))
    with staged_file(path) as staged:
        figure.savefig(staged, format="png", dpi=110)
