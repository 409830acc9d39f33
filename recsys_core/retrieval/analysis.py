"""From a text to the words that search counts: one form for plurals, compounds, numbers and measures.

What a shop writes and what a shopper types go through the same function: a rule need not be right, only the same on both sides.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from recsys_core.units import BARE, MARKS, NUMBER, UNIT, WORD_OF, plain_number
from recsys_core.words import HAN, UNSEGMENTED, tokenize

MARK = "['’`´]"
SCAN = re.compile(rf"(?:\b(?:pack|case|box|set)\sof\s(?P<of>\d{{1,4}})\b"
                  rf"|(?<![\w./])(?P<number>{NUMBER})(?:(?P<gap>[\s-]?\s?)(?P<unit>fl\.?\s?oz|{UNIT})(?!\w)\.?)?(?![\w/])"
                  rf"|(?P<word>[^\W_]+(?:{MARK}[^\W_]+)*))(?P<hyphen>-(?=\w))?")
POSSESSIVE = re.compile(rf"{MARK}s$|s{MARK}$")
LATIN = re.compile(r"[a-z]+")
IRREGULAR = {"men": "man", "women": "woman", "children": "child", "feet": "foot", "teeth": "tooth", "mice": "mouse",
             "knives": "knife", "shelves": "shelf", "leaves": "leaf", "loaves": "loaf", "wolves": "wolf", "scarves": "scarf"}
UNSURE = frozenset(("in", "m", "g", "l", "w", "v", "pt", "ga", "pr"))  # after a space these may be words: "3 in black"


def analyse(text: str) -> list[str]:
    """The words of a text or query, in order; a hyphenated word is also joined, a measure is one word.

    >>> analyse("Men's T-Shirts, 12pk"), analyse("milk 1/2 gallon")
    (['man', 't', 'shirt', 'tshirt', '12pack', 'pack'], ['milk', '0.5gal', 'gal'])

    A script without spaces gives each two neighbours, and Chinese characters alone; what stands beside it is read on its own.

    >>> analyse("红茶500ml")
    ['红', '茶', '红茶', '500ml', 'ml']
    """
    found: list[str] = []
    joined: list[str] = []
    folded = MARKS.sub("in ", unicodedata.normalize("NFKC", text).casefold().replace("⁄", "/"))
    if not folded.isascii():
        folded = UNSEGMENTED.sub(r" \g<0> ", folded)
    for match in SCAN.finditer(folded):
        pieces = _pieces(match)
        found += pieces
        joined += [match["word"] or "".join(pieces[:1])]
        if not match["hyphen"]:
            if len(joined) > 1:
                found.append(stem("".join(joined)))
            joined = []
    return found


def _pieces(match: re.Match[str]) -> list[str]:
    word, number, unit = match["word"], match["number"], match["unit"]
    if word is not None:
        if not word.isascii():  # an accent that a shopper leaves out
            bare = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
            word = bare if bare.isascii() else word
        if word.isascii():
            return [BARE.get(word) or stem(re.sub(MARK, "", POSSESSIVE.sub("", word)))]
        return [*dict.fromkeys("".join(HAN.findall(word))), *tokenize(word)] if len(word) > 1 else tokenize(word)
    if number is None:
        return [f"{match['of']}pack", "pack"]
    value = plain_number(number)
    if value is None:
        return number.split("/")
    if not unit:
        return [value]
    name = WORD_OF.get(unit, "floz")
    return [f"{value}{name}", name, *((value,) if match["gap"] and unit in UNSURE else ())]


@lru_cache(100_000)
def stem(word: str) -> str:
    """A word without its plural ending (Harman's S stemmer); words of other scripts stay.

    >>> [stem(word) for word in ("batteries", "boxes", "shoes", "glass", "women", "bus")]
    ['battery', 'box', 'shoe', 'glass', 'woman', 'bus']
    """
    if word in IRREGULAR or len(word) < 4 or word[-1] != "s" or word[-2] in "su" or not LATIN.fullmatch(word):
        return IRREGULAR.get(word, word)
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    cut = word[:-2] if word.endswith(("sses", "xes", "zes", "ches", "shes")) else word[:-1]
    return IRREGULAR.get(cut, cut)


def fold(text: str) -> str:
    """A text without case, accents of Latin letters, and more than one space between words.

    >>> fold("  Crème  BRÛLÉE ")
    'creme brulee'
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
    return " ".join((bare if bare.isascii() else folded).split())


def joins(tokens: Sequence[str], known: Container[str]) -> Iterator[tuple[str, str]]:
    """Neighbours that are one word elsewhere: "t shirt" where somebody writes "tshirt"."""
    for first, second in pairwise(tokens):
        if first + second in known and first.isalpha() and second.isalpha():
            yield first, second


def with_joins(tokens: list[str], known: Container[str]) -> list[str]:
    """The tokens of a field, and the words that neighbours make."""
    made = [first + second for first, second in joins(tokens, known)]
    return [*tokens, *(word for word in made if word not in tokens)] if made else tokens
