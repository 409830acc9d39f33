"""Units of measure as product texts write them, and numbers before them: "12pk" and "12 pack" are one measure."""

from __future__ import annotations

import re
from fractions import Fraction

ALIASES = {
    "oz": "oz ozs ounce ounces", "lb": "lb lbs pound pounds", "g": "g gr gm gms gram grams",
    "kg": "kg kgs kilo kilos kilogram kilograms", "mg": "mg milligram milligrams", "mcg": "mcg microgram micrograms",
    "gal": "gal gals ga gallon gallons", "qt": "qt qts quart quarts", "pt": "pt pts pint pints", "floz": "floz",
    "ml": "ml milliliter milliliters millilitre millilitres", "cl": "cl", "l": "l ltr ltrs liter liters litre litres",
    "in": "in ins inch inches", "ft": "ft foot feet", "yd": "yd yds yard yards", "mm": "mm millimeter millimeters",
    "cm": "cm centimeter centimeters", "m": "m mtr meter meters metre metres",
    "pack": "pk pks pkg pack packs", "ct": "ct cts cnt count counts", "pc": "pc pcs piece pieces", "pr": "pr pair pairs",
    "w": "w watt watts", "v": "v volt volts", "mah": "mah", "gb": "gb gigabyte gigabytes", "tb": "tb terabyte terabytes",
    "mb": "mb", "hz": "hz hertz", "%": "%",
}
UNIT_OF = {alias: unit for unit, aliases in ALIASES.items() for alias in aliases.split()}
# These words name nothing but a measure, so they mean it without a number, too.
BARE = {alias: UNIT_OF[alias] for alias in ("ounce", "ounces", "gallon", "gallons", "quart", "quarts", "pint", "pints", "inch",
                                            "inches", "milliliter", "milliliters", "liter", "liters", "litre", "litres")}
NUMBER = r"(?:\d+[ -])?\d+/\d+|\d*\.\d+|\d+"
UNIT = "|".join(map(re.escape, sorted(UNIT_OF, key=len, reverse=True)))
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
