"""Rows of labels as tasks: what kind each is, what each row shows, and which rows say nothing.

A task's kind is told by the columns that its rows fill: a query with an item or a text is a match, a span in a text is a
piece of it, everything else names a class. An item id stands for the item's text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl

from recsys_core.cleaning import normalise_one
from recsys_core.errors import DataError, RequestError
from recsys_core.schema import LABELS

Kind = Literal["classes", "spans", "match"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # a task is a folder of a bundle, too
SPLITS = {None: False, "train": False, "test": True}
MAX_TEXT = 20_000  # characters; an encoder reads some hundred of them


@dataclass(frozen=True)
class Product:
    """An item as tasks read it: its whole text, and what is known of it apart."""

    text: str
    title: str | None = None
    brand: str | None = None
    category: str | None = None


@dataclass(frozen=True)
class Example:
    """What the rows of one text say; of a match, what they say of one pair.

    Args:
        product: what is read.
        labels: classes.
        spans: (attribute, its words in the text).
        query: of a match.
        grade: of a match, as it was labelled.
        test: never learned from; so are all examples of its group.
    """

    product: Product
    labels: tuple[str, ...] = ()
    spans: tuple[tuple[str, str], ...] = ()
    query: str | None = None
    grade: float = math.nan
    test: bool = False

    @property
    def text(self) -> str:
        return self.product.text

    @property
    def group(self) -> str:
        """What must not stand on both sides of a fold."""
        return self.text if self.query is None else self.query


_Examples = dict[tuple[str, str | None], Example]  # by text and query


@dataclass(frozen=True)
class Task:
    """A labelled task."""

    name: str
    kind: Kind
    examples: tuple[Example, ...]

    @property
    def train(self) -> list[Example]:
        return [one for one in self.examples if not one.test]

    @property
    def test(self) -> list[Example]:
        return [one for one in self.examples if one.test]


@dataclass(frozen=True)
class Labelled:
    """What a labels table holds.

    Args:
        tasks: by name.
        faults: task → why it cannot be read as one.
        aside: rows that say nothing: row (from 0), task, reason.
    """

    tasks: dict[str, Task]
    faults: dict[str, str]
    aside: pl.DataFrame


def clean_text(text: Any, where: str) -> str:
    """A text without markup, control and invisible characters, in one spelling.

    Args:
        text: what was given.
        where: what is named in an error.

    Raises:
        RequestError: no text, nothing in it, or more than 20,000 characters.

    >>> clean_text(" <b>Red</b>\\x00 mug\\u202e ", "text")
    'Red mug'
    """
    if not isinstance(text, str):
        raise RequestError(where, f"{type(text).__name__} is no text", "send it as text")
    if len(text) > MAX_TEXT:
        raise RequestError(where, f"has {len(text):,} characters", f"send at most {MAX_TEXT:,}")
    found = normalise_one(text.encode("utf-8", "replace").decode())  # half a surrogate pair is no text to a tokenizer
    if found is None:
        raise RequestError(where, "is empty", "send at least one word")
    return found


def read_tasks(labels: pl.DataFrame, items: pl.DataFrame) -> Labelled:
    """Sort rows of labels into tasks; rows of one text are one example.

    A text (of a match: a query) with a row of the test split is tested by: none of its rows is learned from.

    Args:
        labels: `schema.LABELS`.
        items: item_id, text, and where known title, brand and category.

    Raises:
        DataError: columns that are not those of labels.
    """
    if strange := sorted(LABELS.keys() ^ set(labels.columns)):
        raise DataError("labels", f"column {strange[0]!r} is missing or strange", f"give {', '.join(LABELS)}")
    products = _products(items, labels["item_id"].drop_nulls())
    rows: dict[str, dict[Kind, _Examples]] = {}  # task → kind → examples
    aside = []
    for place, row in enumerate(labels.select(*LABELS).iter_rows(named=True)):
        name = (row["task"] or "").strip()
        try:
            if not NAME.fullmatch(name):
                raise RequestError("task", f"{name[:40]!r} is no name of a task", "")
            kind, example = _read_row({key: value or None for key, value in row.items()}, products)
            _add(rows.setdefault(name, {}).setdefault(kind, {}), example)
        except RequestError as error:
            aside.append((place, name, f"{error.artefact} {error.culprit}"))
    tasks, faults = {}, {}
    for name, by_kind in rows.items():
        if len(by_kind) > 1:
            faults[name] = f"its rows are of several kinds ({', '.join(sorted(by_kind))}): split it into tasks of one kind"
        else:
            (kind, examples), = by_kind.items()
            tested = {one.group for one in examples.values() if one.test}
            tasks[name] = Task(name, kind, tuple(replace(one, test=one.group in tested) for one in examples.values()))
    return Labelled(tasks, faults, pl.DataFrame(aside, {"row": pl.Int64, "task": pl.String, "reason": pl.String}, orient="row"))


def _products(items: pl.DataFrame, ids: Iterable[str]) -> dict[str, Product]:
    """The items of these ids."""
    names = [name for name in ("text", "title", "brand", "category") if name in items.columns]
    wanted = {item.strip() for item in ids}
    return {item: Product(**dict(zip(names, row, strict=True))) for item, *row in items.select("item_id", *names).iter_rows()
            if item in wanted}


def _read_row(row: Mapping[str, str | None], products: Mapping[str, Product]) -> tuple[Kind, Example]:
    """One row's kind and what it shows.

    Raises:
        RequestError: it says nothing, or something that cannot be.
    """
    label, split = (row["label"] or "").strip(), (row["split"] or "").strip().lower() or None
    if not label:
        raise RequestError("label", "is empty", "")
    if split not in SPLITS:
        raise RequestError("split", f"{str(split)[:40]!r} is neither train nor test", "")
    query, test = row["query"] and clean_text(row["query"], "query"), SPLITS[split]
    if row["text"] is not None:
        product = Product(clean_text(row["text"], "text"))
    elif row["item_id"] is not None:
        if row["item_id"].strip() not in products:
            raise RequestError("item_id", f"{row['item_id'][:40]!r} is no item of the shop", "")
        product = products[row["item_id"].strip()]
    elif query is not None:
        return "classes", Example(Product(query), (label,), test=test)
    else:
        raise RequestError("row", "has neither text nor item_id nor query", "")
    if query is not None:
        return "match", Example(product, query=query, grade=_grade(label), test=test)
    if row["span"] is not None:
        words = clean_text(row["span"], "span")
        if words.casefold() not in product.text.casefold():
            raise RequestError("span", f"{words[:40]!r} is not in the text", "")
        return "spans", Example(product, spans=((label, words),), test=test)
    return "classes", Example(product, (label,), test=test)


def _grade(label: str) -> float:
    try:
        grade = float(label)
    except ValueError:
        grade = math.nan
    if not math.isfinite(grade):
        raise RequestError("label", f"{label[:40]!r} is no number: how well an item answers a query is a grade", "")
    return grade


def _add(examples: _Examples, new: Example) -> None:
    """Join an example to what is known of its text; of a pair's grades the last one counts."""
    known = examples.get((new.text, new.query))
    if known is None:
        examples[new.text, new.query] = new
        return
    examples[new.text, new.query] = Example(
        known.product, tuple(dict.fromkeys((*known.labels, *new.labels))), tuple(dict.fromkeys((*known.spans, *new.spans))),
        new.query, new.grade, known.test or new.test)
