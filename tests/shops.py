"""A small synthetic shop with planted answers, in the plain contract format, for every stage's tests.

What is planted (items are named `<department letter><two digits>`, e.g. `T07`):
- every shopper re-buys four favourites from kitchen and garden: repeat purchases decide much of the ranking;
- `PAIRS`: whoever buys the first kitchen item of a pair takes the second along in 7 of 10 baskets;
- segment `toys` (domain) *pays*: each shopper keeps two product types for good, but on day `shift_day(days)`
  the whole segment moves from plush and plastic to wooden and magnetic toys. Words and behaviour of
  a few post-shift shots tell it; popularity alone cannot know the shopper's product types;
- segment `stationery` (domain) is *noise*: uniformly random items, nothing can be learned;
- segment `spring-fair` (scene, the last third of the days) adds gift lines, found on the page that the context
  `scene` names; `new-shoppers` are new users;
- segment `nobody` (custom) selects no event at all;
- impressions show 5 uniformly random items with position and propensity; an item is clicked with chance
  `CLICK_IF_FAVOURITE` if it shares a favourite's department *and* material, else `CLICK_OTHERWISE`.
"""

from __future__ import annotations

import csv
import json
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

FIRST_DAY = date(2024, 3, 1)
PAYING, NOISE, SCENE, NEW, EMPTY = "toys", "stationery", "spring-fair", "new-shoppers", "nobody"
CLICK_IF_FAVOURITE, CLICK_OTHERWISE, SLOTS = 0.6, 0.05, 5
PAIRS = [("K00", "K06"), ("K07", "K13"), ("K14", "K20"), ("K21", "K27")]
DEPARTMENTS = {  # letter → name, materials (5), product types (6): 30 items each
    "K": ("Kitchen", ["steel", "ceramic", "bamboo", "glass", "enamel"],
          ["mug", "saucepan", "chopping board", "teapot", "mixing bowl", "spatula"]),
    "G": ("Garden", ["terracotta", "zinc", "solar", "oak", "copper"],
          ["planter", "bird feeder", "lantern", "bench", "watering can", "trellis"]),
    "T": ("Toys", ["plush", "plastic", "wooden", "magnetic", "cardboard"],
          ["train", "dinosaur", "building blocks", "doll house", "race car", "puzzle"]),
    "S": ("Stationery", ["recycled", "leather", "floral", "striped", "vintage"],
          ["notebook", "pencil case", "gift card", "desk calendar", "envelope set", "bookmark"]),
}
BEFORE_SHIFT, AFTER_SHIFT = ("plush", "plastic"), ("wooden", "magnetic")
SHOP_YAML = """\
name: planted
time_zone: UTC
context: [scene]
segment_order: [toys, spring-fair, stationery, new-shoppers, nobody]
segments:
  - {{name: toys, kind: domain, where: "items.department = 'Toys'"}}
  - {{name: stationery, kind: domain, where: "items.department = 'Stationery'"}}
  - {{name: spring-fair, kind: scene, start: {start}, end: {end}, where: "context.scene = 'spring-fair'"}}
  - {{name: new-shoppers, kind: new_users, first_days: 14}}
  - {{name: nobody, kind: custom, where: "users.region = 'atlantis'"}}
"""


