"""The report's section on fairness: who is ranked for worse than others, and what is shown less than it is taken."""

from __future__ import annotations

from recsys_core.evaluation import Results
from recsys_core.report.base_sections import count, gain_cell, metric_name, share, value, with_interval
from recsys_core.report.document import Block, Cell, Entry, Heading, Table, Text


def fairness_section(results: Results) -> list[Block]:
    """Ranking quality by groups of shoppers, where the shop declares any, and exposure by groups of items."""
    found = results.fairness
    if found is None or not (found.shoppers or found.items):
        return []
    metric = metric_name(results.metric)
    blocks: list[Block] = [Heading("Fairness"), Text(
        "Of the base, on the questions of the report window, every shopper with the history that is known. A difference is "
        "coloured where its 95% interval leaves zero out.")]
    if found.shoppers:
        rows: list[list[Entry]] = [
            [one.column, one.group, count(one.users), count(one.questions), with_interval(one.quality, 3),
             gain_cell(one.gap) if one.gap else Cell("too few to say", "muted"), share(one.lacks)] for one in found.shoppers]
        blocks.append(Table(["column", "group", "shoppers", "questions", metric, "minus all others", "lacks"], rows, words=2))
    else:
        blocks.append(Text("The shop declares no groups of shoppers (`fairness: users` of shop.yaml)."))
    if found.items:
        blocks.append(Text("Exposure is the attention that the lists give a group of items: places count by their discount in "
                           "NDCG. It stands beside the group's share of what was taken at the same questions."))
        items: list[list[Entry]] = [
            [one.column, one.group, count(one.items), with_interval(one.exposure, 3), value(one.taken, 3),
             gain_cell(one.gap, 3), share(one.lacks)] for one in found.items]
        blocks.append(Table(["column", "group", "items", "exposure", "taken", "exposure minus taken", "lacks"], items, words=2))
    return blocks


def fairness_words(results: Results) -> list[str]:
    """The worst gap of either kind, in the summary; nothing where no group lags behind."""
    found, words = results.fairness, []
    behind = [one for one in (found.shoppers if found else []) if one.gap and one.gap.high < 0 and one.lacks is not None]
    if behind:
        worst = max(behind, key=lambda one: one.lacks or 0.0)
        words.append(f"**Fairness:** of the declared groups of shoppers {worst.column} {worst.group} lags furthest behind: "
                     f"{metric_name(results.metric)} {value(worst.quality.mean, 3)}, {share(worst.lacks)} below all others.")
    elif found and found.shoppers:
        words.append("**Fairness:** no declared group of shoppers is proven to be ranked for worse than all others.")
    return words
