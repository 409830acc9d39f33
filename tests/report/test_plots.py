"""The plots show what they should: values, intervals, decisions, and only where there is data."""

import struct

import pytest

from recsys_core.evaluation.results import SegmentResult
from recsys_core.metrics.bootstrap import Interval
from recsys_core.report.plots import (
    DARK,
    LIGHT,
    SHOWN_CURVES,
    SHOWN_ROWS,
    draw_known_steps,
    draw_plots,
    draw_ranking,
    draw_reliability,
    draw_segments,
    draw_shots,
    draw_training,
)
from tests.report.sample import audience, curve, sample_results, segment


@pytest.fixture(scope="module")
def light():
    return draw_plots(sample_results(), LIGHT)


def test_every_plot_is_a_png_of_readable_size_and_differs_by_theme(light):
    dark = draw_plots(sample_results(), DARK)
    assert set(light) == {"ranking", "known_steps", "segments", "shots", "reliability", "training"}
    for name, png in light.items():
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", png[16:24])
        assert 600 <= width <= 2000 and 300 <= height <= 1000, name
        assert png != dark[name]


def test_the_same_results_draw_the_same_bytes(light):
    assert draw_plots(sample_results()) == light


@pytest.mark.parametrize("field, empty, plot", [
    ("methods", [], "ranking"), ("known_steps", [], "known_steps"),
    ("segments", [], "segments"), ("segments", [], "shots"), ("exposures", None, "reliability"),
    ("curves", [], "training")])
def test_without_data_there_is_no_plot(monkeypatch, field, empty, plot):
    monkeypatch.setattr("recsys_core.report.plots._png", lambda figure, theme: b"")  # which takes the longest
    assert plot in draw_plots(sample_results())
    assert plot not in draw_plots(sample_results().model_copy(update={field: empty}))


def test_bars_are_the_means_best_on_top():
    axes = draw_ranking(sample_results(), LIGHT).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["all targets", "repeats", "first-time"]
    assert [round(bar.get_width(), 3) for bar in axes[0].patches] == [0.027, 0.067, 0.078, 0.206, 0.231]
    assert [label.get_text() for label in axes[0].get_yticklabels()][-1] == "base ranker"
    assert axes[0].lines[-1].get_xdata().tolist() == pytest.approx([0.219, 0.243])


def test_the_lines_by_known_steps_are_the_means_and_ours_stands_out():
    ax = draw_known_steps(sample_results(), LIGHT).axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "1", "4", "all"]
    lines = {line.get_label(): line for line in ax.lines}
    assert set(lines) == {"base ranker", "popularity", "personal frequency"}
    assert list(lines["base ranker"].get_ydata()) == [0.085, 0.11, 0.15, 0.23]
    assert lines["base ranker"].get_color() == LIGHT.ours and lines["base ranker"].get_linestyle() == "-"
    assert len({line.get_linestyle() for line in ax.lines}) == 3


def test_the_forest_tells_promoted_from_refused_by_colour_and_fill():
    ax = draw_segments(sample_results(), LIGHT).axes[0]
    marks = {round(float(line.get_xdata()[0]), 3): line for line in ax.lines
             if line.get_marker() in "os" and len(line.get_xdata())}
    assert set(marks) == {0.062, 0.011, -0.012, -0.009, 0.001, -0.002, -0.013}
    assert marks[0.062].get_markerfacecolor() == LIGHT.promoted != marks[-0.012].get_color() == LIGHT.refused
    assert marks[-0.013].get_markerfacecolor() == LIGHT.page and marks[-0.013].get_marker() == "s"
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == "store, none"
    low, high = ax.get_xlim()
    assert low < -0.021 and high > 0.07


def test_an_unbounded_interval_does_not_stretch_the_forest():
    unbounded = audience(0.02, promoted=False).model_copy(update={
        "gain": Interval(0.02, float("-inf"), float("inf"), 1.0, 3, 1)})
    one_user = SegmentResult(name="tiny", kind="custom", decision="refused", reason="one user", by_audience={"none": unbounded})
    results = sample_results()
    ax = draw_segments(results.model_copy(update={"segments": [*results.segments, one_user]}), LIGHT).axes[0]
    assert ax.get_xlim()[0] > -0.2 and ax.get_xlim()[1] < 0.2


def test_a_forest_of_many_keeps_the_best_and_the_worst_and_says_so():
    segments = [segment(f"s{at}", "custom", {"none": at / 1000}, (), "") for at in range(100)]
    ax = draw_segments(sample_results().model_copy(update={"segments": segments}), LIGHT).axes[0]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert len(names) == SHOWN_ROWS and names[0] == "s0, none" and names[-1] == "s99, none"
    assert "40 rows in the middle left out" in ax.get_xlabel()


def test_the_curves_show_the_gain_and_where_it_starts_to_pay():
    figure = draw_shots(sample_results(), LIGHT)
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in panels] == [
        "store\npays from 16", "new households\npays at no K", "easter|scene\npays at no K", "parents <45\npays at no K"]
    gain = next(line for line in panels[0].lines if line.get_marker() == "o")
    assert list(gain.get_xdata()) == [4, 16, 64, 256, 2711] and gain.get_ydata()[-1] == pytest.approx(0.0682)
    assert any(list(line.get_xdata()) == [16, 16] for line in panels[0].lines)


def test_many_curves_keep_the_best_and_the_worst_and_say_so():
    one = sample_results().segments[0]
    many = [one.model_copy(update={"name": f"s{at:02d}", "curve": curve(0.05 - at / 1000)}) for at in range(40)]
    figure = draw_shots(sample_results().model_copy(update={"segments": many}), LIGHT)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert len(titles) == SHOWN_CURVES and titles[0].startswith("s00") and titles[-1].startswith("s39")
    assert "16 segments in the middle left out" in figure.get_supxlabel()


def test_reliability_shows_every_bin_inside_square_axes():
    ax = draw_reliability(sample_results(), LIGHT).axes[0]
    points = ax.containers[0].lines[0]
    assert len(points.get_xdata()) == 8
    assert ax.get_xlim() == ax.get_ylim() and ax.get_xlim()[1] > max(points.get_xdata())


def test_one_panel_per_run_with_what_was_held_out_dashed():
    axes = draw_training(sample_results(), LIGHT).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["Text encoder", "Student"]
    assert [line.get_linestyle() for line in axes[0].lines] == ["-", "--"]
