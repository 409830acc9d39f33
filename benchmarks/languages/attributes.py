"""Attributes of product titles (OA-Mine) beside a fine-tuned tagger with the same encoder, and beside trivial answers.

Protocol: exact match. A title's answer is a set of (attribute, value) pairs. A pair is right where the title has the attribute
with that value, letter case and runs of spaces aside. Micro-F1 is over all pairs of all titles. Settings were chosen on titles
held out of the training file; the test file only measures. The category is given to everybody. The interval draws titles, for
both sides the same. At 5 and 20 examples per category the examples are drawn three times.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.languages.tagger import Recipe, Tagger
from benchmarks.record import ROOT, Bar
from recsys_core.amounts import normalise
from recsys_core.spans import fit_spans, token_bounds
from recsys_core.student import ONNX, OnnxEncoder

log = logging.getLogger(__name__)

GOAL, STRETCH = -0.02, 0.80
DRAWS, SHOTS, REPEATS = 3, (5, 20), 2_000
Answers = list[dict[str, str]]
Counts = np.ndarray  # float64 [n, 3], per title: right pairs, answered pairs, true pairs


@dataclass(frozen=True)
class Titles:
    """Texts, their (attribute, value) pairs and their categories."""

    texts: list[str]
    spans: list[list[tuple[str, str]]]
    categories: list[str]

    def some(self, rows: Sequence[int]) -> Titles:
        """The titles of these rows."""
        return Titles(*([part[row] for row in rows] for part in (self.texts, self.spans, self.categories)))


def measure(bundle: Path) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables; `bundle` gives the encoder."""
    import torch

    torch.set_num_threads(1)
    encoder = OnnxEncoder.load(bundle / "student" / ONNX)
    train, test = read_titles("train"), read_titles("test")
    answers, seconds = {}, {}
    for name, learn in (("ours", _ours(encoder)), ("fine-tuned tagger", fine_tuned),
                        ("values seen, found as words", seen_values), ("likeliest value of the category", likeliest_values)):
        began = time.perf_counter()
        extract = learn(train)
        learned = time.perf_counter()
        answers[name] = extract(test)
        seconds[name] = learned - began, (time.perf_counter() - learned) / len(test.texts)
        log.info("attributes: %s has F1 %.3f", name, micro_f1(count_pairs(answers[name], test)))
    counts = {name: count_pairs(one, test) for name, one in answers.items()}
    low, high = _interval(counts["ours"], counts["fine-tuned tagger"])
    full = micro_f1(counts["ours"])
    bars = [Bar("attributes.micro_f1_minus_tagger", full - micro_f1(counts["fine-tuned tagger"]), ">=", GOAL, low, high,
                len(test.texts), "exact match; the tagger is the same encoder fine-tuned end to end; bootstrap over titles")]
    curve = {shots: [_at(encoder, train, test, shots, seed) for seed in range(DRAWS)] for shots in SHOTS}
    bars += [Bar(f"attributes.micro_f1@{shots}", float(np.mean([one["ours"] for one in rows])), ">", float(
        np.mean([one["values seen, found as words"] for one in rows])), min(one["ours"] for one in rows),
        max(one["ours"] for one in rows), DRAWS, "least and most of the draws; the goal is the values seen, found as words")
        for shots, rows in curve.items()]
    bars.append(Bar("attributes.micro_f1@all", full, ">=", STRETCH, *_interval(counts["ours"]), len(test.texts), "a stretch"))
    return bars, {
        "attributes: everybody, all examples": [
            {"who": name, **_told(counts[name]), "values_as_amounts_f1": micro_f1(count_pairs(answers[name], test, as_amount)),
             "learn_s": seconds[name][0], "answer_ms": 1e3 * seconds[name][1]} for name in answers],
        "attributes: examples per category": [{"examples": shots, "draw": seed, **row} for shots, rows in curve.items()
                                              for seed, row in enumerate(rows)],
        "attributes: by attribute": _by_attribute(answers["ours"], answers["fine-tuned tagger"], test)}


def read_titles(part: str) -> Titles:
    """The titles of `train` or `test`."""
    folder = Path(os.environ.get("RECSYS_DATA", ROOT.parent / "shared" / "data")) / "attributes"
    rows = [json.loads(line) for line in (folder / f"oa-mine-{part}.jsonl").read_text(encoding="utf-8").splitlines()]
    spans = [[(name, value) for name, values in row["target_scores"].items() for value in values] for row in rows]
    return Titles([row["input"] for row in rows], spans, [row["category"] for row in rows])


def _ours(encoder: OnnxEncoder) -> Callable[[Titles], Callable[[Titles], Answers]]:
    def learn(train: Titles) -> Callable[[Titles], Answers]:
        adapter = fit_spans(encoder, train.texts, train.spans, train.categories, task="attributes")
        return lambda asked: adapter.extract(encoder, asked.texts, asked.categories)

    return learn


