"""Whether a text about an item says only what the item's data says.

Everything that the data does not hold is a fault: numbers, amounts (compared in one unit), words, so brands, names, claims,
colours, materials and origins, too. Only the closed list of `neutral` words is free. Some words need their neighbour: what is
free of something, who made it, where it is from, what it costs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from recsys_core.amounts import Amount, amounts, unit_kind
from recsys_core.wording.facts import Facts
from recsys_core.wording.neutral import (
    AFTER,
    BEFORE,
    BRAND,
    CURRENCY,
    INSIDE,
    MAKER,
    NEUTRAL,
    NUMBERS,
    ORIGIN,
    PLACE,
    PRICE,
    PRICE_SIGNS,
)
from recsys_core.words import UNSEGMENTED

_PIECE = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?|[^\w\s]")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n+")
_IN = re.compile(r"(\d)\s+in(?=\s+(?:the|a|an|this|these|its|your|our)\b)", re.IGNORECASE)  # "8 in the" is no length
ROLES = BRAND | PLACE | INSIDE | MAKER | ORIGIN  # neutral words that say what their neighbour is
EQUAL = 1e-3  # of an amount: 16 oz are 1 lb, whatever was rounded


@dataclass(frozen=True)
class Grounds:
    """An item's data as it is compared.

    Args:
        words: stems of all its words.
        pairs: of neighbours, in order.
        negated: those that it names only to deny them.
        amounts: that it names.
        numbers: every number, as `_number` spells it.
        runs: text in scripts without spaces.
        brand: stems of the brand's words.
        firsts: what may follow "from".
        places: stems of the category's words, and of other short columns.
        prices: what it costs, as it is and rounded; empty: unknown.
    """

    words: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    negated: frozenset[str]
    amounts: tuple[Amount, ...]
    numbers: frozenset[str]
    runs: tuple[str, ...]
    brand: tuple[str, ...]
    firsts: frozenset[str]
    places: frozenset[str]
    prices: frozenset[str]

    @classmethod
    def of(cls, facts: Facts) -> Grounds:
        """What an item's facts allow."""
        told = [_plain(text) for text in facts.texts()]
        stems = [[stem(word) for word in _words(text)] for text in told]
        pairs = {pair for row in stems for pair in pairwise(row)}
        joined = {first + second for first, second in pairs}
        free, denied = set[str](), set[str]()
        for row in stems:
            for at, word in enumerate(row):
                (denied if _is_denied(row, at) else free).add(word)
        brand = tuple(stem(word) for word in _words(_plain(facts.brand)))
        levels = [[stem(word) for word in _words(_plain(level))] for level in facts.category]
        places = {word for level in levels for word in level} | {
            stem(word) for value in facts.others.values() for word in _words(_plain(value))}
        firsts = {level[0] for level in levels if level}
        numbers = {_number(hit) for text in told for hit in _NUMBER.findall(text)}
        prices = set[str]() if facts.price is None else {_spelled(facts.price), _spelled(round(facts.price, 2))}
        return cls(frozenset(free | denied | joined), frozenset(pairs), frozenset(denied - free),
                   tuple(one for text in told for one in amounts(text)),
                   frozenset(numbers | prices),
                   tuple(run for text in told for run in UNSEGMENTED.findall(text)), brand,
                   frozenset(firsts | set(brand[:1])), frozenset(places), frozenset(prices))


