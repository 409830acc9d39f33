"""The report's section on segments: for whom adapting pays, where a count or a filter is as good, what was decided."""

from __future__ import annotations

from recsys_core.evaluation import AUDIENCES, RIVAL_WORDS, SLICE_NAMES, AudienceResult, MemberResult, Results, SegmentResult
from recsys_core.report.base_sections import count, gain_cell, method_name, p_value, value
from recsys_core.report.document import Block, Bullets, Cell, Entry, Figure, Folded, Heading, Table, Text

DECISIONS = {"promoted": "promoted", "refused": "refused", "no data": "nodata"}
CONTESTANTS = ("base", "adapted", "segment_popularity", "counting", "placebo", "incumbent")
ENOUGH = 5  # questions of a member from which on its own gain is counted as paying or not


def segment_section(results: Results, plots: set[str]) -> list[Block]:
    """What adapting did, per segment and audience: promoted first, then refused, then those without data."""
    if not results.segments:
        return []
    order = sorted(results.segments, key=lambda s: (
        list(DECISIONS).index(s.decision), -s.gain.mean if s.gain else 1.0, s.name))
    blocks: list[Block] = [Heading("Segments"), Text(
        "Decided on the gate window, per audience: what a request knows of its shopper. Levels and gains are from the later "
        "report window, with base and shots as fresh as each other. A promoted adapter beat the base, a placebo, the "
        "popularity among its shots and counting them. Everybody else is served by the base, on a page filtered to it.")]
    if "segments" in plots:
        blocks.append(Figure("segments", "gain of each segment's adapter over the base, per audience, with intervals"))
    blocks += [_audience_table(order), Bullets([f"**{s.name}:** {s.reason}." for s in order])]
    blocks += _family_blocks(order)
    if "shots" in plots:
        blocks.append(Figure("shots", "gain by number of shots, one panel per segment"))
    return blocks + [Folded(title, [Text(words), table]) for title, words, table in _details(order) if table.rows]


def break_even(segment: SegmentResult) -> str:
    """The K from which on adapting pays; "none" where no measured K does, "–" where none was measured."""
    if segment.curve is None or not segment.curve.points:
        return "–"
    return "none" if segment.break_even is None else count(segment.break_even)


def _audience_table(order: list[SegmentResult]) -> Table:
    """A row per segment and audience; one row where a segment was never asked."""
    rows: list[list[Entry]] = []
    for s in order:
        about = [s.name, s.kind]
        numbers = [count(s.shots), break_even(s)]
        if not s.by_audience:
            rows.append([*about, "–", Cell(s.decision, DECISIONS[s.decision]), *numbers, *["–"] * 7])
        for audience, found in s.by_audience.items():
            rows.append([*about, audience, _decision(found), *numbers, count(found.questions), count(found.users),
                         _level(found), gain_cell(found.gain), _toughest(found), gain_cell(found.toughest_gain),
                         p_value(found.p_holm)])
    headers = ["segment", "kind", "audience", "decision", "shots", "pays from K", "questions", "shoppers", "base → adapted",
               "gain", "toughest rival", "gain over it, gate", "p (Holm)"]
    return Table(headers, rows, words=4)


def _decision(found: AudienceResult) -> Cell:
    return Cell("promoted", DECISIONS["promoted"]) if found.promoted else Cell("refused", DECISIONS["refused"])


def _level(found: AudienceResult) -> str:
    return f"{value(found.ndcg.get('base'), 3)} → {value(found.ndcg.get('adapted'), 3)}"


def _toughest(found: AudienceResult) -> str:
    return RIVAL_WORDS.get(found.toughest, "–")


def paying_members(segment: SegmentResult) -> tuple[int, int]:
    """How many of a family's members gain, and how many were asked often enough to tell."""
    asked = [member for member in segment.by_member if member.questions >= ENOUGH]
    return sum(member.gain > 0 for member in asked), len(asked)


