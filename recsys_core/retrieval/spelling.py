"""Reading a query's words as an index knows them: compounds joined and split, words one edit away from a known one corrected.

A noisy channel (Kernighan, Church & Gale 1990): among the known words one insertion, deletion, swap or replacement away, first
letter included, those count that many documents have, most of all documents that have the query's other words. What is not
decided is shared out, so a wrong guess costs little.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from recsys_core.retrieval.analysis import analyse, fold, joins, stem
from recsys_core.words import HAN

MOST_LETTERS = 40
SHORTEST, LONGEST = 3, 24  # letters of a word that is corrected
MOST_CORRECTED = 8  # words of a query
CANDIDATES = 3
STRANGER = 0.01  # what a document without the query's other words counts, beside the squared score of one with them
MADE_UP = {3: 0.3, 4: 0.2, 5: 0.1}  # how likely a strange word of so many letters is a word of its own, though one edit away
MADE_UP_LONGER = 0.03
CHANCE = 4  # letters up to which a random string often is one edit from some word
RARE, SURE = 2, 50.0  # documents of a word that may be a typo itself, and how many times likelier it is not
PART = 0.5  # what the parts of a compound count beside the compound


@dataclass(frozen=True)
class Term:
    """One word of a query.

    Args:
        word: as analysed.
        tokens: rows of the vocabulary with the share that each has of the word.
        missing: share that no known word has.
        meant: the known words it was taken for, where it was corrected; "" elsewhere.
        sure: it is known, or what it was taken for is hardly chance.
    """

    word: str
    tokens: tuple[tuple[int, float], ...]
    missing: float = 0.0
    meant: str = ""
    sure: bool = False


@dataclass(frozen=True)
class Reading:
    """A query as an index knows it.

    Args:
        terms: its distinct words.
        text: the query with corrected words in place of mistyped ones.
    """

    terms: tuple[Term, ...]
    text: str

    @property
    def vouched(self) -> bool:
        """Whether a word of the query is known; one that was corrected only counts where few others are as near."""
        return any(term.sure for term in self.terms)

    @property
    def corrected(self) -> dict[str, str]:
        """Mistyped word → what it was taken for."""
        return {term.word: term.meant for term in self.terms if term.meant}


class Words(Protocol):
    """What reading needs of a lexical index."""

    @property
    def token_row(self) -> Mapping[str, int]: ...
    @property
    def letters(self) -> str: ...
    @property
    def places(self) -> np.ndarray: ...
    def postings(self, row: int) -> slice: ...
    def frequency(self, row: int) -> int: ...
    def scores(self, terms: Sequence[Term]) -> np.ndarray | None: ...


def read_terms(query: str, index: Words) -> Reading:
    """Find a clean query's words in an index.

    Where Chinese characters stand together, two neighbours that no document has may be the end of one word and the begin of
    the next: their characters are asked for, as parts of words, and none of these vouches for the query alone.
    """
    spoken = analyse(query)
    tokens, parts = list(dict.fromkeys(spoken)), set()
    for first, second in joins(spoken, index.token_row):
        parts |= {first, second}
        tokens.append(first + second)
    loose = {character for token in spoken if len(token) > 1 and HAN.fullmatch(token) for character in token}
    tokens = [token for token in dict.fromkeys(tokens)
              if token in index.token_row or not (_is_joined(token, spoken) or (len(token) > 1 and loose.issuperset(token)))]
    terms = [Term(token, ((row, PART if token in parts or token in loose else 1.0),), sure=token not in loose)
             if (row := index.token_row.get(token)) is not None else Term(token, (), 1.0) for token in tokens]
    doubtful = [at for at, term in enumerate(terms) if _may_be_mistyped(term, index)][:MOST_CORRECTED]
    if doubtful:
        others = index.scores([term for at, term in enumerate(terms) if at not in doubtful])
        spelt = {read[0]: fold(word) for word in query.split() if len(read := analyse(word)) == 1}
        for at in doubtful:
            terms[at] = _corrected(terms[at], spelt.get(terms[at].word, ""), index, others)
    meant = {term.word: term.meant for term in terms if term.meant}
    return Reading(tuple(terms), _rewritten(query, meant) if meant else query)


def _is_joined(token: str, spoken: Sequence[str]) -> bool:
    """Whether a token only repeats those before it, as analysis joins a hyphenated word."""
    at = spoken.index(token) if token in spoken else 0
    return any("".join(spoken[start:at]) == token for start in range(max(0, at - 4), at - 1))


def _may_be_mistyped(term: Term, index: Words) -> bool:
    if not (SHORTEST <= len(term.word) <= LONGEST and term.word.isalpha()):
        return False
    return not term.tokens or (len(term.word) > SHORTEST + 1 and index.frequency(term.tokens[0][0]) <= RARE)


def _corrected(term: Term, spelt: str, index: Words, others: np.ndarray | None) -> Term:
    """A doubtful word shared out among the words it may be; what was lost may have been no plural ("chees")."""
    word = term.word
    near = list(edits(word, index.letters))
    if spelt != word and spelt.isalpha():
        near += map(stem, edits(spelt, index.letters))
    named = {row: other for other in near
             if (row := index.token_row.get(other)) is not None and len(other) >= SHORTEST and other.isalpha()}
    heard = {row: _mass(row, index, others) for row in named}
    if term.tokens:  # known, but rare
        own = term.tokens[0][0]
        heard[own] = SURE * _mass(own, index, others)
    best = sorted(heard, key=lambda row: (-heard[row], row))[:CANDIDATES]
    split = None if term.tokens else _split(word, index)
    if split and split[0] >= (heard[best[0]] if best else 0):
        return Term(word, tuple((row, 1.0) for row in split[1]), meant=split[2], sure=True)
    if not best:
        return term
    unknown = 0.0 if term.tokens else MADE_UP.get(len(word), MADE_UP_LONGER)
    shares = np.array([heard[row] for row in best])
    shares *= (1 - unknown) / shares.sum()
    name = named.get(best[0], word)
    sure = bool(term.tokens) or (len(word) > CHANCE and index.frequency(best[0]) > RARE)
    return Term(word, tuple(zip(best, shares.tolist(), strict=True)), unknown, "" if name == word else name, sure)


def _mass(row: int, index: Words, others: np.ndarray | None) -> float:
    """How well a word fits: documents that have it, most of all those with the query's other words."""
    if others is None:
        return STRANGER * index.frequency(row)
    beside = others[index.places[index.postings(row)]]
    return STRANGER * len(beside) + float(beside @ beside)