def find_faults(text: str, facts: Facts, language: str = "en") -> list[str]:
    """What a text says that the item's data does not.

    Args:
        text: about the item.
        facts: all that may be said.
        language: whose neutral words are free; those of an unknown language are none.

    Returns:
        each fault once, as it stands in the text; empty: grounded.

    >>> facts = Facts("a", "Oat biscuits", "Alder", ("Bakery", "Biscuits"), 2.5, sizes=("16 OZ",))
    >>> find_faults("Oat biscuits by Alder, 1 lb. Price: 2.50.", facts)
    []
    >>> find_faults("The best gluten-free oat biscuits by Birch, 12 oz, for 3.", facts)
    ['12 oz', '3', 'best', 'gluten', 'free', 'Birch']
    """
    grounds = Grounds.of(facts)
    plain = _in_digits(_IN.sub(r"\1, in", _plain(text)), grounds)
    said = amounts(plain)
    wrong = [one for one in said if not any(same_amount(one, other) for other in grounds.amounts)]
    right = {_spelled(one.value) for one in said if one not in wrong}
    faults = [str(one) for one in wrong]
    values = {_number(hit): hit for hit in _NUMBER.findall(plain)}
    loose = values.keys() - grounds.numbers - right - {_spelled(one.value) for one in wrong} - _under_fractions(plain)
    faults += [values[number] for number in sorted(loose)]
    free = NEUTRAL.get(language, frozenset[str]())
    for sentence in _SENTENCE.split(plain):
        faults += _word_faults(sentence, grounds, free)
        faults += _price_faults(sentence, grounds)
    faults += [part for run in UNSEGMENTED.findall(plain) for part in _uncovered(run, grounds.runs, free)]
    return list(dict.fromkeys(faults))


@cache
def stem(word: str) -> str:
    """A word as it is compared: without possessive and plural endings.

    >>> [stem(word) for word in ("Children's", "berries", "BOXES", "glass", "Oats")]
    ['children', 'berry', 'box', 'glass', 'oat']
    """
    plain = re.sub(r"['’]s?$", "", word.casefold()).replace("'", "").replace("’", "")
    if len(plain) > 4 and plain.endswith("ies"):
        return plain[:-3] + "y"
    if len(plain) > 4 and plain.endswith(("sses", "shes", "ches", "xes", "zes")):
        return plain[:-2]
    return plain[:-1] if len(plain) > 3 and plain.endswith("s") and not plain.endswith("ss") else plain


def content_words(text: str, language: str) -> list[str]:
    """Stems of a text's words that are not neutral, in order."""
    free = {stem(word) for word in NEUTRAL.get(language, ())}
    return [one for word in _words(_plain(text)) if (one := stem(word)) not in free]


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _in_digits(text: str, grounds: Grounds) -> str:
    """Numbers in words as digits, but not where the data has the word itself."""
    return _PIECE.sub(lambda hit: NUMBERS.get(hit[0].casefold(), hit[0]) if stem(hit[0]) not in grounds.words else hit[0], text)


def _words(text: str) -> list[str]:
    """Words without numbers and signs; runs of scripts without spaces are compared on their own."""
    return [piece for piece in _PIECE.findall(UNSEGMENTED.sub(" ", text)) if piece[0].isalpha()]


def _number(digits: str) -> str:
    """A number in one spelling: 1,000.5 groups thousands, any other comma is a decimal point, 1.2.3 is no number but itself."""
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
        return _spelled(float(digits.replace(",", "")))
    parts = re.split("[.,]", digits)
    return _spelled(float(".".join(parts))) if len(parts) <= 2 else digits


def _spelled(number: float) -> str:
    return f"{number:.12g}"


def _under_fractions(text: str) -> set[str]:
    """Numbers of fractions, which `amounts` has read."""
    return {_number(digit) for one in amounts(text) if not one.value.is_integer()
            for hit in re.findall(r"(?:(\d+)[\s-])?(\d+)\s*[/⁄]\s*(\d+)", text) for digit in hit if digit}


def same_amount(one: Amount, other: Amount) -> bool:
    """Whether two amounts are the same, in whatever units.

    >>> same_amount(Amount(1.0, "lb", "mass"), Amount(16.0, "oz", "mass"))
    True
    """
    return one.kind == other.kind and abs(one.base - other.base) <= EQUAL * abs(other.base)


