"""How well an item answers a query, in grades: a few features and an ordinal logistic regression, solved in closed steps.

Model: P(grade ≥ g) = σ(w · f(q, x) + b_g) for every grade g above the least (proportional odds, McCullagh 1980), with one ridge
on w; a grade is the expectation. Features say how meaning, words, pieces of words and single fields agree. The ridge is
chosen by leaving queries out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation import check_lock, encoder_lock
from recsys_core.artefacts import map_arrays, read_json, staged_folder, write_json
from recsys_core.errors import AdapterError
from recsys_core.tasks.labels import Product
from recsys_core.words import tokenize

FORMAT = 1
FEATURES = ("meaning", "words", "every_word", "pieces", "last_word", "title", "brand", "category", "unmet_numbers")
PIECE = 3  # letters of the pieces that tell "strawberries" from "straw"
STEPS = 50  # of Newton's method, at most
FIX = "adapt the task again"


class MatchConfig(BaseModel, frozen=True, extra="forbid"):
    """How grades are learned."""

    ridges: tuple[float, ...] = Field((0.3, 1.0, 3.0, 10.0, 30.0), min_length=1, description="to choose among, on features of "
                                      "unit spread")
    folds: int = Field(5, ge=2, description="parts of the queries, to choose the ridge by")
    most_grades: int = Field(12, ge=2, description="distinct grades; measurements are no grades")


@dataclass(frozen=True)
class MatchAdapter:
    """What graded pairs add to the encoder.

    Args:
        task: its name.
        lock: the encoder's, and these features'.
        levels: float64 [L], the grades in [0, 1], ascending.
        span: the least and the largest grade as labelled.
        theta: float64 [f], of the features.
        bias: float64 [L−1], of each grade above the least.
        settings: how it was made; JSON.
    """

    task: str
    lock: dict[str, str]
    levels: np.ndarray
    span: tuple[float, float]
    theta: np.ndarray
    bias: np.ndarray
    settings: dict[str, Any]

    def grades(self, encoder: Any, queries: Sequence[str], products: Sequence[Product], vectors: np.ndarray | None = None
               ) -> np.ndarray:
        """float64 [n] in [0, 1], of pairs.

        Args:
            encoder: the one it was made with.
            queries: one per pair.
            products: likewise.
            vectors: float32 [n, d], of the products' texts in the encoder's space; None: they are read.
        """
        return _expected(_features(encoder, queries, products, vectors) @ self.theta, self.bias, self.levels)

    def scaled(self, grades: Sequence[float]) -> np.ndarray:
        """Grades as labelled, in [0, 1]: float64 [n]."""
        low, high = self.span
        return np.clip((np.asarray(grades, np.float64) - low) / (high - low), 0, 1)

    def save(self, folder: Path) -> None:
        """Write task.json and task.safetensors, atomically."""
        from safetensors.numpy import save_file

        with staged_folder(Path(folder)) as staging:
            save_file({"levels": self.levels, "theta": self.theta, "bias": self.bias}, str(staging / "task.safetensors"))
            write_json(staging / "task.json", {"format": FORMAT, "task": self.task, "lock": self.lock, "span": list(self.span),
                                               "settings": self.settings})

    @classmethod
    def load(cls, folder: Path, encoder: Any) -> MatchAdapter:
        """Read grades made with exactly this encoder.

        Raises:
            AdapterError: another format, another encoder, or a broken file.
        """
        folder = Path(folder)
        meta = read_json(folder / "task.json")
        if meta.get("format") != FORMAT:
            raise AdapterError(str(folder), f"has format {meta.get('format')}, this version reads {FORMAT}", FIX)
        check_lock(f"task {folder.name}", meta.get("lock", {}), encoder_lock(encoder, [FEATURES, PIECE]))
        try:
            arrays = map_arrays(folder / "task.safetensors")
            found = cls(meta["task"], meta["lock"], arrays["levels"], tuple(meta["span"]), arrays["theta"], arrays["bias"],
                        meta["settings"])
            if found.theta.shape != (len(FEATURES),) or found.bias.shape != (len(found.levels) - 1,):
                raise ValueError(f"{found.theta.shape} and {found.bias.shape} do not fit {len(FEATURES)} features")
            if not all(np.isfinite(part).all() for part in (found.theta, found.bias, found.levels)):
                raise ValueError("some of its values are not finite")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise AdapterError(str(folder), f"cannot be read ({type(error).__name__}: {error})", FIX) from error
        return found


def fit_match(encoder: Any, queries: Sequence[str], products: Sequence[Product], grades: Sequence[float],
              config: MatchConfig | None = None, *, task: str) -> MatchAdapter:
    """Learn grades from pairs.

    Args:
        encoder: reads queries and products.
        queries: one per pair.
        products: likewise.
        grades: likewise, any scale: the least becomes 0, the largest 1.
        config: how.
        task: its name.

    Raises:
        AdapterError: one grade only, or too many.
    """
    config, given = config or MatchConfig(), np.asarray(grades, np.float64)
    found, level = np.unique(given, return_inverse=True)
    if not 2 <= len(found) <= config.most_grades:
        raise AdapterError(f"labels of task {task!r}", f"{len(found)} distinct grades in {len(given)} pairs",
                           f"label pairs with 2 to {config.most_grades} grades")
    features = _features(encoder, queries, products)
    spread = np.maximum(features.std(axis=0), 1e-3)
    _, query = np.unique(np.array(queries), return_inverse=True)
    ridge = _choose(features / spread, level, len(found), query, config)
    theta, bias = _solve(features / spread, level, len(found), ridge)
    levels = (found - found[0]) / (found[-1] - found[0])
    lock, span = encoder_lock(encoder, [FEATURES, PIECE]), (float(found[0]), float(found[-1]))
    return MatchAdapter(task, lock, levels, span, theta / spread, bias,
                        {"pairs": len(given), "queries": int(query.max()) + 1, "ridge": ridge})


def _choose(features: np.ndarray, level: np.ndarray, levels: int, query: np.ndarray, config: MatchConfig) -> float:
    """The ridge whose left-out queries are likeliest."""
    folds = query % min(config.folds, int(query.max()) + 1)
    losses = []
    for ridge in config.ridges:
        total = 0.0
        for fold in range(int(folds.max()) + 1 if folds.max() else 0):
            held = folds == fold
            theta, bias = _solve(features[~held], level[~held], levels, ridge)
            logits = features[held] @ theta
            above = level[held][:, None] > np.arange(levels - 1)
            total += np.logaddexp(0, np.where(above, -1, 1) * (logits[:, None] + bias)).sum()
        losses.append(total)
    return config.ridges[int(np.argmin(losses))]


def _solve(features: np.ndarray, level: np.ndarray, levels: int, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights float64 [f] and one bias per grade above the least, by Newton's method on all grades' logistic losses."""
    thresholds, width = levels - 1, features.shape[1]
    rows = np.concatenate([np.hstack([features, np.eye(thresholds)[[at] * len(features)]]) for at in range(thresholds)])
    above = np.concatenate([level > at for at in range(thresholds)]).astype(np.float64)
    penalty = np.r_[np.full(width, ridge), np.full(thresholds, 1e-2)]  # a threshold that nobody passes must end, too
    found = np.zeros(width + thresholds)
    for _ in range(STEPS):
        p = _sigmoid(rows @ found)
        gradient = rows.T @ (above - p) - penalty * found
        step = np.linalg.solve((rows * (p * (1 - p))[:, None]).T @ rows + np.diag(penalty), gradient)
        found += step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return found[:width], np.minimum.accumulate(found[width:])


