"""A second opinion on what a text says of an item: stricter than the product's checker, and without any of its code.

Only the exact words of the item's data, plurals apart, and a closed list of others may stand in a text. A number must stand
before the same unit as in the data, or be the price.
"""

from __future__ import annotations

import re
from itertools import pairwise

from recsys_core.wording import Facts

FREE = frozenset(re.findall(r"\w+", """
    a also amount an and are as at be belong belongs brand brands by called categories category come comes cost costs department
    each find for found from group has have here in is it item items its kind listed name named of offered on or pack package
    packages packed packs per price priced product products quantity range section shop size sized sizes sold that the them these
    this title to type under which with you your"""))
UNITS = {"oz": "oz", "ounce": "oz", "lb": "lb", "pound": "lb", "ct": "ct", "count": "ct", "pk": "pack", "pack": "pack",
         "ml": "ml", "l": "l", "g": "g", "kg": "kg", "gal": "gal", "pt": "pt", "qt": "qt", "inch": "in", "ft": "ft", "yd": "yd"}


class Judge:
    """Says what in a text its item's data does not hold.

    Args:
        facts: of the item.
    """

    def __init__(self, facts: Facts) -> None:
        data = " . ".join([facts.title, facts.brand, *facts.category, facts.description, *facts.sizes, *facts.prose,
                           *(f"{name} {value}" for name, value in facts.others.items())])
        self.tokens = _tokens(data)
        self.words = {_singular(one) for one in self.tokens}
        self.pairs = set(pairwise(self.tokens))
        self.brand = _tokens(facts.brand)
        self.price = None if facts.price is None else f"{facts.price:.2f}"

    def faults(self, text: str) -> list[str]:
        """What is wrong; empty: nothing."""
        tokens = _tokens(text)
        found = []
        for at, one in enumerate(tokens):
            after = tokens[at + 1] if at + 1 < len(tokens) else ""
            if one[0].isdigit():
                if not self._holds(one, after):
                    found.append(f"{one} {after}")
            elif _singular(one) not in self.words and one not in FREE and not _unit(one):
                found.append(one)
            elif one == "by" and ("by", after) not in self.pairs and after not in self.brand[:1]:
                found.append(f"by {after}")
            elif one == "brand" and not self.brand:
                found.append("brand")
        return found

    def _holds(self, number: str, after: str) -> bool:
        """Whether a number is the price, stands before the same unit in the data, or stands there and has no unit here."""
        if self.price is not None and number in (self.price, self.price.rstrip("0").rstrip(".")):
            return True
        unit = _unit(after)
        if unit is None:
            return number in self.words
        return any(first == number and _unit(second) == unit for first, second in self.pairs)

    def strange_words(self, text: str) -> list[str]:
        """Words of a text that are neither the item's nor free."""
        return [one for one in _tokens(text) if not one[0].isdigit() and _singular(one) not in self.words and one not in FREE]


def _unit(word: str) -> str | None:
    return UNITS.get(_singular(word))


def _tokens(text: str) -> list[str]:
    return re.findall(r"\d+(?:[.,]\d+)*|[^\W\d_]+", text.lower().replace("'s", "").replace("’s", ""))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
