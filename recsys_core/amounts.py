"""Amounts in words as number and unit: "12pk", "1/2 in", "10 oz. Bag" and "500ml" become comparable."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from recsys_core.units import KNOWN, UNITS

_DIGITS = r"\d{1,9}"
_NUMBER = rf"\d{{1,3}}(?:,\d{{3}}){{1,3}}(?:\.{_DIGITS})?|{_DIGITS}(?:[.,]{_DIGITS})?|\.{_DIGITS}"
_SIGN = "[\"'″′]"
_AMOUNT = re.compile(rf"(?<![\w./])(?P<number>{_NUMBER})(?:(?:\s*-\s*|\s+)(?P<more>{_DIGITS})\s*/\s*(?P<under>{_DIGITS})"
                     rf"|\s*/\s*(?P<below>{_DIGITS}))?\s*-?\s*(?P<unit>fl(?:uid)?\.?\s*(?:oz|ounces?)|[^\W\d_]+|{_SIGN})?",
                     re.IGNORECASE)
_PACK_OF = re.compile(rf"(?:pack|case|lot|set|box)\s+of\s+(?P<number>{_NUMBER})(?![\w.,]*\d)", re.IGNORECASE)
_FRACTION = re.compile("(?<=\\d)(?=[¼-¾⅐-⅞])")


@dataclass(frozen=True)
class Amount:
    """A number of units.

    Args:
        value: as said. unit: in one spelling, such as "oz", "fl oz", "ct", "pack", "in". kind: what it is an amount of.
    """

    value: float
    unit: str
    kind: str

    @property
    def base(self) -> float:
        """The value in the unit of its kind that all others can be turned into: g, ml, m, ct or pack."""
        return self.value * UNITS[self.kind][self.unit].size

    def __str__(self) -> str:
        return f"{self.value:.12g} {self.unit}"


def amounts(text: str) -> list[Amount]:
    """All amounts with a known unit that a text names, in its order.

    Args:
        text: any text. A comma before three digits groups thousands; any other comma is a decimal point.

    >>> [str(one) for one in amounts("Oats, 1/2 gal. (Pack of 3), 12pk 10 fl. oz bottles, 1-1/2 in x 2,5 cm, 1,000mg, size 8")]
    ['0.5 gal', '3 pack', '12 pack', '10 fl oz', '1.5 in', '2.5 cm', '1000 mg']
    """
    plain = unicodedata.normalize("NFKC", _FRACTION.sub(" ", text)).replace("⁄", "/")  # 1½ is 1 1/2
    found = [(hit.start(), Amount(_number(hit["number"]), "pack", "pack")) for hit in _PACK_OF.finditer(plain)]
    taken = {hit.start("number") for hit in _PACK_OF.finditer(plain)}
    for hit in _AMOUNT.finditer(plain):
        known, value = _unit(hit["unit"]), _value(hit)
        if known and value is not None and hit.start() not in taken:
            found.append((hit.start(), Amount(value, known[1], known[0])))
    return [amount for _, amount in sorted(found, key=lambda one: one[0])]


def normalise(value: str) -> Amount | None:
    """The amount that a value means: its first one; None where it names none.

    >>> normalise("500ml"), normalise("red"), normalise("½ Gallon")
    (Amount(value=500.0, unit='ml', kind='volume'), None, Amount(value=0.5, unit='gal', kind='volume'))
    """
    return next(iter(amounts(value)), None)


def unit_kind(word: str) -> str | None:
    """What a word measures if it is a unit.

    >>> unit_kind("Oz"), unit_kind("pk"), unit_kind("mint")
    ('mass', 'pack', None)
    """
    return found[0] if (found := _unit(word)) else None


def _unit(word: str | None) -> tuple[str, str] | None:
    """Kind and unit of a word; a capital M is a size, no metre."""
    if word is None or word == "M":
        return None
    plain = re.sub(r"[\s.]", "", word).casefold()
    return KNOWN.get(plain)


def _value(hit: re.Match[str]) -> float | None:
    """None where a fraction divides by 0."""
    number, below = _number(hit["number"]), int(hit["below"] or hit["under"] or 1)
    if below == 0:
        return None
    return number + int(hit["more"]) / below if hit["more"] else number / below


def _number(digits: str) -> float:
    grouped = re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits)
    return float(digits.replace(",", "") if grouped else digits.replace(",", "."))
