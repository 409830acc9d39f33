"""Write the evaluation report: Markdown, one HTML page without external files, plots, metrics.json.

The summary comes first and says in words what the tables say in numbers, losses included. What is
said is computed from the results: "better" needs a 95% interval above zero.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from recsys_core.artefacts import staged_folder, write_json
from recsys_core.evaluation import AUDIENCES, Gain, Results, SegmentResult, name_audiences
from recsys_core.metrics import Interval
from recsys_core.report.base_sections import (
    count,
    data_section,
    exposure_section,
    known_steps_section,
    leakage_section,
    method_name,
    metric_name,
    next_days_section,
    ranking_section,
    reading_section,
    share,
    signed,
    student_section,
    training_section,
    value,
    with_interval,
)
from recsys_core.report.document import Block, Bullets, Heading, Tile, Tiles, to_html, to_markdown
from recsys_core.report.fairness_section import fairness_section, fairness_words
from recsys_core.report.plots import DARK, LIGHT, draw_plots
from recsys_core.report.segment_sections import as_good, pays_where, segment_section
from recsys_core.report.understanding_sections import search_section, task_section, understanding_words


def write_report(folder: Path, results: Results) -> None:
    """Replace `folder` atomically with report.md, report.html, metrics.json and plots/*.png.

    Raises:
        RecsysError: before the previous report is touched.
        OSError: likewise.
    """
    light, dark = draw_plots(results, LIGHT), draw_plots(results, DARK)
    title = f"Evaluation: {results.shop.name}"
    blocks = build_report(results, set(light))
    with staged_folder(folder) as staging:
        (staging / "plots").mkdir()
        for name, png in light.items():
            (staging / "plots" / f"{name}.png").write_bytes(png)
        (staging / "report.md").write_text(to_markdown(title, blocks), encoding="utf-8")
        page = to_html(title, _subtitle(results), blocks, {name: (light[name], dark[name]) for name in light})
        (staging / "report.html").write_text(page, encoding="utf-8")
        write_json(staging / "metrics.json", results.model_dump(mode="json"))


def build_report(results: Results, plots: set[str]) -> list[Block]:
    """The report as blocks.

    Args:
        results: what is reported.
        plots: names of the figures that exist.
    """
    return [*_summary(results), *ranking_section(results, plots), *next_days_section(results),
            *known_steps_section(results, plots), *segment_section(results, plots), *exposure_section(results, plots),
            *fairness_section(results), *search_section(results), *task_section(results), *student_section(results),
            *training_section(results, plots), *leakage_section(results), *data_section(results), *reading_section(results)]


def _subtitle(results: Results) -> str:
    shop = results.shop
    span = "order only, no times" if shop.order_only else f"{shop.first_day} … {shop.last_day}"
    return (f"{count(shop.events)} events of {count(shop.users)} users on {count(shop.items)} items, {span}, "
            f"profile {shop.profile}")


def _summary(results: Results) -> list[Block]:
    lines = [*_ranking_words(results), *_known_words(results), *_segment_words(results), *_promotion_words(results),
             *_exposure_words(results), *fairness_words(results), *understanding_words(results), *_student_words(results),
             _leakage_words(results),
             *results.notes]
    return [Tiles(_tiles(results)), Heading("Summary"), Bullets([line for line in lines if line])]


def _tiles(results: Results) -> list[Tile]:
    tiles = []
    ours = next((m for m in results.methods if m.ours), None)
    best = ours and ours.metrics.get("all", {}).get(results.metric)
    if best:
        gain = _toughest(results, "all")
        beside = (f"{signed(gain.interval)} over {method_name(gain.over)}" if gain
                  else f"95% interval {value(best.low, 3)} to {value(best.high, 3)}")
        tiles.append(Tile(f"{metric_name(results.metric)}, base ranker", value(best.mean, 3), beside,
                          _tone(gain)))
    if results.segments:
        decided = Counter(s.decision for s in results.segments)
        tiles.append(Tile("Segments promoted", f"{decided['promoted']} of {len(results.segments)}",
                          f"{decided['refused']} refused, {decided['no data']} without data"))
    if results.exposures and (mine := next((m for m in results.exposures.methods if m.ours), None)):
        tiles.append(Tile("User AUC of exposures", value(mine.uauc, 3), f"pooled AUC {value(mine.auc, 3)}"))
    if results.certificates:
        broken = sum(not c.holds for c in results.certificates)
        temporal = {c.temporal for c in results.certificates}
        tiles.append(Tile("Leakage certificates", "broken" if broken else "hold",
                          f"{broken} of {len(results.certificates)} broken" if broken else
                          f"{len(results.certificates)} checked, times {' / '.join(sorted(temporal))}",
                          "bad" if broken else "good"))
    return tiles


def _toughest(results: Results, name: str) -> Gain | None:
    """The baseline that the base ranker beats by least (or loses to) on one slice."""
    gains = [g for g in results.gains if g.slice == name and g.metric == results.metric]
    return min(gains, key=lambda g: g.interval.mean, default=None)


def _tone(gain: Gain | None) -> str:
    return {"better": "good", "worse": "bad"}.get(_verdict(gain.interval), "") if gain else ""


def _verdict(interval: Interval) -> str:
    return "better" if interval.low > 0 else "worse" if interval.high < 0 else "not proven different"


def _ranking_words(results: Results) -> list[str]:
    lines = []
    for name, words in (("all", "Ranking the full catalogue"), ("repeat", "Repeats alone"),
                        ("first_time", "First-time items alone")):
        ours = next((m.metrics[name].get(results.metric) for m in results.methods
                     if m.ours and name in m.metrics), None)
        if ours is None:
            continue
        line = f"**{words}:** the base ranker has {metric_name(results.metric)} {with_interval(ours, 3)}"
        if name == "all":
            line += f" on {count(ours.n)} queries of {count(ours.clusters)} users"
        gains = [g for g in results.gains if g.slice == name and g.metric == results.metric]
        lines.append(f"{line}{_compared({g.over: g.interval for g in gains})}.")
    return lines


def _compared(gains: dict[str, Interval]) -> str:
    """Baselines by verdict, the hardest first."""
    words = ""
    for verdict, lead in (("better", "better than"), ("not proven different", "not proven different from"),
                          ("worse", "**worse** than")):
        names = [f"{method_name(over)} ({signed(gain)})"
                 for over, gain in sorted(gains.items(), key=lambda pair: pair[1].mean)
                 if _verdict(gain) == verdict]
        words += f"; {lead} {', '.join(names)}" if names else ""
    return words


def _known_words(results: Results) -> list[str]:
    """Where the base is only as good as something trivial, because little is known of a shopper."""
    lost = []
    for found in results.known_steps:
        ours = found.metrics.get("base")
        best = max(((name, one) for name, one in found.metrics.items() if name != "base"), key=lambda pair: pair[1].mean,
                   default=None)
        if ours and best and best[1].mean >= ours.mean:
            steps = "all" if found.steps is None else count(found.steps)
            lost.append(f"{steps} ({value(ours.mean, 3)}, {method_name(best[0])} {value(best[1].mean, 3)})")
    if not results.known_steps:
        return []
    if not lost:
        return ["**By known steps:** the base ranker is ahead of every trivial one at each number of known steps."]
    return [f"**By known steps:** a trivial ranker is level or ahead where the known steps are {', '.join(lost)}."]


def _segment_words(results: Results) -> list[str]:
    if not results.segments:
        return ["**Adaptation:** this shop declares no segments."]
    segments, total, lines = results.segments, len(results.segments), []
    for audience, words in AUDIENCES.items():
        found = pays_where(segments, audience)
        if found:
            lines.append(f"**Adapting pays for {words}** in {len(found)} of {total} segments: "
                         + ", ".join(_gained(s, audience) for s in found) + ".")
    if not lines:
        lines.append(f"**Adapting pays in none** of {total} segments; the base serves them all.")
    counted = as_good(segments, ("segment_popularity", "counting"))
    if counted:
        lines.append(f"**A count of the shots does as well, as far as the gate can tell,** in {', '.join(counted)}.")
    filtered = as_good(segments, ("base",))
    if filtered:
        lines.append("**The base does as well, as far as the gate can tell,** filtered to the page where there is one, in "
                     f"{', '.join(filtered)}.")
    quiet = [s.name for s in segments if s.decision == "refused" and s.method == "base"]
    if quiet:
        lines.append(f"**Shots tell nothing that the base does not know** in {', '.join(quiet)}.")
    silent = [s.name for s in segments if s.decision == "no data"]
    if silent:
        lines.append(f"**No data** to judge {len(silent)}, where the base serves: {', '.join(silent)}.")
    return lines


def _gained(segment: SegmentResult, audience: str) -> str:
    """A promoted segment with what the report window, which decided nothing, says of it; losses stand out."""
    gain = segment.by_audience[audience].gain
    if gain is None:
        return segment.name
    words = {"worse": ", **a loss**", "not proven different": ", not proven on the later window"}.get(_verdict(gain), "")
    return f"{segment.name} ({signed(gain)}{words})"


def _promotion_words(results: Results) -> list[str]:
    found = results.promotions
    if found is None:
        return []
    verdict = f"part of the score for {name_audiences(found.audiences)}" if found.audiences else \
        f"left out of the score, {found.reason}"
    gains = [f"{AUDIENCES[audience]} {signed(gain)} on the {window} window"
             for window, gains in (("gate", found.gate), ("report", found.report)) for audience, gain in gains.items()]
    return [f"**Promotions** ({', '.join(found.placements)}): {'; '.join([verdict, *gains])}."]


def _exposure_words(results: Results) -> list[str]:
    exposures = results.exposures
    if exposures is None:
        return ["**Exposures:** the shop logs no impressions, so click probability is not evaluated."]
    ours = next((m for m in exposures.methods if m.ours), None)
    if ours is None:
        return []
    return [f"**Exposures:** base rate {share(exposures.base_rate)}, pooled AUC {value(ours.auc, 3)}, "
            f"log-loss {value(ours.log_loss)}, calibration error {value(ours.calibration_error)}, user AUC "
            f"{value(ours.uauc, 3)}{_compared(exposures.uauc_gains)}."]


def _student_words(results: Results) -> list[str]:
    student = results.student
    if student is None:
        return []
    parts = []
    if student.top10_overlap is not None:
        parts.append(f"keeps {share(student.top10_overlap)} of the teacher's top 10")
    if student.megabytes is not None:
        parts.append(f"{value(student.megabytes, 1)} MB")
    return [f"**Student:** {', '.join(parts)}."] if parts else []


def _leakage_words(results: Results) -> str:
    if not results.certificates:
        return "**Leakage: not checked.** No number here is certified."
    broken = [c.name for c in results.certificates if not c.holds]
    if broken:
        return f"**Leakage: broken** for {', '.join(broken)}; their numbers cannot be trusted."
    if any(c.temporal == "not certifiable" for c in results.certificates):
        return ("**Leakage:** every certificate holds by rows and positions; in time it is not certifiable, "
                "because the shop has order but no times.")
    held = len(results.certificates)
    return f"**Leakage:** {held} of {held} certificates hold: nothing trained on is later than its window."