def _split(word: str, index: Words) -> tuple[float, tuple[int, int], str] | None:
    """The two known words that a word is, where documents have both: how well they fit, their rows, and how they read."""
    best = None
    for at in range(2, len(word) - 1):
        first, second = index.token_row.get(word[:at]), index.token_row.get(stem(word[at:]))
        if first is None or second is None or min(at, len(word) - at) < SHORTEST:
            continue
        both = np.intersect1d(index.places[index.postings(first)], index.places[index.postings(second)], assume_unique=True)
        if len(both) and (best is None or STRANGER * len(both) > best[0]):
            best = STRANGER * len(both), (first, second), f"{word[:at]} {word[at:]}"
    return best


def edits(word: str, letters: str) -> Iterator[str]:
    """Every word one edit away: swaps, deletions, replacements, insertions; the first letter may change too.

    >>> sorted(edits("ab", "c"))
    ['a', 'abc', 'ac', 'acb', 'b', 'ba', 'cab', 'cb']
    """
    halves = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    for head, tail in halves:
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        if tail:
            yield head + tail[1:]
    for head, tail in halves:
        for letter in letters:
            if tail:
                yield head + letter + tail[1:]
            yield head + letter + tail


def _rewritten(query: str, meant: Mapping[str, str]) -> str:
    words = query.split()
    for at, word in enumerate(words):
        read = analyse(word)
        if len(read) == 1 and read[0] in meant:
            words[at] = meant[read[0]]
    return " ".join(words)
