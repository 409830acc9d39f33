"""What words are searched in: the text columns of the items, each distinct combination once.

Items may share the text that the encoder reads and differ in a size or colour: a *document* is a distinct text with the distinct
values of all text columns. Words are scored per document, meaning per text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from recsys_core.retrieval.matches import Grouping

FIRST = ("title", "brand", "category", "description")  # every items table has these
NEVER = ("item_id", "text")  # the id, and what is made of the others
LEAST_LETTERS = 0.5  # share of a column's values that hold a letter: below, it holds numbers and keys
Values = tuple[str | None, ...]


@dataclass(frozen=True)
class Documents:
    """Which items are one document, and which text it has.

    Args:
        columns: the C searched columns.
        of_item: int32 [N].
        texts: int32 [D], the row of the distinct text.
    """

    columns: tuple[str, ...]
    of_item: np.ndarray
    texts: np.ndarray

    @cached_property
    def _one_each(self) -> bool:
        """Whether documents are texts, in the same order: then nothing is looked up."""
        return bool((self.texts == np.arange(len(self.texts))).all())

    @cached_property
    def _grouped(self) -> Grouping:
        return Grouping(self.texts, int(self.texts.max(initial=-1)) + 1)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """The values [M] of texts as those of documents: [D]."""
        return values if self._one_each else values[self.texts]

    def of_texts(self, texts: np.ndarray) -> np.ndarray:
        """int, ascending: the documents that have some texts, int [m] ascending."""
        return texts if self._one_each else np.sort(self._grouped.of(texts))

    def most_of_texts(self, values: np.ndarray) -> np.ndarray:
        """The largest of the values [D] of each text's documents: float32 [M]."""
        return values if self._one_each else self._grouped.most(values)

    def grown(self, rows: Sequence[int], texts: Sequence[int], size: int) -> Documents:
        """The same with one more document for each of some items, int [n], that have these texts; `size` items then."""
        of_item = np.concatenate([self.of_item, np.zeros(size - len(self.of_item), np.int32)])
        of_item[list(rows)] = len(self.texts) + np.arange(len(rows), dtype=np.int32)
        return replace(self, of_item=of_item, texts=np.concatenate([self.texts, np.array(texts, np.int32)]))

    def values(self, row: Mapping[str, object]) -> Values:
        """The searched values of one item."""
        return tuple(None if row[name] is None else str(row[name]) for name in self.columns)


def make_documents(items: pl.DataFrame, text_of_item: np.ndarray) -> tuple[Documents, list[Values]]:
    """The documents of a catalogue, and each one's values of the searched columns.

    Args:
        items: `schema.CLEAN_ITEMS` and any other column; a text column beyond the contract's is searched where at least half
            of its values hold a letter.
        text_of_item: int32 [N].
    """
    columns = tuple(name for name, dtype in items.schema.items()
                    if dtype == pl.String and name not in NEVER and (name in FIRST or _is_text(items[name])))
    row_of: dict[tuple[int, Values], int] = {}
    of_item = [row_of.setdefault(key, len(row_of)) for key in zip(text_of_item.tolist(), items.select(columns).iter_rows(),
                                                                 strict=True)]
    return (Documents(columns, np.array(of_item, np.int32), np.array([text for text, _ in row_of], np.int32)),
            [values for _, values in row_of])


def _is_text(values: pl.Series) -> bool:
    """Whether a column holds words rather than numbers and keys."""
    known = values.drop_nulls()
    return len(known) > 0 and int(known.str.contains(r"\p{L}").sum()) >= LEAST_LETTERS * len(known)
