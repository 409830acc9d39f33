"""Descriptions out of an item's own fields, in several languages. Nothing is said that the fields do not say."""

from __future__ import annotations

import re

from recsys_core.wording.facts import Facts

ENGLISH = "en"
MOST_OTHERS = 3  # further columns that are told
LONGEST_LEAD = 200  # characters of the shop's own first sentence

# {what}: the field's text. Sentences are told in this order, each where its field says something.
DESCRIPTIONS: dict[str, dict[str, str]] = {
    "en": {"title": "{what}", "brand": " by {what}", "size": ", {what}", "and": " and ", "category": "You find it under {what}",
           "price": "Price: {what}", "other": "{name}: {what}", "end": ".", "gap": " "},
    "de": {"title": "{what}", "brand": " von {what}", "size": ", {what}", "and": " und ",
           "category": "Sie finden es unter {what}", "price": "Preis: {what}", "other": "{name}: {what}", "end": ".", "gap": " "},
    "zh": {"title": "{what}", "brand": "，品牌：{what}", "size": "，规格：{what}", "and": "和", "category": "分类：{what}",
           "price": "价格：{what}", "other": "{name}：{what}", "end": "。", "gap": ""},
}


def describe_item(facts: Facts, language: str) -> str:
    """Describe an item by its own fields.

    Args:
        facts: of the item.
        language: a key of `DESCRIPTIONS`; the fields themselves stay in the shop's words.

    >>> describe_item(Facts("a", "Oat biscuits", "Alder", ("Bakery", "Biscuits"), 2.5, sizes=("16 OZ",)), "en")
    'Oat biscuits by Alder, 16 OZ. You find it under Bakery › Biscuits. Price: 2.50.'
    """
    words = DESCRIPTIONS[language]
    opening = words["title"].format(what=facts.title)
    if facts.brand and facts.brand.casefold() not in facts.title.casefold():
        opening += words["brand"].format(what=facts.brand)
    sizes = [size for size in facts.sizes if size.casefold() not in facts.title.casefold()]
    if sizes:
        opening += words["size"].format(what=words["and"].join(sizes))
    told = [opening]
    if facts.category:
        told.append(words["category"].format(what=" › ".join(facts.category)))
    known = {value.casefold() for value in (*facts.category, facts.title, facts.brand)}
    others = [(name, value) for name, value in facts.others.items() if value.casefold() not in known]
    told += [words["other"].format(name=name[:1].upper() + name[1:], what=value) for name, value in others[:MOST_OTHERS]]
    if facts.price is not None:
        told.append(words["price"].format(what=f"{facts.price:.2f}"))
    if lead := _lead(facts):
        told.append(lead)
    return words["gap"].join(text if text.endswith((".", "。", "!", "?")) else text + words["end"] for text in told)


def _lead(facts: Facts) -> str:
    """The first sentence of the shop's own description, where it is short and more than the title."""
    first = re.split(r"(?<=[.!?。！？])(?:\s|$)|(?<=[。！？])", facts.description, maxsplit=1)[0].strip()
    return first if 0 < len(first) <= LONGEST_LEAD and first.casefold().rstrip(".") != facts.title.casefold() else ""
