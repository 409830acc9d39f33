"""Personal data out of free text, in plain Python: the same patterns as cleaning's, before anything is written."""

from __future__ import annotations

import re
import unicodedata

_EMAIL = re.compile(r"[\w.%+-]+@[\w-]+(?:\.[\w-]+)+")
# Chinese and Thai letters stand beside a number without a space.
_EDGE = r"(?:\b|(?a:\b))"
_CARD = re.compile(rf"{_EDGE}\d(?:[ -]?\d){{12,18}}{_EDGE}")
_PHONE = re.compile(rf"(?:\+[ (]?\d(?:[ ().-]{{0,2}}\d){{6,14}}|\(?{_EDGE}\d(?:[ ().-]{{0,2}}\d){{8,14}}){_EDGE}")


def mask_text(text: str) -> str:
    """A text with placeholders for e-mail addresses, card numbers and phone numbers, whatever width or gaps hide them.

    Cleaning masks again (`cleaning.text`), with Polars, which a forked worker cannot ask.

    >>> mask_text("ship to ann@x.org, call +44 20 7946 0958, 32 oz 2-pack")
    'ship to [email], call [phone], 32 oz 2-pack'
    """
    plain = "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) != "Cf")
    masked = _PHONE.sub("[phone]", _CARD.sub("[card]", _EMAIL.sub("[email]", plain)))
    return text if masked == plain else masked