def shift_day(days: int = 42) -> date:
    """The first day on which the `toys` segment wants other materials: the middle of the period."""
    return FIRST_DAY + timedelta(days=days // 2)


def scene_days(days: int = 42) -> tuple[date, date]:
    """First and last day of the `spring-fair` scene: the last third of the period."""
    return FIRST_DAY + timedelta(days=days - days // 3), FIRST_DAY + timedelta(days=days - 1)


def planted_items() -> list[dict]:
    """The 120 items as contract rows (all values text or numbers)."""
    items = []
    for letter, (department, materials, products) in DEPARTMENTS.items():
        for n in range(30):
            material, product = materials[n // 6], products[n % 6]
            items.append({
                "item_id": f"{letter}{n:02d}", "title": f"{material.title()} {product}",
                "description": f"A {material} {product} for the {department.lower()} shelf",
                "brand": ["Alder", "Birch", "Cedar"][n % 3], "category": f"{department} > {product.title()}",
                "price": round(2.0 + (n * 7 % 30) * 0.75, 2), "department": department,
                "material": material})
    return items


def planted_shop(folder: Path | str, seed: int = 0, users: int = 60, days: int = 42,
                 impressions: bool = True, toy_encoder: bool = False) -> Path:
    """Write the shop into `folder` (made if missing) and return it; same arguments, same bytes.

    `toy_encoder`: the base model is a small one beside the shop, which saves half a minute where nobody asks what it knows.
    """
    folder = Path(folder)
    (folder / "events").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    items = planted_items()
    _write_csv(folder / "items.csv", items)
    shoppers = [_shopper(rng, n, days) for n in range(users)]
    _write_csv(folder / "users.csv", [{"user_id": s["user_id"], "region": s["region"]} for s in shoppers])
    start, end = scene_days(days)
    base = f"base_model: {json.dumps(str(_toy_encoder(folder.parent, items)))}\n" if toy_encoder else ""
    (folder / "shop.yaml").write_text(SHOP_YAML.format(start=start, end=end) + base)
    for offset in range(days):
        today = FIRST_DAY + timedelta(days=offset)
        rows = []
        for shopper in shoppers:
            joined = offset >= shopper["joins"]
            if joined and (offset == shopper["joins"] or rng.random() < 0.35):
                rows += _session(rng, shopper, today, days, items, impressions)
        if not rows:  # every day has data, also with a handful of users
            rows = _session(rng, shoppers[0], today, days, items, impressions)
        with open(folder / "events" / f"{today}.jsonl", "w") as drop:
            drop.writelines(json.dumps(row) + "\n" for row in rows)
    _write_csv(folder / "judgments.csv", _judgments(items))
    _write_csv(folder / "labels.csv", _labels(items))
    return folder


def _toy_encoder(folder: Path, items: list[dict]) -> Path:
    """An untrained encoder that knows the items' words."""
    from tests.text_encoder.tiny_encoder import write_tiny_bert

    words = {word for item in items for name in ("title", "description", "brand", "category") for word in item[name].split()}
    return write_tiny_bert(folder / "encoder", layers=4, words=sorted({word.lower() for word in words}))


def _shopper(rng: np.random.Generator, n: int, days: int) -> dict:
    favourites = [f"{letter}{k:02d}" for letter in "KG" for k in rng.choice(30, 2, replace=False)]
    favourites[0] = PAIRS[n % len(PAIRS)][0]
    late = n % 4 == 3  # a quarter of the shoppers are new at some time in the period
    return {"user_id": f"u{n:03d}", "region": ["north", "south", "west"][n % 3], "favourites": favourites,
            "toy_types": sorted(rng.choice(6, 2, replace=False).tolist()),
            "joins": int(rng.integers(days // 4, max(days // 4 + 1, days * 4 // 5))) if late else n % 3}


def _session(rng: np.random.Generator, shopper: dict, today: date, days: int, items: list[dict],
             impressions: bool) -> list[dict]:
    """One visit: impressions and their clicks, sometimes a search, then one basket at one timestamp."""
    at = datetime(today.year, today.month, today.day, int(rng.integers(8, 21)), int(rng.integers(0, 60)))
    session = f"{shopper['user_id']}-{today:%m%d}"
    by_id = {item["item_id"]: item for item in items}
    in_scene = scene_days(days)[0] <= today <= scene_days(days)[1]
    rows: list[dict] = []

    def add(event_type: str, seconds: int, **fields) -> None:
        rows.append({"event_id": f"{session}-{len(rows):02d}", "user_id": shopper["user_id"],
                     "timestamp": (at + timedelta(seconds=seconds)).isoformat() + "Z",
                     "event_type": event_type, "session_id": session, **fields})

    liked = {(by_id[f]["department"], by_id[f]["material"]) for f in shopper["favourites"]}
    for slot, row in enumerate(rng.choice(len(items), SLOTS, replace=False) if impressions else [], 1):
        item = items[row]
        add("impression", 0, item_id=item["item_id"], position=slot, propensity=SLOTS / len(items))
        chance = CLICK_IF_FAVOURITE if (item["department"], item["material"]) in liked else CLICK_OTHERWISE
        if rng.random() < chance:
            add("click", 10 * slot, item_id=item["item_id"])
    basket = _basket(rng, shopper, today, days, in_scene)
    if rng.random() < 0.3:
        add("search", 120, query=by_id[basket[0][0]]["title"].lower())
        add("click", 130, item_id=basket[0][0])
    for item_id, scene in basket:
        add("purchase", 300, item_id=item_id, price=by_id[item_id]["price"], quantity=1, scene=scene)
    return rows


def _basket(rng: np.random.Generator, shopper: dict, today: date, days: int,
            in_scene: bool) -> list[tuple[str, str | None]]:
    basket: list[tuple[str, str | None]] = [
        (item, None) for item in shopper["favourites"] if rng.random() < 0.45]
    partner = dict(PAIRS)
    basket += [(partner[i], None) for i, _ in basket if i in partner and rng.random() < 0.7]
    if rng.random() < 0.6:
        wanted = BEFORE_SHIFT if today < shift_day(days) else AFTER_SHIFT
        material = DEPARTMENTS["T"][1].index(wanted[int(rng.integers(2))])
        basket.append((f"T{material * 6 + int(rng.choice(shopper['toy_types'])):02d}", None))
    if rng.random() < 0.5:
        basket.append((f"S{int(rng.integers(30)):02d}", None))
    if in_scene and rng.random() < 0.7:  # gifts: the glass kitchen and copper garden lines
        line = [f"K{n}" for n in range(18, 24)] + [f"G{n}" for n in range(24, 30)]
        basket.append((line[int(rng.integers(len(line)))], "spring-fair"))
    unique = dict(reversed(basket)) or {shopper["favourites"][1]: None}
    return sorted(unique.items())


def _judgments(items: list[dict]) -> list[dict]:
    """Graded answers: 2 for the asked material and product, 1 for the product in another material."""
    rows = []
    for asked in items[::9]:
        for item in items:
            if item["category"] == asked["category"]:
                rows.append({"query": asked["title"].lower(), "item_id": item["item_id"],
                             "gain": 2 if item is asked else 1})
    return rows


def _labels(items: list[dict]) -> list[dict]:
    """Three tasks: department of an item, intent of an utterance, and the material inside a title.

    The word that tells an intent is misspelt in every utterance, so pieces of words tell it and whole words do not.
    """
    asks = {"find": "recommend", "return": "refunding", "delivery": "shipment"}
    rows = []
    for n, item in enumerate(items):
        split, title, intent = ("test" if n % 5 == 0 else "train"), item["title"], list(asks)[n % 3]
        word, at, letter = asks[intent], 2 + (n + n // 26) % 6, chr(97 + 7 * n % 26)  # no two are misspelt alike
        new = [{"task": "department", "item_id": item["item_id"], "label": item["department"]},
               {"task": "intent", "text": f"{word[:at]}{letter}{word[at:]} number {n}", "label": intent},
               {"task": "attribute", "text": title, "label": "material", "span": item["material"].title()}]
        rows += [{**row, "split": split} for row in new]
    return [{"task": "", "text": "", "item_id": "", "label": "", "split": "", "span": "", **r} for r in rows]


def _write_csv(path: Path, rows: list[dict]) -> None:
    with open(path, "w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
