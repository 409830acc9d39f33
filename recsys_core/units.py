"""Units of measure: what each is of, how large, and how product texts spell it. Search and comparison read this table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Unit:
    """One unit.

    Args:
        size: in the unit of its kind whose size is 1.
        spelled: its spellings; words of more than one letter may have an s.
        compared: further ones that are read only where amounts are compared: a search reads them as words.
        searched: further ones that only search reads, which need not be sure: "28 ga" is also a wire's gauge.
    """

    size: float
    spelled: str
    compared: str = ""
    searched: str = ""


# Kind → unit → itself (NIST SP 811, appendix B).
UNITS: dict[str, dict[str, Unit]] = {
    "mass": {"mcg": Unit(1e-6, "mcg microgram μg ug"), "mg": Unit(1e-3, "mg milligram"), "g": Unit(1.0, "g gr gm gram gramme"),
             "kg": Unit(1e3, "kg kilo kilogram"), "oz": Unit(28.349523125, "oz ounce"), "lb": Unit(453.59237, "lb pound")},
    "volume": {"ml": Unit(1.0, "ml milliliter millilitre cc"), "cl": Unit(10.0, "cl centiliter centilitre"),
               "l": Unit(1e3, "l ltr liter litre", "lt"), "fl oz": Unit(29.5735295625, "floz fluidoz flounce fluidounce"),
               "pt": Unit(473.176473, "pt pint"), "qt": Unit(946.352946, "qt quart"),
               "gal": Unit(3785.411784, "gal gallon", searched="ga")},
    "length": {"mm": Unit(1e-3, "mm millimeter millimetre"), "cm": Unit(1e-2, "cm centimeter centimetre"),
               "m": Unit(1.0, "m mtr meter metre"), "in": Unit(0.0254, "in inch inches", "\" ″"),
               "ft": Unit(0.3048, "ft foot feet", "' ′"), "yd": Unit(0.9144, "yd yard")},
    "count": {"ct": Unit(1.0, "ct cnt count", "ea each unit"), "pc": Unit(1.0, "pc piece"), "dz": Unit(12.0, "", "dz doz dozen")},
    "pack": {"pack": Unit(1.0, "pk pkg pack")},
    "pairs": {"pr": Unit(1.0, "", searched="pr pair")}, "power": {"w": Unit(1.0, "", searched="w watt")},
    "voltage": {"v": Unit(1.0, "", searched="v volt")}, "charge": {"mah": Unit(1.0, "", searched="mah")},
    "memory": {"mb": Unit(1e-3, "", searched="mb"), "gb": Unit(1.0, "", searched="gb gigabyte"),
               "tb": Unit(1e3, "", searched="tb terabyte")},
    "frequency": {"hz": Unit(1.0, "", searched="hz hertz")}, "share": {"%": Unit(1.0, "", searched="%")},
}


def _spellings(words: str) -> list[str]:
    """Each word, and with an s where it may have one."""
    return [spelled for word in words.split() for spelled in (word, *((f"{word}s",) if len(word) > 1 and word.isalpha() else ()))]


# Spelling → kind and unit of amounts that are compared; spelling → the word that search counts.
KNOWN = {spelling: (kind, name) for kind, units in UNITS.items() for name, unit in units.items()
         for spelling in _spellings(f"{unit.spelled} {unit.compared}")}
WORD_OF = {spelling: name.replace(" ", "") for units in UNITS.values() for name, unit in units.items()
           for spelling in _spellings(f"{unit.spelled} {unit.searched}")}
# These words name nothing but a measure, so they mean it without a number, too.
BARE = {word: WORD_OF[word] for word in _spellings("ounce gallon quart pint inch inches milliliter liter litre")}
NUMBER = r"(?:\d+[ -])?\d+/\d+|\d*\.\d+|\d+"  # as search reads it
UNIT = "|".join(map(re.escape, sorted(WORD_OF, key=len, reverse=True)))
MARKS = re.compile(r"(?<=\d)\s?(?:[\"”″]|'')")  # 12" is 12 inches


def plain_number(text: str) -> str | None:
    """A number as `NUMBER` reads it, written one way; None where it divides by zero.

    >>> plain_number("1/2"), plain_number(".50"), plain_number("1-1/2"), plain_number("012")
    ('0.5', '0.5', '1.5', '12')
    """
    whole, _, part = text.replace("-", " ").rpartition(" ")
    try:
        value = Fraction(whole or 0) + Fraction(part)
    except ZeroDivisionError:
        return None
    return f"{float(value):.4f}".rstrip("0").rstrip(".") if value.denominator > 1 else str(value)
