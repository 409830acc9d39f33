"""Items with everything that a text may claim, and shops of them that need no bundle."""

from __future__ import annotations

import polars as pl

from recsys_core.wording.facts import Facts, read_facts
from recsys_core.words import tokenize

ITEMS = pl.DataFrame({
    "item_id": ["m1", "m2", "o1", "b1", "木"],
    "title": ["Steel mug", "Steel mug with lid", "Gluten-free oat biscuits", "Blue linen shirt", "木製おもちゃ"],
    "brand": ["Alder", "Alder", "Birch Mills", None, "白木"],
    "category": ["Kitchen > Mugs", "Kitchen > Mugs", "Bakery > Biscuits", "Clothing > Shirts", "玩具 > 积木"],
    "price": [12.5, 15.0, 2.0, 0.0, 88.0], "package_size": ["12 oz", "12 oz", "1 lb", None, None],
    "color": ["Grey", "Black", None, "Blue", None], "manufacturer_id": ["77", "77", "78", "79", "80"],
    "description": ["Keeps tea warm. Dishwasher safe.", None, "No added sugar.", None, None],
    "text": ["Steel mug", "Steel mug with lid", "Oat biscuits", "Shirt", "木"]})


def facts_of(item_id: str) -> Facts:
    return read_facts(ITEMS, ITEMS["item_id"].to_list().index(item_id))


class PlantedShop:
    """Finds items by shared words, and reads an intent off the first word of a message."""

    def __init__(self, intents: dict[str, str] | None = None) -> None:
        self.by_word, self.queries = intents, list[str]()

    def find(self, query: str, k: int, context) -> list[str]:
        self.queries.append(query)
        wanted = set(tokenize(query))
        found = {item: len(wanted & set(tokenize(title))) for item, title in ITEMS.select("item_id", "title").iter_rows()}
        return sorted(found, key=lambda item: -found[item])[:k]

    def facts(self, item_id: str) -> Facts | None:
        return facts_of(item_id) if item_id in ITEMS["item_id"].to_list() else None

    def intents(self, text: str) -> list[str] | None:
        if self.by_word is None:
            return None
        return [intent for word, intent in self.by_word.items() if word in text.casefold()]
