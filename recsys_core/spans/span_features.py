"""What a token shows of the attribute that it belongs to: its form, its neighbours, its place, values seen elsewhere.

Every feature is a string. What says much within a category stands twice, alone and together with the category. Both are
shrunk alike, so a category with few examples relies on what holds for all of them (Daumé III 2007).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from math import log2

from recsys_core.amounts import unit_kind
from recsys_core.spans.tokens import token_bounds

ALWAYS, WORD = "always", "word="
NEAR, AFFIXES, FAR = 3, (1, 2, 3, 4), 6
BREAKS = frozenset(",|-–—(;:/[，、·")
OF_CATEGORY = (WORD, "form=", "word-1=", "word+1=", "end3=", "number", "unit=", "place=", ALWAYS, "seen=", "part=")
OF_NEIGHBOURS = ("seen=", "end3=", "unit=")
CATEGORY_MARK = "in "
LONGEST_VALUE = 10  # tokens of a value that is looked up
OFTEN = 3  # examples from which a value counts as often seen

WAY = 1  # another number for another way of making features
FEATURE_RULES = (WAY, NEAR, AFFIXES, FAR, sorted(BREAKS), OF_CATEGORY, OF_NEIGHBOURS, LONGEST_VALUE, OFTEN)


@dataclass
class Gazetteer:
    """Values seen in examples.

    Args:
        counts: folded tokens of a value → attribute → examples that have it.
    """

    counts: dict[tuple[str, ...], Counter[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Iterable[set[tuple[str, tuple[str, ...]]]]) -> Gazetteer:
        """Count the pairs of attribute and value's key that every example has."""
        found = cls()
        for one in pairs:
            for attribute, key in sorted(one):
                found.counts.setdefault(key, Counter())[attribute] += 1
        return found

    def features(self, folded: Sequence[str], own: set[tuple[str, tuple[str, ...]]]) -> list[list[str]]:
        """Of every token the attributes of the longest known values over it, and where in the value it stands.

        Args:
            folded: the text's tokens.
            own: the text's own pairs while learning: seen there alone, they count as unseen.
        """
        best: dict[tuple[int, str], tuple[int, int, int]] = {}
        for begin in range(len(folded)):
            for end in range(begin + 1, min(begin + LONGEST_VALUE, len(folded)) + 1):
                key = tuple(folded[begin:end])
                for attribute, count in self.counts.get(key, {}).items():
                    seen = count - ((attribute, key) in own)
                    if seen > 0:
                        for at in range(begin, end):
                            if end - begin > best.get((at, attribute), (0, 0, 0))[1]:
                                best[at, attribute] = (begin, end - begin, seen)
        found: list[list[str]] = [[] for _ in folded]
        for (at, attribute), (begin, length, seen) in best.items():
            place = "only" if length == 1 else "first" if at == begin else "last" if at == begin + length - 1 else "inner"
            found[at] += [f"seen={attribute}", f"seen={attribute}/{place}"]
            if seen >= OFTEN:
                found[at].append(f"often={attribute}/{place}")
        return found


def value_key(value: str, limit: int) -> tuple[str, ...]:
    """A value's folded tokens: what the gazetteer knows it by."""
    return tuple(value[begin:end].casefold() for begin, end in token_bounds(value, limit))


def token_features(tokens: Sequence[str], glued: Sequence[bool], seen: Sequence[list[str]],
                   category: str | None) -> list[list[str]]:
    """The features of every token of a text.

    Args:
        tokens: as written.
        glued: whether a token follows the one before without a space.
        seen: of every token, from `Gazetteer.features`.
        category: the text's, None where unknown.
    """
    folded, forms, places = [token.casefold() for token in tokens], [_forms(token) for token in tokens], _places(tokens)
    found = []
    for at in range(len(tokens)):
        one = [ALWAYS, f"{WORD}{folded[at]}", *forms[at], *seen[at], *places[at]]
        one += _neighbours(at, folded, forms, seen)
        if glued[at]:
            one.append("glued")
        if at + 1 < len(tokens) and glued[at + 1]:
            one.append("glued+1")
        if category is not None:
            one += [f"{CATEGORY_MARK}{category}|{feature}" for feature in one if feature.startswith(OF_CATEGORY)]
        found.append(list(dict.fromkeys(one)))
    return found


def is_of_category(feature: str) -> bool:
    """Whether a feature stands for what holds within one category."""
    return feature.startswith(CATEGORY_MARK)


def _neighbours(at: int, folded: list[str], forms: Sequence[Sequence[str]], seen: Sequence[list[str]]) -> list[str]:
    last, found = len(folded) - 1, []
    for step in range(-NEAR, NEAR + 1):
        other = at + step
        if step == 0:
            continue
        if not 0 <= other <= last:
            found.append(f"edge{step:+d}")
            continue
        found.append(f"word{step:+d}={folded[other]}")
        if abs(step) < NEAR:
            found.append(f"form{step:+d}={forms[other][0]}")
        if abs(step) == 1:
            found += [f"{step:+d}{feature}" for feature in (*seen[other], *forms[other]) if feature.startswith(OF_NEIGHBOURS)]
    if at:
        found.append(f"pair-1={folded[at - 1]} {folded[at]}")
    if at < last:
        found.append(f"pair+1={folded[at]} {folded[at + 1]}")
    if 0 < at < last:
        found.append(f"around={folded[at - 1]} {folded[at + 1]}")
    return found


def _places(tokens: Sequence[str]) -> list[list[str]]:
    """Where every token stands in the text, and in the part of it between commas, dashes and brackets."""
    part, begin, found = 0, 0, []
    for at, token in enumerate(tokens):
        if token in BREAKS:
            part, begin = part + 1, at + 1
        found.append([f"place={min(at, FAR)}", f"left={min(len(tokens) - at, 4)}", f"part={min(part, 4)}",
                      f"in_part={min(part, 2)}/{min(max(at - begin, 0), 4)}"])
    return found


def has_meaning(word: str) -> bool:
    """Whether a folded token is a word that an encoder can say something of: no number, no sign.

    >>> has_meaning("mint"), has_meaning("12"), has_meaning("&")
    (True, False, False)
    """
    return word[0].isalpha()


@lru_cache(maxsize=65_536)
def _forms(token: str) -> tuple[str, ...]:
    """What a word looks like: its shape first, then its ends or how large a number it is."""
    signs = ["A" if c.isupper() else "a" if c.isalpha() else "0" if c.isdigit() else c for c in token]
    shape = "".join(sign for at, sign in enumerate(signs) if at < 2 or not signs[at - 2] == signs[at - 1] == sign)
    found, folded = [f"form={shape}"], token.casefold()
    if folded[0].isdigit():
        found += ["number", f"digits={min(len(folded), 6)}", *_size(folded)]
    elif folded[0].isalpha():
        for length in AFFIXES:
            if len(folded) > length:
                found += [f"begin{length}={folded[:length]}", f"end{length}={folded[-length:]}"]
        if kind := unit_kind(token):
            found.append(f"unit={kind}")
    return tuple(found)


def _size(number: str) -> list[str]:
    try:
        return [f"size={int(log2(min(float(number.replace(',', '')), 1e9) + 1))}"]
    except ValueError:  # a version such as 1.2.3, or digits of a kind that float does not read
        return []


def glue(bounds: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether each token begins where the one before ends."""
    return [False, *(before[1] == after[0] for before, after in pairwise(bounds))][:len(bounds)]
