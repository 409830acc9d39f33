"""Completions of a prefix: what the catalogue calls its items, categories and brands, the most taken first."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from recsys_core.retrieval.analysis import fold
from recsys_core.retrieval.spelling import MOST_LETTERS, edits
from recsys_core.schema import CATEGORY_SEPARATOR

MOST_PHRASES = 200_000  # the heaviest are kept
SEEN = 2_000  # phrases whose letters a mistyped prefix may have had
LEAST_CORRECTED = 3  # letters of a prefix that may be mistyped
LAST = "\U0010ffff"  # sorts after every character


class Phrases:
    """Phrases that are found by how they, or one of their words, begin.

    Args:
        weights: phrase → how often it is wanted, ≥ 0.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        heaviest: dict[str, tuple[float, str]] = {}
        for phrase, weight in weights.items():  # spelled two ways, it is one phrase
            folded = fold(phrase)
            if folded and (folded not in heaviest or weight > heaviest[folded][0]):
                heaviest[folded] = weight, phrase
        kept = sorted(heaviest.items(), key=lambda one: (-one[1][0], one[0]))[:MOST_PHRASES]
        self._phrases = [phrase for _, (_, phrase) in kept]
        entries = sorted((tail, place) for place, (folded, _) in enumerate(kept) for tail in _tails(folded))
        self._tails = [tail for tail, _ in entries]
        self._places = np.array([place for _, place in entries], np.int64)
        letters = Counter(letter for _, (_, phrase) in kept[:SEEN] for letter in fold(phrase) if letter.isalpha())
        self._letters = "".join(letter for letter, _ in letters.most_common(MOST_LETTERS))

    def complete(self, prefix: str, k: int) -> list[str]:
        """At most k phrases, the heaviest first; a mistyped prefix is read as one a letter away that begins some."""
        wanted = fold(prefix)
        places = self._begun(wanted)
        if not len(places) and len(wanted) >= LEAST_CORRECTED:
            near = dict.fromkeys(edits(wanted, self._letters))
            places = np.concatenate([np.zeros(0, np.int64), *(self._begun(other) for other in near if len(other) > 1)])
        return [self._phrases[place] for place in np.unique(places)[:k].tolist()]  # places are in order of weight

    def _begun(self, wanted: str) -> np.ndarray:
        low, high = bisect_left(self._tails, wanted), bisect_left(self._tails, wanted + LAST)
        return self._places[low:high] if wanted else np.arange(len(self._phrases))


def gather_phrases(columns: Mapping[str, Sequence[str | None]], taken: Sequence[float]) -> Phrases:
    """The values of items' columns, a category's levels each on its own, by how often their items were taken.

    Args:
        columns: name → the value of each of N items.
        taken: N counts.
    """
    weights: dict[str, float] = {}
    for values in columns.values():
        of_value: dict[str, float] = {}
        for value, count in zip(values, taken, strict=True):
            if value:
                of_value[value] = of_value.get(value, 0.0) + count
        total: dict[str, float] = {}
        for value, count in of_value.items():  # many items share one
            for name in set(value.split(CATEGORY_SEPARATOR)):
                total[name] = total.get(name, 0.0) + count
        for name, count in total.items():
            weights[name] = max(weights.get(name, 0.0), count)
    return Phrases(weights)


def _tails(folded: str) -> Iterator[str]:
    """A phrase from each of its words on."""
    words = folded.split(" ")
    return (" ".join(words[at:]) for at in range(len(words)))
