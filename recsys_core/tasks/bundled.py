"""What labelled tasks need of a bundle, each part opened by the first request that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.interactions import Catalogue
from recsys_core.tasks.kinds import KINDS
from recsys_core.tasks.labels import Product
from recsys_core.tasks.unlabelled import UnlabelledMatch, calibrate_match

TASKS = "tasks"
CALIBRATED_ON = 200  # items of the catalogue


@dataclass(frozen=True)
class TaskParts:
    """Labelled tasks of one bundle.

    Args:
        folder: the bundle's.
        student: its student's.
        about: what the manifest says of its tasks.
        catalogue: the items.
        reads_texts: whether their vectors are in the student's space.
    """

    folder: Path
    student: Path
    about: dict[str, dict[str, Any]]
    catalogue: Catalogue
    reads_texts: bool

    @cached_property
    def reader(self) -> Any:
        """The student's transformer: word order counts, and a text costs 2 ms."""
        from recsys_core.student import ONNX, OnnxEncoder

        return OnnxEncoder.load(self.student / ONNX, verified=True)

    @cached_property
    def adapter(self) -> Callable[[str], Any]:
        """A proven task's adapter by its name."""
        return lru_cache(None)(lambda name: KINDS[self.about[name]["kind"]].load(self.folder / TASKS / name, self.reader))

    @cached_property
    def unlabelled_match(self) -> UnlabelledMatch:
        """Grades of a shop without graded pairs."""
        rng = np.random.default_rng(0)
        rows = rng.permutation(len(self.catalogue))[:CALIBRATED_ON].tolist()
        return calibrate_match(self.reader, [self.product(row) for row in rows], self.vectors(rows), rng)

    def product(self, row: int) -> Product:
        """An item as tasks read it."""
        items = self.catalogue.items
        return Product(*(items[name][row] for name in ("text", "title", "brand", "category")))

    def vectors(self, rows: Sequence[int]) -> np.ndarray:
        """float32 [n, d]: items' texts in the student's space."""
        if self.reads_texts:
            return self.catalogue.vectors[self.catalogue.text_of_item[np.array(rows, np.int64)]]
        return self.reader.encode([self.product(row).text for row in rows])
