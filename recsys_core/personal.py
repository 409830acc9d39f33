"""Personal data out of free text: e-mail addresses, card and phone numbers become placeholders before anything is stored.

Twice the same patterns: Polars has other character classes than `re`, and a forked worker runs no Polars expression.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the service masks without Polars
    import polars as pl

# Chinese and Thai letters stand beside a number without a space: an edge by Unicode or by ASCII. Rust and Python write it apart.
_RUST_EDGE, _EDGE = r"(?:\b|(?-u:\b))", r"(?:\b|(?a:\b))"
_RUST_EMAIL = r"[\p{L}\p{N}._%+-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)+"
_EMAIL = r"[\w.%+-]+@[\w-]+(?:\.[\w-]+)+"


def _card(edge: str) -> str:
    return rf"{edge}\d(?:[ -]?\d){{12,18}}{edge}"


def _phone(edge: str) -> str:
    """At least nine digits, or seven after a plus sign: shorter runs are sizes and part numbers."""
    return rf"(?:\+[ (]?\d(?:[ ().-]{{0,2}}\d){{6,14}}|\(?{edge}\d(?:[ ().-]{{0,2}}\d){{8,14}}){edge}"


_PATTERNS = tuple((re.compile(pattern), name) for pattern, name in (
    (_EMAIL, "[email]"), (_card(_EDGE), "[card]"), (_phone(_EDGE), "[phone]")))


def mask_personal_data(column: str) -> pl.Expr:
    """Expression that replaces e-mail addresses, card numbers and phone numbers by a placeholder, whatever width hides them.

    Args:
        column: a text column; a text without any stays as it is.

    >>> import polars as pl
    >>> frame = pl.DataFrame({"q": ["ship to ann@x.org", "call +44 20 7946 0958", "32 oz 2-pack"]})
    >>> frame.select(mask_personal_data("q"))["q"].to_list()
    ['ship to [email]', 'call [phone]', '32 oz 2-pack']
    """
    import polars as pl

    plain = pl.col(column).str.normalize("NFKC").str.replace_all(r"\p{Cf}", "")
    masked = (plain.str.replace_all(_RUST_EMAIL, "[email]").str.replace_all(_card(_RUST_EDGE), "[card]")
              .str.replace_all(_phone(_RUST_EDGE), "[phone]"))
    return pl.when(masked == plain).then(pl.col(column)).otherwise(masked).alias(column)


def mask_text(text: str) -> str:
    """The same of one text, in plain Python.

    >>> mask_text("ship to ann@x.org, call +44 20 7946 0958, 32 oz 2-pack")
    'ship to [email], call [phone], 32 oz 2-pack'
    """
    plain = masked = "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) != "Cf")
    for pattern, name in _PATTERNS:
        masked = pattern.sub(name, masked)
    return text if masked == plain else masked
