"""Personal data out of free text: e-mail addresses, card and phone numbers become placeholders before anything is stored.

Twice the same patterns: Polars has other character classes than `re`, and a forked worker runs no Polars expression.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the service masks without Polars
    import polars as pl

_LETTERS_EMAIL = r"[\p{L}\p{N}._%+-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)+"
_WORD_EMAIL = re.compile(r"[\w.%+-]+@[\w-]+(?:\.[\w-]+)+")
_CARD = r"\b\d(?:[ -]?\d){12,18}\b"
# At least nine digits, or seven after a plus sign: shorter runs are sizes and part numbers.
_PHONE = r"(?:\+[ (]?\d(?:[ ().-]{0,2}\d){6,14}|\(?\b\d(?:[ ().-]{0,2}\d){8,14})\b"


def mask_personal_data(column: str) -> pl.Expr:
    """Expression that replaces e-mail addresses, card numbers and phone numbers by a placeholder.

    Args:
        column: a text column, best after `cleaning.text.normalise_text` (which folds full-width digits).

    >>> import polars as pl
    >>> frame = pl.DataFrame({"q": ["ship to ann@x.org", "call +44 20 7946 0958", "32 oz 2-pack"]})
    >>> frame.select(mask_personal_data("q"))["q"].to_list()
    ['ship to [email]', 'call [phone]', '32 oz 2-pack']
    """
    import polars as pl

    return (pl.col(column).str.replace_all(_LETTERS_EMAIL, "[email]").str.replace_all(_CARD, "[card]")
            .str.replace_all(_PHONE, "[phone]").alias(column))


def mask_text(text: str) -> str:
    """The same of one text, in plain Python.

    >>> mask_text("ship to ann@x.org, call +44 20 7946 0958, 32 oz 2-pack")
    'ship to [email], call [phone], 32 oz 2-pack'
    """
    return re.sub(_PHONE, "[phone]", re.sub(_CARD, "[card]", _WORD_EMAIL.sub("[email]", text)))
