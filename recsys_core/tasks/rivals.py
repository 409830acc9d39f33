"""What anybody gets without adapting: the trivial answers that an adapter must beat, learned from the same examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from recsys_core.retrieval import EncodesQueries
from recsys_core.tasks.labels import Example
from recsys_core.words import tokenize

SMOOTHED = 0.5  # of an occurrence that every class is given of every word


def majority_class(train: Sequence[Example], asked: Sequence[Example]) -> list[str]:
    """The class that most examples have, whatever is asked."""
    counts = Counter(label for one in train for label in one.labels)
    return [min(counts, key=lambda label: (-counts[label], label))] * len(asked)


def nearest_name(encoder: EncodesQueries, train: Sequence[Example], asked: Sequence[Example]) -> list[str]:
    """The class whose name means what the text means."""
    names = sorted({label for one in train for label in one.labels})
    vectors = encoder.encode([" ".join(name.replace("_", " ").split()).lower() for name in names])
    return [names[best] for best in (encoder.encode([one.text for one in asked]) @ vectors.T).argmax(axis=1).tolist()]


def class_by_words(train: Sequence[Example], asked: Sequence[Example]) -> list[str]:
    """Naive Bayes over words (multinomial, McCallum & Nigam 1998)."""
    names = sorted({label for one in train for label in one.labels})
    words = {word: place for place, word in enumerate(sorted({word for one in train for word in tokenize(one.text)}))}
    counts, prior = np.full((len(names), len(words)), SMOOTHED), np.full(len(names), SMOOTHED)
    for one in train:
        for label in one.labels:
            np.add.at(counts[names.index(label)], [words[word] for word in tokenize(one.text)], 1)
            prior[names.index(label)] += 1
    odds = np.log(counts) - np.log(counts.sum(axis=1, keepdims=True))
    known = [[words[word] for word in tokenize(one.text) if word in words] for one in asked]
    return [names[int((np.log(prior) + odds[:, row].sum(axis=1)).argmax())] for row in known]


def known_values(train: Sequence[Example], asked: Sequence[Example]) -> list[dict[str, str]]:
    """Of every attribute the longest value among the examples' that stands in the text as words."""
    values = {(attribute, tuple(tokenize(words))): words for one in train for attribute, words in one.spans}
    found = []
    for one in asked:
        said = tokenize(one.text)
        runs = {tuple(said[start:end]) for start in range(len(said)) for end in range(start + 1, min(start + 9, len(said) + 1))}
        best: dict[str, str] = {}
        for (attribute, words), value in values.items():
            if words in runs and len(value) > len(best.get(attribute, "")):
                best[attribute] = value
        found.append(best)
    return found


def grade_by_words(asked: Sequence[Example]) -> list[float]:
    """The share of the query's words that stand in the item's text."""
    return [shared_words(one.query or "", one.text) for one in asked]


def grade_by_meaning(encoder: EncodesQueries, asked: Sequence[Example]) -> list[float]:
    """The cosine of the query's and the item's vectors."""
    return np.einsum("nd,nd->n", encoder.encode([one.query or "" for one in asked]),
                     encoder.encode([one.text for one in asked])).tolist()


def shared_words(query: str, text: str) -> float:
    """Which share of a query's words a text has.

    >>> shared_words("red mugs", "A red mug. Alder"), shared_words("blue mug", "A red mug"), shared_words("?", "mug")
    (1.0, 0.5, 0.0)
    """
    asked = set(tokenize(query))
    return len(asked & set(tokenize(text))) / len(asked) if asked else 0.0
