"""Free text made uniform: one form per character, no control characters."""

from __future__ import annotations

import html
import re
import unicodedata

import polars as pl

# Invisible characters split words, reverse reading order or hide an address from the patterns
# of `recsys_core.personal`. The zero-width joiners U+200C/U+200D stay: Persian and emoji need them.
_INVISIBLE = r"[\u{200B}\u{2060}\u{FEFF}\u{202A}-\u{202E}\u{2066}-\u{2069}]"
_UNSEEN = frozenset(chr(code) for code in (0x200B, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))  # the same
_CONTROL = r"\p{Cc}"
_TAG = r"</?[a-zA-Z][^<>]{0,200}>"
_ENTITY = r"&(?:[a-zA-Z][a-zA-Z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});"


def normalise_text(column: str) -> pl.Expr:
    """Expression that gives a text column one spelling: NFKC, one space between words, null when empty.

    >>> pl.DataFrame({"t": [" a\\tb \\u200b", "  ", None]}).select(normalise_text("t"))["t"].to_list()
    ['a b', None, None]
    """
    text = pl.col(column).str.normalize("NFKC").str.replace_all(_INVISIBLE, "")
    text = text.str.replace_all(_CONTROL, " ").str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(text.str.len_bytes() > 0).then(text).alias(column)


def normalise_one(text: str | None) -> str | None:
    """One text as `normalise_text` and `strip_markup` leave it, in plain Python: a forked worker runs no Polars expression.

    >>> normalise_one(" <b>Mug</b>\tblue &amp; white "), normalise_one(" ")
    ('Mug blue & white', None)
    """
    if text is None:
        return None
    if re.search(_ENTITY, text):
        text = html.unescape(text)
    text = unicodedata.normalize("NFKC", re.sub(_TAG, " ", text))
    text = "".join(" " if unicodedata.category(one) == "Cc" else one for one in text if one not in _UNSEEN)
    return " ".join(text.split()) or None


def trim_id(column: str) -> pl.Expr:
    """Expression that strips an id of surrounding white space; an empty id is null."""
    text = pl.col(column).str.strip_chars()
    return pl.when(text.str.len_bytes() > 0).then(text).alias(column)


def strip_markup(texts: pl.Series) -> pl.Series:
    """Decode HTML entities and drop HTML tags; texts without either are not touched."""
    marked = texts.str.contains(_ENTITY).fill_null(False)
    if marked.any():
        decoded = pl.Series([html.unescape(text) for text in texts.filter(marked)], dtype=pl.String)
        texts = texts.clone().scatter(marked.arg_true(), decoded)
    return texts.str.replace_all(_TAG, " ")
