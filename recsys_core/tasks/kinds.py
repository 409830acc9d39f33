"""The three kinds of tasks behind one form: how each learns, answers, and is judged beside its rivals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_core.tasks import rivals
from recsys_core.tasks.labels import Example, Kind

if TYPE_CHECKING:
    from recsys_core.tasks.classes import ReadsTexts


class TaskKind(ABC):
    """What a kind of task does with examples; an adapter is what its `fit` returns."""

    measure: str  # what `scores` says, in words

    @abstractmethod
    def fit(self, encoder: ReadsTexts, examples: Sequence[Example], task: str) -> Any:
        """Learn from examples; the adapter saves itself into a folder."""

    @abstractmethod
    def load(self, folder: Path, encoder: ReadsTexts) -> Any:
        """Read what an adapter saved; raises AdapterError where it was made with another encoder."""

    @abstractmethod
    def answers(self, adapter: Any, encoder: ReadsTexts, examples: Sequence[Example]) -> list[Any]:
        """The adapter's best answer to every example, sure or not."""

    @abstractmethod
    def rivals(self, encoder: ReadsTexts, train: Sequence[Example], asked: Sequence[Example]) -> dict[str, list[Any]]:
        """The same of every trivial rival, by its name in words."""

    @abstractmethod
    def scores(self, answers: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """How right answers are, in [0, 1], by the examples' groups."""

    @abstractmethod
    def measures(self, adapter: Any, encoder: ReadsTexts, examples: Sequence[Example]) -> dict[str, float]:
        """What to tell people of an adapter's answers to examples that it did not learn from."""

    def thresholds(self, adapter: Any) -> dict[str, float]:
        """Below which probability an adapter names nothing; a kind that always answers has none."""
        return {}


class ClassesKind(TaskKind):
    """Classes of texts."""

    measure = "share of texts whose likeliest class is right"

    def fit(self, encoder: ReadsTexts, examples: Sequence[Example], task: str) -> Any:
        from recsys_core.tasks.classes import fit_classes

        rows = [(one.text, label) for one in examples for label in one.labels]
        return fit_classes(encoder, [text for text, _ in rows], [label for _, label in rows], task=task)

    def load(self, folder: Path, encoder: ReadsTexts) -> Any:
        from recsys_core.tasks.classes import ClassAdapter

        return ClassAdapter.load(folder, encoder)

    def answers(self, adapter: Any, encoder: ReadsTexts, examples: Sequence[Example]) -> list[Any]:
        best = adapter.probabilities(encoder, [one.text for one in examples]).argmax(axis=1)
        return [adapter.labels[place] for place in best.tolist()]

    def rivals(self, encoder: ReadsTexts, train: Sequence[Example], asked: Sequence[Example]) -> dict[str, list[Any]]:
        return {"the largest class": rivals.majority_class(train, asked),
                "the nearest class name": rivals.nearest_name(encoder, train, asked),
                "words alone": rivals.class_by_words(train, asked)}

    def scores(self, answers: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        return {one.group: float(answer in one.labels) for answer, one in zip(answers, examples, strict=True)}

    def measures(self, adapter: Any, encoder: ReadsTexts, examples: Sequence[Example]) -> dict[str, float]:
        best = self.answers(adapter, encoder, examples)
        told = [[label for label, _ in found] for found in adapter.predict(encoder, [one.text for one in examples])]
        right = [answer in one.labels for answer, one in zip(best, examples, strict=True)]
        sure = [found[0] in one.labels for found, one in zip(told, examples, strict=True) if found]
        return {"accuracy": float(np.mean(right)), "macro_f1": _macro_f1(best, examples), "coverage": len(sure) / len(told),
                **({"accuracy_when_sure": float(np.mean(sure))} if sure else {})}

    def thresholds(self, adapter: Any) -> dict[str, float]:
        return {"unsure_below": adapter.settings["unsure_below"]}


class SpansKind(TaskKind):
    """Attributes in texts."""

    measure = "F1 of a text's attributes, values as exact words"

    def fit(self, encoder: ReadsTexts, examples: Sequence[Example], task: str) -> Any:
        from recsys_core.spans import fit_spans

        return fit_spans(encoder, [one.text for one in examples], [list(one.spans) for one in examples],
                         [one.product.category for one in examples], task=task)

    def load(self, folder: Path, encoder: ReadsTexts) -> Any:
        from recsys_core.spans import SpanAdapter

        return SpanAdapter.load(folder, encoder)

    def answers(self, adapter: Any, encoder: ReadsTexts, examples: Sequence[Example]) -> list[Any]:
        return adapter.extract(encoder, [one.text for one in examples], [one.product.category for one in examples])

    def rivals(self, encoder: ReadsTexts, train: Sequence[Example], asked: Sequence[Example]) -> dict[str, list[Any]]:
        return {"the examples' values found as words": rivals.known_values(train, asked)}

    def scores(self, answers: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        found = {}
        for answer, one in zip(answers, examples, strict=True):
            right, asked = _right_attributes(answer, one)
            found[one.group] = 2 * right / (len(answer) + asked) if answer or asked else 1.0
        return found

    def measures(self, adapter: Any, encoder: ReadsTexts, examples: Sequence[Example]) -> dict[str, float]:
        answers = self.answers(adapter, encoder, examples)
        counts = [_right_attributes(answer, one) for answer, one in zip(answers, examples, strict=True)]
        right, asked, told = sum(r for r, _ in counts), sum(a for _, a in counts), sum(map(len, answers))
        return {"micro_precision": right / max(told, 1), "micro_recall": right / max(asked, 1),
                "micro_f1": 2 * right / max(told + asked, 1)}


class MatchKind(TaskKind):
    """How well items answer queries."""

    measure = "NDCG of a query's items by their grades"

    def fit(self, encoder: ReadsTexts, examples: Sequence[Example], task: str) -> Any:
        from recsys_core.tasks.match import fit_match

        return fit_match(encoder, [one.query or "" for one in examples], [one.product for one in examples],
                         [one.grade for one in examples], task=task)

    def load(self, folder: Path, encoder: ReadsTexts) -> Any:
        from recsys_core.tasks.match import MatchAdapter

        return MatchAdapter.load(folder, encoder)

    def answers(self, adapter: Any, encoder: ReadsTexts, examples: Sequence[Example]) -> list[Any]:
        return adapter.grades(encoder, [one.query or "" for one in examples], [one.product for one in examples]).tolist()

    def rivals(self, encoder: ReadsTexts, train: Sequence[Example], asked: Sequence[Example]) -> dict[str, list[Any]]:
        return {"words alone": rivals.grade_by_words(asked), "meaning alone": rivals.grade_by_meaning(encoder, asked)}

    def scores(self, answers: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        by_query: dict[str, list[tuple[float, float]]] = {}
        for answer, one in zip(answers, examples, strict=True):
            by_query.setdefault(one.group, []).append((answer, one.grade))
        return {query: graded_ndcg(*np.array(pairs).T) for query, pairs in by_query.items()
                if len({grade for _, grade in pairs}) > 1}  # a query whose items are all alike orders nothing

    def measures(self, adapter: Any, encoder: ReadsTexts, examples: Sequence[Example]) -> dict[str, float]:
        answers = self.answers(adapter, encoder, examples)
        off = np.abs(np.array(answers) - adapter.scaled([one.grade for one in examples])).mean()
        ordered = self.scores(answers, examples)
        return {"mean_absolute_error": float(off), **({"ndcg": float(np.mean(list(ordered.values())))} if ordered else {})}


KINDS: dict[Kind, TaskKind] = {"classes": ClassesKind(), "spans": SpansKind(), "match": MatchKind()}


def graded_ndcg(scores: np.ndarray, grades: np.ndarray) -> float:
    """NDCG of a whole list (Järvelin & Kekäläinen 2002); the gain is the grade above the worst; ties count at their mean.

    Args:
        scores: float [n], the order. grades: float [n], not all equal.

    >>> graded_ndcg(np.array([2.0, 1.0]), np.array([1.0, 0.0])), round(graded_ndcg(np.zeros(2), np.array([1.0, 0.0])), 3)
    (1.0, 0.815)
    """
    gains = grades - grades.min()
    discounts = 1 / np.log2(np.arange(2, len(gains) + 2))
    order = np.argsort(-scores, kind="stable")
    _, tied = np.unique(-scores[order], return_inverse=True)
    shared = np.bincount(tied, discounts) / np.bincount(tied)
    return float(gains[order] @ shared[tied] / (np.sort(gains)[::-1] @ discounts))


def _right_attributes(answer: dict[str, str], one: Example) -> tuple[int, int]:
    """How many attributes are answered with one of their values in the text, and how many the text has."""
    truth: dict[str, set[str]] = {}
    for attribute, words in one.spans:
        truth.setdefault(attribute, set()).add(words.casefold())
    return sum(words.casefold() in truth.get(attribute, ()) for attribute, words in answer.items()), len(truth)


def _macro_f1(answers: Sequence[str], examples: Sequence[Example]) -> float:
    """Mean F1 over the classes that the examples have."""
    found = []
    for label in {label for one in examples for label in one.labels}:
        told, true = np.array([a == label for a in answers]), np.array([label in one.labels for one in examples])
        found.append(2 * (told & true).sum() / (told.sum() + true.sum()))
    return float(np.mean(found))
