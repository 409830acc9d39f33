"""The report's sections on search and on labelled tasks."""

from __future__ import annotations

from recsys_core.evaluation import Results, TaskResult
from recsys_core.report.base_sections import count, gain_cell, metric_name, share, value, with_interval
from recsys_core.report.document import Block, Bullets, Cell, Entry, Heading, Table, Text

WEIGHTS = {"text": "per unit of cosine (meaning)", "words": "for the best match of words",
           "popularity": "per unit of log popularity", "taste": "per standard deviation of the shopper's taste",
           "least_meaning": "cosine below which nothing fits"}


def search_section(results: Results) -> list[Block]:
    """What the weights of search were learned from, which they are, and how good it is where queries were judged."""
    search = results.search
    if search is None:
        return []
    gained = "" if search.gained is None else f"; NDCG@10 {'+' * (search.gained > 0)}{value(search.gained)} on held-out ones"
    rows: list[list[Entry]] = [[name, WEIGHTS[name], value(weight, 3)] for name, weight in search.weights.items()]
    blocks: list[Block] = [Heading("Search"), Text(f"Weights from: {search.source}. {count(search.queries)} queries{gained}."),
                           Table(["part", "weight", "logits"], rows, words=2)]
    if search.judged_by is None:
        return [*blocks, Text("Not judged: the shop has neither judgments nor enough clicks after searches.")]
    metrics = list(next(iter(search.slices.values())).metrics)
    judged: list[list[Entry]] = [
        [name, count(found.queries), *(with_interval(found.metrics[metric], 3) for metric in metrics), share(found.nothing)]
        for name, found in search.slices.items()]
    return [*blocks, Text(f"**Judged by {search.judged_by}**, over the whole catalogue, each query with weights that it did not "
                          "teach. Head, torso and tail: each a third of all searches, the queries asked most often first."),
            Table(["queries", "asked", *map(metric_name, metrics), "nothing fits"], judged)]


def task_section(results: Results) -> list[Block]:
    """Every labelled task, proven or refused, beside each of its rivals."""
    if not results.tasks:
        return []
    rows: list[list[Entry]] = [
        [task.name, task.kind, Cell("proven", "promoted") if task.proven else Cell("refused", "refused"), count(task.examples),
         count(task.groups), value(task.score, 3), value(task.unsure_below, 3), task.reason] for task in results.tasks]
    against: list[list[Entry]] = [[task.name, rival, value(score, 3), gain_cell(task.gains.get(rival), 3)]
                                  for task in results.tasks for rival, score in task.rivals.items()]
    measures = [f"**{task.name}:** {_told(task)}" for task in results.tasks if task.measure]
    return [Heading("Tasks"), Text("Each fold is answered by what the others taught. A task ships where it beats every rival."),
            Table(["task", "kind", "verdict", "rows", "left out", "score", "unsure below", "reason"], rows, words=3,
                  last_is_words=True),
            *([Table(["task", "rival", "its score", "gain over it"], against, words=2)] if against else []),
            *([Bullets(measures)] if measures else [])]


def understanding_words(results: Results) -> list[str]:
    """One sentence each on search and tasks, for the summary."""
    lines, search = [], results.search
    if search is not None and search.judged_by is not None:
        told = search.slices["all"]
        lines.append(f"**Search:** NDCG@10 {with_interval(told.metrics['ndcg@10'], 3)} on {count(told.queries)} queries, "
                     f"judged by {search.judged_by}; nothing fits {share(told.nothing)} of them.")
    if results.tasks:
        proven = [task.name for task in results.tasks if task.proven]
        lines.append(f"**Tasks:** {len(proven)} of {len(results.tasks)} beat every rival{': ' * bool(proven)}"
                     f"{', '.join(proven)}.")
    return lines


def _told(task: TaskResult) -> str:
    tested = ", ".join(f"{name.replace('_', ' ')} {value(one, 3)}" for name, one in task.test.items())
    return task.measure + (f"; on rows of the split test: {tested}" if tested else "") + "."
