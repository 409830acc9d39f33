"""Where the words of a text begin and end: what attributes are read by."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache
from itertools import islice

from recsys_core.words import UNSEGMENTED

MAX_CODE = 0x20000  # combining marks above the first two planes are not met in shops


def token_bounds(text: str, limit: int) -> list[tuple[int, int]]:
    """Begin and end of the first tokens of a text, in characters.

    A token is a word with its inner apostrophes, a number with its inner points and commas, a character of a script
    written without spaces, or any other character that is no space. "500ml" has two tokens.

    Args:
        text: any text.
        limit: tokens to find, at most; the rest of the text is not read.

    >>> [("Women's 1,000ml, 1/2 in.")[b:e] for b, e in token_bounds("Women's 1,000ml, 1/2 in.", 99)]
    ["Women's", '1,000', 'ml', ',', '1', '/', '2', 'in', '.']
    """
    return [found.span() for found in islice(_pattern().finditer(text), limit)]


@cache
def _pattern() -> re.Pattern[str]:
    """Compiled when first asked for: naming the combining marks takes milliseconds."""
    marks = "".join(map(chr, _marks()))
    alone = UNSEGMENTED.pattern.removesuffix("+")
    letter = f"(?:(?!{alone})[^\\W\\d_][{marks}]*)"
    return re.compile(f"{letter}+(?:['’]{letter}+)*|\\d+(?:[.,]\\d+)*|{alone}[{marks}]*|\\S")


def _marks() -> list[int]:
    return [code for code in range(min(sys.maxunicode + 1, MAX_CODE)) if unicodedata.category(chr(code)).startswith("M")]
