"""Personal data out of free text, in plain Python: the same patterns as cleaning's, before anything is written."""

from __future__ import annotations

import re

_EMAIL = re.compile(r"[\w.%+-]+@[\w-]+(?:\.[\w-]+)+")
_EDGE = r"(?:\b|(?a:\b))"
_CARD = re.compile(rf"{_EDGE}\d(?:[ -]?\d){{12,18}}{_EDGE}")
_PHONE = re.compile(rf"(?:\+[ (]?\d(?:[ ().-]{{0,2}}\d){{6,14}}|\(?{_EDGE}\d(?:[ ().-]{{0,2}}\d){{8,14}}){_EDGE}")


def mask_text(text: str) -> str:
    """A text with placeholders for e-mail addresses, card numbers and phone numbers.

    Cleaning masks again (`cleaning.text`), with Polars, which a forked worker cannot ask.

    >>> mask_text("ship to ann@x.org, call +44 20 7946 0958, 32 oz 2-pack")
    'ship to [email], call [phone], 32 oz 2-pack'
    """
    return _PHONE.sub("[phone]", _CARD.sub("[card]", _EMAIL.sub("[email]", text)))