def _expected(logits: np.ndarray, bias: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Grades float64 [n]: every grade above the least counts with its probability."""
    return levels[0] + _sigmoid(logits[:, None] + bias) @ np.diff(levels)


def _features(encoder: Any, queries: Sequence[str], products: Sequence[Product], vectors: np.ndarray | None = None
              ) -> np.ndarray:
    """float64 [n, f], see FEATURES; shares lie in [0, 1]."""
    if vectors is None:
        vectors = encoder.encode([one.text for one in products])
    asked = list(dict.fromkeys(queries))
    place = {query: row for row, query in enumerate(asked)}
    meaning = np.einsum("nd,nd->n", encoder.encode(asked)[[place[query] for query in queries]], vectors)
    words = {query: tokenize(query) for query in asked}
    rest = [_overlaps(query, words[query], product) for query, product in zip(queries, products, strict=True)]
    return np.column_stack([meaning, np.array(rest, np.float64).reshape(len(rest), len(FEATURES) - 1)]).astype(np.float64)


def _overlaps(query: str, words: list[str], product: Product) -> tuple[float, ...]:
    """How words, pieces of words and fields agree; one value per feature but the first."""
    text, asked = set(tokenize(product.text)), set(words)
    shared, numbers = asked & text, {word for word in asked if any(letter.isdigit() for letter in word)}
    return (_share(asked, text), float(bool(asked) and shared == asked), overlaps_by_pieces(query, product.text),
            float(bool(words) and words[-1] in text), _share(asked, set(tokenize(product.title or product.text.split(". ")[0]))),
            float(bool(product.brand) and set(tokenize(product.brand or "")) <= asked),
            _share(asked, set(tokenize(product.category or ""))), _share(numbers, numbers - text))


def overlaps_by_pieces(query: str, text: str) -> float:
    """Which share of the query's pieces of words a text has: a typo costs some of them.

    >>> overlaps_by_pieces("mug", "Red mugs"), round(overlaps_by_pieces("strawbery", "strawberry"), 2)
    (1.0, 0.89)
    """
    return _share(_pieces(query), _pieces(text))


def _pieces(text: str) -> set[str]:
    return {f" {word} "[at:at + PIECE] for word in tokenize(text) for at in range(len(word) + 3 - PIECE)}


def _share(asked: set[str], found: set[str]) -> float:
    return len(asked & found) / len(asked) if asked else 0.0


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(logits / 2))
