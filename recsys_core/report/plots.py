"""The report's plots, drawn without a display, each for a light and for a dark page.

Colours are told apart by colour-blind readers, and every distinction they make is made twice (fill,
marker or position beside colour).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_core.evaluation import SLICE_NAMES, MethodResult, Results, ShotCurve
from recsys_core.metrics import Interval
from recsys_core.report.base_sections import method_name, metric_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_ROWS = 60  # a forest of more is unreadable: the best and the worst are kept
SHOWN_CURVES = 24  # likewise


@dataclass(frozen=True)
class Theme:
    """Colours of one page: background, text, soft text, grid, ours, others, promoted, refused."""

    page: str
    text: str
    soft: str
    grid: str
    ours: str
    other: str
    promoted: str
    refused: str


LIGHT = Theme("#ffffff", "#1b2430", "#5b6776", "#e4e8ec", ours="#0b6e75", other="#b9c2cc",
              promoted="#0b6e75", refused="#c26a00")
DARK = Theme("#12161c", "#e4e8ee", "#9aa6b5", "#2a313b", ours="#4fb9c1", other="#4a5564",
             promoted="#4fb9c1", refused="#e9a23b")


def draw_plots(results: Results, theme: Theme = LIGHT) -> dict[str, bytes]:
    """Draw whichever of the plots there is data for.

    Returns:
        PNG bytes of "ranking", "known_steps", "segments", "shots", "reliability" and "training".
    """
    drawn: dict[str, Callable[[Results, Theme], Figure]] = {}
    if any(results.metric in metrics for m in results.methods for metrics in m.metrics.values()):
        drawn["ranking"] = draw_ranking
    if results.known_steps:
        drawn["known_steps"] = draw_known_steps
    if any(segment.gain for segment in results.segments):
        drawn["segments"] = draw_segments
    if any(segment.curve and segment.curve.points for segment in results.segments):
        drawn["shots"] = draw_shots
    if results.exposures and results.exposures.reliability:
        drawn["reliability"] = draw_reliability
    if results.curves:
        drawn["training"] = draw_training
    return {name: _png(draw(results, theme), theme) for name, draw in drawn.items()}


def draw_ranking(results: Results, theme: Theme) -> Figure:
    """The base ranker beside the baselines: one panel per slice, bars with intervals over users."""
    slices = [s for s in SLICE_NAMES if any(results.metric in m.metrics.get(s, {}) for m in results.methods)]
    methods = sorted(results.methods, key=lambda m: _mean(m, slices[0], results.metric))
    height = 0.36 * len(methods) + 1.1
    figure, axes = _figure(theme, 3.4 * len(slices) + 1.6, height, 1, len(slices), share_y=True)
    for ax, name in zip(axes[0], slices, strict=True):
        widest = 0.0
        for row, method in enumerate(methods):
            interval = method.metrics.get(name, {}).get(results.metric)
            if interval is None:
                continue
            low, high = max(interval.low, 0.0), min(interval.high, 1.0)
            ax.barh(row, interval.mean, height=0.62, color=theme.ours if method.ours else theme.other)
            ax.plot([low, high], [row, row], color=theme.text, linewidth=1.3, solid_capstyle="butt")
            ax.annotate(f"{interval.mean:.3f}", (max(high, interval.mean), row), xytext=(5, 0),
                        textcoords="offset points", va="center", fontsize=8.5, color=theme.text,
                        fontweight="bold" if method.ours else "normal")
            widest = max(widest, high, interval.mean)
        ax.set_xlim(0, widest * 1.24 or 1)
        ax.locator_params(axis="x", nbins=4)
        ax.set_title(SLICE_NAMES[name], loc="left", fontsize=10, color=theme.text)
        ax.grid(axis="x", color=theme.grid)
    axes[0][0].set_yticks(range(len(methods)), [method_name(m.method) for m in methods])
    for label, method in zip(axes[0][0].get_yticklabels(), methods, strict=True):
        label.set(fontweight="bold" if method.ours else "normal", color=theme.text)
    figure.supxlabel(f"{metric_name(results.metric)}, 95% interval over users", fontsize=9, color=theme.soft)
    return figure


def draw_known_steps(results: Results, theme: Theme) -> Figure:
    """Every ranker's metric by known steps, each line named at its right end."""
    found = results.known_steps
    names = list(found[0].metrics)
    figure, axes = _figure(theme, 7.4, 3.9, 1, 1)
    ax, at = axes[0][0], list(range(len(found)))
    for place, name in enumerate(sorted(names, key=lambda name: name != "base")):
        ours = name == "base"
        means = [one.metrics[name].mean for one in found]
        colour = theme.ours if ours else theme.soft
        ax.plot(at, means, color=colour, marker="o" if ours else "", markersize=5, linewidth=2 if ours else 1.4,
                linestyle=("-", "--", ":", "-.", (0, (1, 4)))[place % 5], label=method_name(name))
        if ours:
            ax.fill_between(at, [one.metrics[name].low for one in found], [one.metrics[name].high for one in found],
                            color=colour, alpha=0.15, linewidth=0)
    ax.set_xticks(at, ["all" if one.steps is None else str(one.steps) for one in found])
    ax.set(xlabel="known steps of the shopper", ylabel=metric_name(results.metric), ylim=(0, None))
    ax.grid(axis="y", color=theme.grid)
    ax.legend(frameon=False, fontsize=8.5, labelcolor=theme.text, loc="upper left")
    return figure