def _is_denied(stems: Sequence[str], at: int) -> bool:
    return (at > 0 and stems[at - 1] in BEFORE) or (at + 1 < len(stems) and stems[at + 1] in AFTER)


def _word_faults(sentence: str, grounds: Grounds, free: frozenset[str]) -> Iterable[str]:
    """Words without ground, and those whose neighbour makes them wrong."""
    words = _words(sentence)
    stems = [stem(word) for word in words]
    content = [at for at, word in enumerate(words) if word.casefold() not in free]
    kinds = {one.kind for one in grounds.amounts}
    for at, (word, one) in enumerate(zip(words, stems, strict=True)):
        before, after = stems[at - 1] if at else "", stems[at + 1] if at + 1 < len(stems) else ""
        if one in BEFORE or one in AFTER:
            if ((one, after) if one in BEFORE else (before, one)) not in grounds.pairs:
                yield word
        elif one in grounds.negated and not _is_denied(stems, at):
            yield word
        elif word.casefold() not in free:
            if one not in grounds.words and unit_kind(word) not in kinds:
                yield word
        elif one in ROLES and not {(one, after), (before, one)} & grounds.pairs:
            follows = next((stems[place] for place in content if place > at), "")
            behind = before if at - 1 in content and one in BRAND | PLACE else ""
            known = not (behind or follows) or (behind or follows) in grounds.words  # what is unknown is a fault already
            if (known or not grounds.brand) and not _fits(one, behind, follows, tuple(stems[at + 1:]), grounds):
                yield f"{behind} {one}" if behind else f"{one} {follows}"


def _fits(role: str, before: str, follows: str, after: tuple[str, ...], grounds: Grounds) -> bool:
    """Whether a neutral word that says what its neighbour is, says so of the right one.

    Args:
        role: the neutral word.
        before: the word with content right before it; "": none, or it does not matter.
        follows: the next word with content.
        after: all words after it.
        grounds: of the item.
    """
    brand = grounds.brand
    if role in BRAND:
        return bool(brand) and (not (before or follows) or before == brand[-1] or follows == brand[0])
    if role in PLACE:
        return (before or follows or "") in grounds.places | {""}
    if not follows or (brand and after[:len(brand)] == brand and role not in INSIDE):
        return True
    if role in MAKER:
        return False
    return follows in grounds.firsts if role in ORIGIN else follows not in brand[:1] or follows in grounds.places


def _price_faults(sentence: str, grounds: Grounds) -> Iterable[str]:
    """Prices that are not the item's."""
    pieces = [piece for piece in _PIECE.findall(sentence) if piece[0].isalnum() or piece[0] in CURRENCY]
    signs = [at for at, piece in enumerate(pieces) if piece in CURRENCY or stem(piece) in PRICE
             or any(sign in piece for sign in PRICE_SIGNS)]
    for at in signs:
        near = [piece for piece in pieces[max(at - 1, 0):at + 5] if piece[0].isdigit()]
        if pieces[at] not in CURRENCY and stem(pieces[at]) in grounds.words and not near:
            continue
        if not any(_number(piece) in grounds.prices for piece in near):
            yield f"{pieces[at]} {near[0]}" if near else pieces[at]


def _uncovered(run: str, runs: Sequence[str], free: frozenset[str]) -> list[str]:
    """Parts of an unspaced text that neither neutral words nor pieces of the data, of two characters or whole, make up."""
    def covered(part: str) -> bool:
        return part in free or part in runs or (len(part) >= 2 and any(part in one for one in runs))

    best: list[tuple[int, list[str]]] = [(0, [])]  # up to each character: how many are left over, and which parts
    for end in range(1, len(run) + 1):
        ways = [(left, parts) if covered(run[start:end]) else (left + end - start, [*parts, run[start:end]])
                for start, (left, parts) in enumerate(best)]
        best.append(min(ways, key=lambda way: (way[0], len(way[1]))))
    return best[-1][1]