def _family_blocks(order: list[SegmentResult]) -> list[Block]:
    """How a family's gain is spread over its members."""
    families = [s for s in order if s.by_member]
    if not families:
        return []
    rows = []
    for s in families:
        asked = sorted((m for m in s.by_member if m.questions >= ENOUGH), key=lambda m: m.gain)
        paying, enough = paying_members(s)
        middle = asked[len(asked) // 2].gain if asked else None
        rows.append([s.name, s.by, count(s.members), count(enough), f"{count(paying)} of {count(enough)}",
                     *([_member(asked[-1]), _signed(middle), _member(asked[0])] if asked else ["–"] * 3)])
    headers = ["family", "by", "members", f"with ≥ {ENOUGH} questions", "gain", "best", "median", "worst"]
    return [Text("**Families, member by member**, nothing known of the shoppers, report window"), Table(headers, rows, words=2)]


def _member(member: MemberResult) -> str:
    return f"{member.value} {_signed(member.gain)} ({count(member.questions)} questions, {count(member.shots)} shots)"


def _signed(number: float | None) -> str:
    return "–" if number is None else "+" * (number > 0) + value(number)


def _details(order: list[SegmentResult]) -> list[tuple[str, str, Table]]:
    found = [(s.name, audience, one) for s in order for audience, one in s.by_audience.items()]
    slices = [name for name in SLICE_NAMES if any(name in one.gain_by_slice for *_, one in found)]
    by_slice = Table(["segment", "audience", *(SLICE_NAMES[name] for name in slices)],
                     [[name, audience, *(gain_cell(one.gain_by_slice.get(part)) for part in slices)]
                      for name, audience, one in found if one.gain_by_slice], words=2)
    curves = Table(["segment", "K", "gain"], [[s.name, count(point.k), gain_cell(point.gain)]
                                              for s in order if s.curve for point in s.curve.points])
    windows = Table(["segment", "support", "gate", "report"],
                    [[s.name, s.support, s.gate, s.report] for s in order if s.report], words=4)
    gate = Table(["segment", "audience", "gain over the base, gate", "detectable"],
                 [[name, audience, gain_cell(one.gate_gain), value(one.minimum_detectable)]
                  for name, audience, one in found if one.gate_gain], words=2)
    return [
        ("Gain at each number of shots", "NDCG@10 over the base on the report window with at most K shots per member and "
         "nothing known of the shoppers.", curves),
        ("Gains by kind of target", "Adapted minus base, NDCG@10 on the report window.", by_slice),
        ("NDCG@10 of every contestant", "Within the segment's candidates; the best of each row is bold.", _levels(found)),
        ("At the gate", "What decided, and the smallest true gain that so many questions would show.", gate),
        ("Windows of each segment", "Each window ends where the next one starts.", windows)]


def _levels(found: list[tuple[str, str, AudienceResult]]) -> Table:
    """Segments and audiences by contestants, the best bold."""
    named = {method for *_, one in found for method, level in one.ndcg.items() if level is not None}
    methods, rows = [name for name in CONTESTANTS if name in named], []
    for name, audience, one in found:
        levels = [one.ndcg.get(method) for method in methods]
        if any(level is not None for level in levels):
            best = max(level for level in levels if level is not None)
            rows.append([name, audience, *(f"**{value(level, 3)}**" if level == best else value(level, 3) for level in levels)])
    return Table(["segment", "audience", *map(method_name, methods)], rows, words=2)


def pays_where(segments: list[SegmentResult], audience: str) -> list[SegmentResult]:
    """The segments that were promoted for an audience, the best first."""
    def gain_of(segment: SegmentResult) -> float:
        gain = segment.by_audience[audience].gain
        return gain.mean if gain else 0.0

    return sorted((s for s in segments if audience in s.audiences), key=lambda s: (-gain_of(s), s.name))


def as_good(segments: list[SegmentResult], rivals: tuple[str, ...]) -> list[str]:
    """Refused segments, each with the audiences where one of these rivals was the toughest."""
    words = []
    for s in segments:
        where = [name for name, found in s.by_audience.items() if not found.promoted and found.toughest in rivals]
        if where and s.decision == "refused":
            words.append(s.name if len(where) == len(AUDIENCES) else f"{s.name} ({', '.join(where)})")
    return words