def draw_segments(results: Results, theme: Theme) -> Figure:
    """Forest plot: what each segment's adapter gained over the base, a row per audience."""
    rows = sorted(((f"{s.name}, {audience}", one.promoted, one.gain) for s in results.segments
                   for audience, one in s.by_audience.items() if one.gain), key=lambda row: row[2].mean)
    left_out = max(len(rows) - SHOWN_ROWS, 0)
    if left_out:
        rows = rows[:SHOWN_ROWS // 2] + rows[-SHOWN_ROWS // 2:]
    figure, axes = _figure(theme, 9, 0.27 * len(rows) + 1.5, 1, 1)
    ax = axes[0][0]
    low, high = _forest_limits([gain for *_, gain in rows])
    ax.axvline(0, color=theme.soft, linewidth=1)
    for row, (_, promoted, gain) in enumerate(rows):
        colour = theme.promoted if promoted else theme.refused
        ax.plot([max(gain.low, low), min(gain.high, high)], [row, row], color=colour, linewidth=1.8)
        ax.plot(gain.mean, row, "o" if promoted else "s", color=colour, markersize=6, zorder=3,
                markerfacecolor=colour if promoted else theme.page, markeredgewidth=1.4)
    ax.set_xlim(low, high)
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.set_yticks(range(len(rows)), [name for name, *_ in rows], color=theme.text, fontsize=8.5)
    ax.grid(axis="x", color=theme.grid)
    ax.set_xlabel(f"gain in {metric_name(results.metric)} over the base ranker, report window, 95% interval"
                  + (f" ({left_out} rows in the middle left out)" if left_out else ""), fontsize=9)
    marks = [ax.plot([], [], "o-", color=theme.promoted, label="promoted")[0],
             ax.plot([], [], "s-", color=theme.refused, markerfacecolor=theme.page, label="refused")[0]]
    ax.legend(handles=marks, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8.5,
              labelcolor=theme.text)
    return figure


def draw_shots(results: Results, theme: Theme) -> Figure:
    """One panel per segment: the gain at each number of shots per member, the break-even marked."""
    curves = sorted(((s.name, s.curve) for s in results.segments if s.curve and s.curve.points),
                    key=lambda named: -named[1].points[-1].gain.mean)
    left_out = max(len(curves) - SHOWN_CURVES, 0)
    if left_out:
        curves = curves[:SHOWN_CURVES // 2] + curves[-SHOWN_CURVES // 2:]
    columns = min(len(curves), 4)
    figure, axes = _figure(theme, 2.5 * columns + 0.6, 1.85 * -(-len(curves) // columns) + 0.7,
                           -(-len(curves) // columns), columns)
    panels = [ax for row in axes for ax in row]
    for ax, (name, curve) in zip(panels, curves, strict=False):
        _shot_panel(ax, name, curve, theme)
    for ax in panels[len(curves):]:
        ax.set_visible(False)
    figure.supxlabel(f"most shots per member; gain in {metric_name(results.metric)} over the base, 95% interval"
                     + (f" ({left_out} segments in the middle left out)" if left_out else ""), fontsize=9, color=theme.soft)
    return figure


def _shot_panel(ax: Axes, name: str, curve: ShotCurve, theme: Theme) -> None:
    points, pays = curve.points, curve.break_even
    at, gains = [point.k for point in points], [point.gain.mean for point in points]
    span = max(*gains, 1e-3) - min(*gains, 0.0)
    room = max(0.6 * span, min(1.2 * (points[-1].gain.high - points[-1].gain.mean), 5 * span))
    low, high = min(*gains, 0.0) - room, max(*gains, 0.0) + room
    colour = theme.refused if pays is None else theme.promoted
    ax.axhline(0, color=theme.soft, linewidth=1)
    ax.fill_between(at, [max(point.gain.low, low) for point in points], [min(point.gain.high, high) for point in points],
                    color=colour, alpha=0.2, linewidth=0)
    ax.plot(at, gains, "o-", color=colour, markersize=4, linewidth=1.6)
    if pays is not None:
        ax.axvline(pays, color=colour, linewidth=1, linestyle=":")
    ax.set_title(f"{name}\n{'pays at no K' if pays is None else f'pays from {pays}'}", loc="left", fontsize=8.5,
                 color=theme.text)
    ax.set_xscale("log", base=2)
    ax.set_xticks(at, [str(k) if k == at[-1] or 1.6 * k < at[-1] else "" for k in at])
    ax.minorticks_off()
    ax.set_ylim(low, high)
    ax.locator_params(axis="y", nbins=4)
    ax.grid(axis="y", color=theme.grid)


def draw_reliability(results: Results, theme: Theme) -> Figure:
    """Predicted against observed click or purchase probability, in bins of equal mass."""
    from numpy import array, sqrt

    predicted, observed, rows = array(results.exposures.reliability if results.exposures else [], float).T
    figure, axes = _figure(theme, 5.2, 4.6, 1, 1)
    ax = axes[0][0]
    error = 1.96 * sqrt(observed * (1 - observed) / rows)
    limit = 1.08 * max(predicted.max(), (observed + error).max(), 1e-6)
    ax.plot([0, limit], [0, limit], color=theme.soft, linewidth=1, linestyle=(0, (4, 3)))
    ax.errorbar(predicted, observed, yerr=error, fmt="o", color=theme.ours, markersize=5, linewidth=1.3)
    ax.annotate("perfectly calibrated", (limit * 0.72, limit * 0.72), xytext=(4, -14), fontsize=8.5,
                textcoords="offset points", color=theme.soft)
    ax.set(xlim=(0, limit), ylim=(0, limit), xlabel="predicted probability", ylabel="observed rate")
    ax.grid(color=theme.grid)
    return figure


def draw_training(results: Results, theme: Theme) -> Figure:
    """Training curves: one panel per run, what was held out dashed."""
    count = len(results.curves)
    columns = min(count, 3)
    figure, axes = _figure(theme, 3.7 * columns, 2.7 * -(-count // columns), -(-count // columns), columns)
    panels = [ax for row in axes for ax in row]
    for ax, curve in zip(panels, results.curves, strict=False):
        for at, (name, points) in enumerate(curve.series.items()):
            x, y = zip(*points, strict=True) if points else ((), ())
            ax.plot(x, y, color=(theme.ours, theme.refused, theme.soft)[at % 3], linewidth=1.6, label=name,
                    linestyle="--" if name == "held out" else "-", markersize=3,
                    marker="o" if len(x) < 15 else "")
        ax.set_title(curve.title, loc="left", fontsize=10, color=theme.text)
        ax.set(xlabel=curve.x_label, ylabel=curve.y_label)
        ax.grid(color=theme.grid)
        if len(curve.series) > 1:
            ax.legend(frameon=False, fontsize=8, labelcolor=theme.text)
    for ax in panels[count:]:
        ax.set_visible(False)
    return figure


def _mean(method: MethodResult, name: str, metric: str) -> float:
    interval = method.metrics.get(name, {}).get(metric)
    return interval.mean if interval else -1.0


def _forest_limits(gains: list[Interval]) -> tuple[float, float]:
    """Wide enough for every mean; a few very uncertain rows may run out of the picture."""
    means = [gain.mean for gain in gains] + [0.0]
    span = max(max(means) - min(means), 1e-3)
    lows, highs = [gain.low for gain in gains], [gain.high for gain in gains]
    return (max(min(lows), min(means) - 0.75 * span) - 0.04 * span,
            min(max(highs), max(means) + 0.75 * span) + 0.04 * span)


def _figure(theme: Theme, width: float, height: float, rows: int, columns: int,
            share_y: bool = False) -> tuple[Figure, list[list[Axes]]]:
    """A figure in the theme's colours, with no frame but the axis lines that carry numbers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor=theme.page)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    for ax in axes.ravel():
        ax.set_facecolor(theme.page)
        ax.set_axisbelow(True)
        ax.tick_params(colors=theme.soft, labelsize=8.5, length=0)
        ax.xaxis.label.set(color=theme.soft, fontsize=9)
        ax.yaxis.label.set(color=theme.soft, fontsize=9)
        for side in ax.spines:
            ax.spines[side].set_visible(False)
    return figure, axes.tolist()


def _png(figure: Figure, theme: Theme) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=150, facecolor=theme.page)
    return buffer.getvalue()