def fine_tuned(train: Titles) -> Callable[[Titles], Answers]:
    """The peer; see `tagger`."""
    tagger = Tagger(Recipe(), seed=0).fit(train.texts, train.spans, train.categories)
    return lambda asked: tagger.extract(asked.texts, asked.categories)


def seen_values(train: Titles) -> Callable[[Titles], Answers]:
    """Of every attribute the longest value that the category's examples have and that stands in the title as words."""
    known: defaultdict[tuple[str, tuple[str, ...]], set[str]] = defaultdict(set)
    for spans, category in zip(train.spans, train.categories, strict=True):
        for name, value in spans:
            known[category, _words(value)].add(name)

    def read(text: str, category: str) -> dict[str, str]:
        bounds, best = token_bounds(text, 256), dict[str, tuple[int, str]]()
        for begin in range(len(bounds)):
            for end in range(begin + 1, min(begin + 16, len(bounds)) + 1):
                value = text[bounds[begin][0]:bounds[end - 1][1]]
                for name in known.get((category, _words(value)), ()):
                    if end - begin > best.get(name, (0, ""))[0]:
                        best[name] = end - begin, value
        return {name: value for name, (_, value) in best.items()}

    return lambda asked: [read(*one) for one in zip(asked.texts, asked.categories, strict=True)]


def likeliest_values(train: Titles) -> Callable[[Titles], Answers]:
    """Majority: of every attribute that most of the category's examples have the commonest value, whatever the title."""
    counts: defaultdict[str, defaultdict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for spans, category in zip(train.spans, train.categories, strict=True):
        for name, value in spans:
            counts[category][name][value] += 1
    size = Counter(train.categories)
    answer = {category: {name: values.most_common(1)[0][0] for name, values in names.items()
                         if values.total() > size[category] / 2} for category, names in counts.items()}
    return lambda asked: [answer.get(category, {}) for category in asked.categories]


def as_words(value: str) -> str:
    """A value as it is compared: letter case and runs of spaces aside."""
    return " ".join(value.casefold().split())


def as_amount(value: str) -> str:
    """A value as it is compared once its units are normalised."""
    amount = normalise(value)
    return f"{amount.base:.4g} {amount.kind}" if amount else as_words(value)


def count_pairs(answers: Answers, truth: Titles, read: Callable[[str], str] = as_words) -> Counts:
    """Right, answered and true pairs of every title."""
    rows = []
    for answer, spans in zip(answers, truth.spans, strict=True):
        told, true = ({(name, read(value)) for name, value in pairs} for pairs in (answer.items(), spans))
        rows.append((len(told & true), len(told), len(true)))
    return np.array(rows, np.float64)


def micro_f1(counts: Counts) -> float:
    """Twice the right pairs over the answered and the true ones.

    >>> micro_f1(np.array([[1, 2, 1], [0, 0, 1]]))
    0.5
    """
    right, told, true = counts.sum(axis=0)
    return float(2 * right / max(told + true, 1))


def _told(counts: Counts) -> dict[str, float]:
    right, told, true = counts.sum(axis=0)
    return {"micro_f1": micro_f1(counts), "precision": float(right / max(told, 1)), "recall": float(right / max(true, 1))}


def _interval(counts: Counts, other: Counts | None = None) -> tuple[float, float]:
    """95% percentiles of micro-F1, or of the difference, over titles drawn with replacement."""
    rng, found = np.random.default_rng(0), []
    for _ in range(REPEATS):
        rows = rng.integers(0, len(counts), len(counts))
        found.append(micro_f1(counts[rows]) - (micro_f1(other[rows]) if other is not None else 0.0))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _at(encoder: OnnxEncoder, train: Titles, test: Titles, shots: int, seed: int) -> dict[str, float]:
    """F1 with so many examples of each category."""
    rng, categories = np.random.default_rng(seed), np.array(train.categories)
    few = train.some(np.concatenate([rng.choice(np.flatnonzero(categories == name), shots, replace=False)
                                     for name in np.unique(categories)]).tolist())
    ways = {"ours": _ours(encoder), "values seen, found as words": seen_values,
            "likeliest value of the category": likeliest_values}
    return {name: micro_f1(count_pairs(learn(few)(test), test)) for name, learn in ways.items()}


def _by_attribute(ours: Answers, tagger: Answers, test: Titles) -> list[dict[str, Any]]:
    """F1 of every attribute that at least 20 titles have."""
    rows = []
    for name, number in Counter(name for spans in test.spans for name, _ in spans).most_common():
        only = Titles(test.texts, [[pair for pair in spans if pair[0] == name] for spans in test.spans], test.categories)
        found = [micro_f1(count_pairs([{key: value for key, value in answer.items() if key == name} for answer in answers], only))
                 for answers in (ours, tagger)]
        if number >= 20:
            rows.append({"attribute": name, "titles": number, "ours": found[0], "tagger": found[1]})
    return rows


def _words(value: str) -> tuple[str, ...]:
    return tuple(value[begin:end].casefold() for begin, end in token_bounds(value, 256))
