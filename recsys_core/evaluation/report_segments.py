"""The report's section on segments: what adapting bought, from how many shots on, and what was decided."""

from __future__ import annotations

from recsys_core.evaluation.document import Block, Bullets, Cell, Figure, Folded, Heading, Table, Text
from recsys_core.evaluation.report_sections import count, gain_cell, method_name, p_value, share, value
from recsys_core.evaluation.results import SLICE_NAMES, Results, SegmentResult

DECISIONS = {"promoted": "promoted", "refused": "refused", "no data": "nodata"}
SEGMENT_METHODS = ("base", "adapted", "placebo", "incumbent", "from_scratch", "segment_popularity",
                   "popularity", "personal_frequency", "item_knn")


def segment_section(results: Results, plots: set[str]) -> list[Block]:
    """What adapting did, per segment: promoted first, then refused, then those without data."""
    if not results.segments:
        return []
    order = sorted(results.segments, key=lambda s: (
        list(DECISIONS).index(s.decision), -s.gain.mean if s.gain else 0.0, s.name))
    blocks: list[Block] = [Heading("Segments"), Text(
        "Decided on the gate window, measured on the later report window. A promoted adapter beat the base, "
        "the placebo, a from-scratch model of the same shots and the segment's popularity; all other "
        "segments serve the base.")]
    if "segments" in plots:
        blocks.append(Figure("segments", "gain of each segment's adapter over the base, with intervals"))
    rows = [[s.name, s.kind, Cell(s.decision, DECISIONS[s.decision]), s.method or "–", count(s.available), count(s.shots),
             gain_cell(s.gain), gain_cell(s.placebo_gain), break_even(s), value(s.minimum_detectable), p_value(s.p_holm),
             count(s.queries), count(s.users), s.reason] for s in order]
    headers = ["segment", "kind", "decision", "method", "shots available", "K", "gain", "placebo's gain", "break-even K",
               "detectable", "p (Holm)", "queries", "users", "reason"]
    blocks += [Table(headers, rows, words=4, last_is_words=True), *_nights(order)]
    if "shots" in plots:
        blocks.append(Figure("shots", "gain by number of shots, one panel per segment, the placebo beside it"))
    details = [each for each in _segment_details(order) if each[2].rows]
    return blocks + [Folded(title, [Text(words), table]) for title, words, table in details]


def break_even(segment: SegmentResult) -> str:
    """The K from which on adapting pays; "none" where no measured K does, "–" where none was measured."""
    if segment.curve is None or not segment.curve.points:
        return "–"
    return "none" if segment.break_even is None else count(segment.break_even)


def _nights(segments: list[SegmentResult]) -> list[Block]:
    """What the nightly job skips, and why."""
    resting = [f"**{s.name}:** {s.rests}." for s in segments if s.rests]
    if not resting:
        return []
    return [Text("**Skipped by the nightly job**, until they have more shots or the base changes:"), Bullets(resting)]


def _segment_details(segments: list[SegmentResult]) -> list[tuple[str, str, Table]]:
    slices = [name for name in SLICE_NAMES if any(name in s.gain_by_slice for s in segments)]
    by_slice = Table(["segment", *(SLICE_NAMES[name] for name in slices)],
                     [[s.name, *(gain_cell(s.gain_by_slice.get(name)) for name in slices)]
                      for s in segments if s.gain_by_slice])
    curves = Table(["segment", "K", "gain", "placebo's gain", "draws adapted", "detectable"],
                   [[s.name, count(point.k), gain_cell(point.gain), gain_cell(point.placebo), share(point.adapted),
                     value(point.detectable)] for s in segments if s.curve for point in s.curve.points])
    windows = Table(["segment", "support", "gate", "report", "gain on the gate window"],
                    [[s.name, s.support or "–", s.gate or "–", s.report or "–", gain_cell(s.gate_gain)]
                     for s in segments if s.support or s.gate or s.report], words=4)
    return [
        ("Gain at each number of shots", "NDCG@10 over the base on gate questions, the mean of several draws of K shots.",
         curves),
        ("Gains by kind of target", "Adapted minus base, NDCG@10 on the report window.", by_slice),
        ("NDCG@10 of every method, full catalogue", "The best of each segment is bold.",
         _levels([(s.name, s.ndcg) for s in segments])),
        ("NDCG@10 ranking only the segment's own items", "Domain-restricted; the gate does not use it.",
         _levels([(s.name, s.in_domain) for s in segments])),
        ("Windows of each segment", "Each window ends where the next one starts.", windows)]


def _levels(levels: list[tuple[str, dict[str, float | None]]]) -> Table:
    """Segments by methods, the best bold."""
    levels = [(name, {m: v for m, v in found.items() if v is not None}) for name, found in levels]
    named = {method for _, found in levels for method in found}
    methods = [*(m for m in SEGMENT_METHODS if m in named), *sorted(named - set(SEGMENT_METHODS))]
    rows = []
    for name, found in levels:
        if found:
            best = max(found.values())
            cells = [value(found.get(m), 3) for m in methods]
            rows.append([name, *(f"**{cell}**" if found.get(m) == best else cell
                                 for m, cell in zip(methods, cells, strict=True))])
    return Table(["segment", *map(method_name, methods)], rows)
