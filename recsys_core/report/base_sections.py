"""The sections below the report's summary, and how its numbers are written."""

from __future__ import annotations

import math

from recsys_core.evaluation import METHOD_NAMES, SLICE_NAMES, MethodResult, Results
from recsys_core.metrics import Interval
from recsys_core.report.document import Block, Bullets, Cell, Entry, Figure, Folded, Heading, Table, Text


def value(number: float | None, digits: int = 4) -> str:
    """A number with fixed decimals; "–" where it was not measured.

    >>> value(0.23456, 3), value(None), value(-0.5, 1), value(float("inf"))
    ('0.235', '–', '−0.5', '∞')
    """
    if number is None:
        return "–"
    text = f"{number:.{digits}f}" if math.isfinite(number) else ("∞" if number > 0 else "-∞")
    return text.replace("-", "−")


def count(number: int) -> str:
    """A whole number with thin groups of thousands.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def share(number: float | None) -> str:
    """A share as a percentage with three significant digits.

    >>> share(0.4217), share(0.00123), share(None)
    ('42.2%', '0.123%', '–')
    """
    return "–" if number is None else f"{float(f'{100 * number:.3g}'):g}%"


def p_value(number: float | None) -> str:
    """A p-value as readers expect it.

    >>> p_value(0.0004), p_value(0.0312), p_value(0.54)
    ('<0.001', '0.031', '0.54')
    """
    if number is None:
        return "–"
    return "<0.001" if number < 0.001 else f"{number:.3f}" if number < 0.1 else f"{number:.2f}"


def with_interval(interval: Interval | None, digits: int = 4) -> str:
    """Mean and interval of a level, such as `0.231 [0.220, 0.242]`."""
    if interval is None:
        return "–"
    return f"{value(interval.mean, digits)} [{value(interval.low, digits)}, {value(interval.high, digits)}]"


def signed(interval: Interval | None, digits: int = 4) -> str:
    """Mean and interval of a difference, always with its sign."""
    if interval is None:
        return "–"
    mean, low, high = ("+" * (number > 0) + value(number, digits)
                       for number in (interval.mean, interval.low, interval.high))
    return f"{mean} [{low}, {high}]"


def gain_cell(interval: Interval | None, digits: int = 4) -> Cell:
    """A difference, coloured only where its interval leaves zero out."""
    tone = "muted"
    if interval is not None:
        tone = "good" if interval.low > 0 else "bad" if interval.high < 0 else ""
    return Cell(signed(interval, digits), tone)


def method_name(method: str) -> str:
    return METHOD_NAMES.get(method, method)


def metric_name(metric: str) -> str:
    """A metric as the field writes it.

    >>> metric_name("ndcg@10"), metric_name("hr@5"), metric_name("recall@10")
    ('NDCG@10', 'hit rate@5', 'recall@10')
    """
    name, _, k = metric.partition("@")
    return {"ndcg": "NDCG", "mrr": "MRR", "hr": "hit rate"}.get(name, name) + (f"@{k}" if k else "")


def ranking_section(results: Results, plots: set[str]) -> list[Block]:
    """Every ranker, slice by slice, then the paired gains over each baseline."""
    if not results.methods:
        return []
    blocks: list[Block] = [Heading("Ranking")]
    if "ranking" in plots:
        blocks.append(Figure("ranking", f"{metric_name(results.metric)} of every ranker, by slice"))
    slices = [name for name in SLICE_NAMES if any(name in m.metrics for m in results.methods)]
    for name in slices:
        table = _method_table(results, name)
        blocks += [Text(f"**{SLICE_NAMES[name].capitalize()}**"), table]
    if results.gains:
        found = {(g.over, g.slice): g.interval for g in results.gains if g.metric == results.metric}
        overs = dict.fromkeys(over for over, _ in found)
        wanted = [s for s in slices if any(part == s for _, part in found)]
        rows: list[list[Entry]] = [[method_name(over), *(gain_cell(found.get((over, s))) for s in wanted)] for over in overs]
        blocks += [Text(f"**What the base ranker adds**, {metric_name(results.metric)} on the same queries"),
                   Table(["over", *(SLICE_NAMES[s] for s in wanted)], rows)]
    return blocks


def next_days_section(results: Results) -> list[Block]:
    """What the published bundle did on the day after each night, beside what is just as fresh."""
    found = results.next_days
    if found is None:
        return []
    rows: list[list[Entry]] = [[method_name(name), with_interval(mean), gain_cell(found.gains.get(name))]
                               for name, mean in found.ndcg.items()]
    return [Heading("Judged as served"), Text(
        f"{count(found.questions)} steps of {count(found.days)} days, {found.first_day} … {found.last_day}. A day is asked "
        "of the evening's champion (before the first, of the bundle). Its rivals count up to that evening. Intervals over days."),
        Table(["ranker", metric_name(results.metric), "what was served, minus it"], rows)]


def known_steps_section(results: Results, plots: set[str]) -> list[Block]:
    """How far each ranker comes with little known of a shopper."""
    if not results.known_steps:
        return []
    methods = list(results.known_steps[0].metrics)
    n = next(iter(results.known_steps[0].metrics.values())).n
    rows = []
    for found in results.known_steps:
        best = max(interval.mean for interval in found.metrics.values())
        rows.append(["all" if found.steps is None else count(found.steps), *(
            f"**{with_interval(one, 3)}**" if one.mean == best else with_interval(one, 3)
            for one in (found.metrics[name] for name in methods))])
    blocks: list[Block] = [Heading(f"{metric_name(results.metric)} by known steps"), Text(
        f"The same {count(n)} questions of the report window, asked with no more than so many of each shopper's newest steps "
        "known.")]
    if "known_steps" in plots:
        blocks.append(Figure("known_steps", f"{metric_name(results.metric)} of every ranker by known steps"))
    return [*blocks, Table(["known steps", *map(method_name, methods)], rows)]


def _method_table(results: Results, name: str) -> Table:
    methods = [m for m in results.methods if name in m.metrics]
    metrics = sorted({metric for m in methods for metric in m.metrics[name]},
                     key=lambda metric: (metric != results.metric, metric))

    def level(method: MethodResult) -> float:
        interval = method.metrics[name].get(results.metric)
        return interval.mean if interval else -1.0

    extras = [("coverage", "coverage", share), ("novelty", "novelty, bits", lambda x: value(x, 1)),
              ("long_tail_recall", "long-tail recall", lambda x: value(x, 3))] if name == "all" else []
    extras = [extra for extra in extras if any(getattr(m, extra[0]) is not None for m in methods)]
    rows = []
    for method in sorted(methods, key=level, reverse=True):
        label = f"**{method_name(method.method)}**" if method.ours else method_name(method.method)
        cells = [with_interval(method.metrics[name].get(metric), 3) if metric == results.metric else
                 value(getattr(method.metrics[name].get(metric), "mean", None), 3) for metric in metrics]
        rows.append([label, *cells, *(show(getattr(method, field)) for field, _, show in extras)])
    headers = ["method", *map(metric_name, metrics), *(title for _, title, _ in extras)]
    return Table(headers, rows)


def exposure_section(results: Results, plots: set[str]) -> list[Block]:
    exposures = results.exposures
    if exposures is None:
        return []
    rows: list[list[Entry]] = [
        [f"**{method_name(m.method)}**" if m.ours else method_name(m.method), value(m.auc), value(m.uauc),
         value(m.log_loss), value(m.calibration_error), gain_cell(exposures.uauc_gains.get(m.method))]
        for m in sorted(exposures.methods, key=lambda m: -(m.uauc or 0.0))]
    blocks: list[Block] = [
        Heading("Exposures"),
        Text(f"{count(exposures.rows)} impressions shown to {count(exposures.users)} users, {exposures.first}"
             f" … {exposures.last}; {share(exposures.base_rate)} led to the positive event."),
        Table(["method", "pooled AUC", "user AUC", "log-loss", "calibration error", "our user AUC minus its"],
              rows)]
    if policy := exposures.policy:
        blocks.append(Text(
            f"Off-policy, from the logged propensities: what was shown earned {with_interval(policy.logged, 4)} per "
            f"impression; drawn from the base's ranking instead {with_interval(policy.snips, 4)} (SNIPS; IPS "
            f"{with_interval(policy.ips, 4)}), on {count(round(policy.effective_rows))} effective rows, mean weight "
            f"{value(policy.mean_weight, 2)} (1 where propensities are right and cover the base's choices)."))
    if "reliability" in plots:
        blocks.append(Figure("reliability", "predicted against observed probability"))
    return blocks


def student_section(results: Results) -> list[Block]:
    student = results.student
    if student is None:
        return []
    facts = [("size", f"{value(student.megabytes, 1)} MB", student.megabytes),
             ("share of the teacher's top 10", share(student.top10_overlap), student.top10_overlap),
             ("cosine to the teacher's vectors", value(student.cosine, 3), student.cosine)]
    lines = [f"{name}: {shown}" for name, shown, measured in facts if measured is not None]
    return [Heading("Student"), Bullets(lines + [f"{name}: {shown}" for name, shown in student.facts.items()])]


def training_section(results: Results, plots: set[str]) -> list[Block]:
    if "training" not in plots:
        return []
    return [Heading("Training"), Figure("training", "training curves, one panel per run")]


def leakage_section(results: Results) -> list[Block]:
    """Verdicts in one table; every single check is folded away unless one does not hold."""
    if not results.certificates:
        return []
    rows: list[list[Entry]] = [
        [c.name, Cell("holds" if c.holds else "broken", "good" if c.holds else "bad"), c.temporal,
         count(len(c.checks)), count(sum(not check.holds for check in c.checks))]
        for c in sorted(results.certificates, key=lambda c: c.holds)]
    table = Table(["model", "verdict", "in time", "checks", "not held"], rows, words=3)
    details = [[c.name, check.name, "holds" if check.holds else "does not hold", check.detail
                + (f" ({', '.join(check.culprits)})" if check.culprits else "")]
               for c in results.certificates for check in c.checks]
    failed = [row for row in details if row[2] != "holds"]
    headers = ["model", "check", "result", "what was compared"]
    return [Heading("Leakage certificates"), table,
            *([Table(headers, failed, words=4)] if failed else []),
            Folded("Every check", [Table(headers, details, words=4)])]


def data_section(results: Results) -> list[Block]:
    shop = results.shop
    facts = [f"{count(shop.users)} users, {count(shop.items)} items"
             + (f" with {count(shop.distinct_texts)} distinct texts" if shop.distinct_texts else "")
             + f", {count(shop.events)} events, {count(shop.exposures)} impressions."]
    if shop.quarantined:
        facts.append(f"{count(sum(shop.quarantined.values()))} rows set aside: " + ", ".join(
            f"{reason} {count(rows)}" for reason, rows in
            sorted(shop.quarantined.items(), key=lambda pair: (-pair[1], pair[0]))) + ".")
    rows = [[w.name, w.first, w.last, count(w.queries), count(w.users),
             count(w.targets) if w.targets is not None else "–", share(w.repeat_share)]
            for w in results.windows]
    headers = ["window", "from", "to", "queries", "users", "targets", "repeats"]
    return [Heading("Data and windows"), Bullets(facts), Table(headers, rows, words=3)]


def reading_section(results: Results) -> list[Block]:
    return [Heading("How to read this"), Bullets([
        "**Query:** all positive events of one user at one time; the history is everything strictly earlier, "
        "and the whole catalogue is ranked. Equal scores count at their expected rank.",
        "**Repeats** are targets that the history already holds; **first-time** targets are ranked among the "
        "items that it does not hold.",
        "**Intervals** are 95%, from drawing users (not queries) with replacement, paired between methods.",
        "**Audience:** none, little or full: each segment's questions are asked with no history, with the newest 1, 2 or "
        "4 steps, and with all of it. An adapter serves only the audiences it was promoted for.",
        "**Gain:** adapted minus base on the same questions, within the segment's candidates. A shopper's own events never "
        "count among the shots that answer them.",
        "**Segment popularity:** the shots counted, nothing else. **Counting:** the same, the base breaking ties. "
        "**Placebo:** another member's adapter, or as many shots from outside the segment; an adapter that gains no more "
        "has learned nothing about its segment.",
        "**Detectable:** the smallest true gain that these rows would show, with 80% power.",
        "**Pays from K:** the fewest shots per member from which on, at every larger number measured, adapting beats the "
        "base (interval above zero), nothing known of the shoppers.",
        "**p (Holm):** of the gate's hardest comparison, corrected over all segments and audiences judged.",
        "**User AUC** asks only whether each user's own exposures are ordered well; pooled AUC also rewards "
        "knowing who buys. **Calibration error:** mean gap between probability and rate, in bins of equal "
        "mass."])]
