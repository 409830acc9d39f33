"""Few-shot attributes of texts: which words are the brand, the size, the colour, learned from texts with marked values.

A linear-chain conditional random field reads the tokens: their form, neighbours and place, values known from other examples,
and what a word alone means to the encoder; where a category is given, also all of this within the category. A text's
attributes are those its category's examples have.
The answer is the value that is probably right, in the text's own words: the probabilities of all places where a value
stands are added up, so that the answer is the one with the highest expected F1, not the likeliest sequence of tags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation import check_lock, encoder_lock
from recsys_core.artefacts import read_json, staged_folder, write_json
from recsys_core.errors import AdapterError
from recsys_core.schema import CATEGORY_SEPARATOR
from recsys_core.spans.chain import Chain
from recsys_core.spans.span_features import FEATURE_RULES, WORD, Gazetteer, glue, has_meaning, token_features
from recsys_core.spans.tokens import token_bounds

FORMAT = 1
FIX = "adapt the task again"
ARRAYS = ("sparse", "dense", "steps", "start")
LEAST_READ = 0.02  # probability of a place below which it does not add to its value's
WORDS_KEPT = 65_536  # vectors' scores of words that were met; then it starts anew


class SpanConfig(BaseModel, frozen=True, extra="forbid"):
    """How attributes are learned, and how sure an answer must be."""

    strength: float = Field(1.0, gt=0, description="of the ridge on a feature's scores")
    meaning: float = Field(4.0, ge=0, description="length of a word's vector beside features, which are 0 or 1")
    epochs: int = Field(8, ge=1, description="passes over the texts")
    rate: float = Field(0.2, gt=0, description="of the solver's first step")
    hidden: float = Field(0.3, ge=0, le=1, description="share of the readings that do not see a text's category")
    seed: int = Field(0, ge=0, description="of the order in which texts are read")
    seen_in: int = Field(2, ge=1, description="tokens that must have a feature before it counts")
    in_category: int = Field(5, ge=1, description="examples that a category needs; with fewer they count for the level above")
    least: float = Field(0.3, gt=0, lt=1, description="probability below which a value is not answered")
    tokens: int = Field(256, ge=1, description="read of each text; the rest is cut off")
    longest: int = Field(16, ge=1, description="tokens of a value, at most, when answering")


@dataclass(frozen=True)
class SpanAdapter:
    """What marked texts teach about attributes.

    Args:
        task: its name.
        attributes: the A attributes, sorted.
        lock: the encoder it was made with, and these features.
        features: the F features, sorted.
        gazetteer: values of the examples.
        chain: over 2A + 1 tags.
        categories: category with enough examples → places in `attributes` of those that its texts may have.
        settings: how it was made; JSON.
    """

    task: str
    attributes: tuple[str, ...]
    lock: dict[str, str]
    features: tuple[str, ...]
    gazetteer: Gazetteer
    chain: Chain
    categories: dict[str, list[int]]
    settings: dict[str, Any]

    def extract(self, encoder: Any, texts: Sequence[str], categories: Sequence[str | None] | None = None) -> list[dict[str, str]]:
        """The attributes of each text with their values, exactly as they stand in it; attributes it does not show are left out.

        Args:
            encoder: the one it was made with.
            texts: n texts, any.
            categories: of each, None where unknown; one without
                examples is read as the level above it, or as unknown.

        Raises:
            AdapterError: there are not as many categories as texts.
        """
        given = [None] * len(texts) if categories is None else list(categories)
        if len(given) != len(texts):
            raise AdapterError(f"task {self.task}", f"{len(texts)} texts and {len(given)} categories",
                               "give every text a category, or None")
        return [self._read(encoder, text, category) for text, category in zip(texts, given, strict=True)]

    def save(self, folder: Path) -> None:
        """Write task.json and task.safetensors, atomically."""
        from safetensors.numpy import save_file

        with staged_folder(Path(folder)) as staging:
            save_file({name: getattr(self.chain, name) for name in ARRAYS}, str(staging / "task.safetensors"))
            write_json(staging / "task.json", {
                "format": FORMAT, "task": self.task, "attributes": list(self.attributes), "lock": self.lock,
                "features": list(self.features), "categories": self.categories, "settings": self.settings,
                "values": [[*key, dict(sorted(found.items()))] for key, found in self.gazetteer.counts.items()]})

    @classmethod
    def load(cls, folder: Path, encoder: Any) -> SpanAdapter:
        """Read attributes made with exactly this encoder.

        Raises:
            AdapterError: another format, another encoder (what differs is named), or a broken file.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        meta = read_json(folder / "task.json")
        if meta.get("format") != FORMAT:
            raise AdapterError(str(folder), f"has format {meta.get('format')}, this version reads {FORMAT}", FIX)
        check_lock(f"task {folder.name}", meta.get("lock", {}), encoder_lock(encoder, FEATURE_RULES))
        try:
            arrays = load_file(str(folder / "task.safetensors"))
            values = {tuple(key): Counter(dict(found)) for *key, found in meta["values"]}
            adapter = cls(meta["task"], tuple(meta["attributes"]), meta["lock"], tuple(meta["features"]), Gazetteer(values),
                          Chain(*(arrays[name] for name in ARRAYS)), meta["categories"], meta["settings"])
            adapter._check()
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise AdapterError(str(folder), f"cannot be read ({type(error).__name__}: {error})", FIX) from error
        return adapter

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {feature: row for row, feature in enumerate(self.features)}

    @cached_property
    def _allowed(self) -> dict[str, np.ndarray]:
        return {category: tags_of(places) for category, places in self.categories.items()}

    @cached_property
    def _everything(self) -> np.ndarray:
        return tags_of(range(len(self.attributes)))

    @cached_property
    def _met(self) -> dict[str, np.ndarray]:
        return {}

    def _read(self, encoder: Any, text: str, category: str | None) -> dict[str, str]:
        bounds = token_bounds(text, self.settings["tokens"])
        if not bounds:
            return {}
        tokens = [text[begin:end] for begin, end in bounds]
        seen = self.gazetteer.features([token.casefold() for token in tokens], set())
        while category and category not in self._allowed:
            category = level_above(category)
        features = [[row for name in one if (row := self._rows.get(name)) is not None]
                    for one in token_features(tokens, glue(bounds), seen, category or None)]
        tags = self._allowed[category] if category else self._everything
        spans = self.chain.spans(features, self._meant(encoder, tokens), tags, LEAST_READ, self.settings["longest"])
        return {self.attributes[attribute]: text[bounds[begin][0]:bounds[end - 1][1]]
                for attribute, begin, end in self._best(tokens, spans)}

    def _best(self, tokens: Sequence[str], spans: Sequence[tuple[int, int, int, float]]) -> list[tuple[int, int, int]]:
        """Of every attribute the likeliest value, at the first of its places, if it is likely enough."""
        total: dict[tuple[int, str], float] = {}
        place: dict[tuple[int, str], tuple[int, int]] = {}
        for attribute, begin, end, probability in spans:
            key = attribute, " ".join(tokens[begin:end]).casefold()
            total[key] = total.get(key, 0.0) + probability
            place.setdefault(key, (begin, end))
        best: dict[int, tuple[int, str]] = {}
        for key in total:
            if total[key] >= self.settings["least"] and total[key] > total.get(best.get(key[0], (-1, "")), 0.0):
                best[key[0]] = key
        return [(attribute, *place[key]) for attribute, key in sorted(best.items())]

    def _meant(self, encoder: Any, tokens: Sequence[str]) -> np.ndarray:
        """float32 [L, T], what the vectors of words say; that of the words among the features is part of these."""
        found = np.zeros((len(tokens), len(self.chain.start)), np.float32)
        for at, token in enumerate(tokens):
            word = token.casefold()
            if not self.settings["meaning"] or not has_meaning(word) or f"{WORD}{word}" in self._rows:
                continue
            if word not in self._met:
                if len(self._met) >= WORDS_KEPT:
                    self._met.clear()
                self._met[word] = self.settings["meaning"] * encoder.encode([word])[0] @ self.chain.dense
            found[at] = self._met[word]
        return found

    def _check(self) -> None:
        width = 2 * len(self.attributes) + 1
        shapes = [getattr(self.chain, name).shape for name in ("sparse", "steps", "start")]
        if shapes != [(len(self.features), width), (width, width), (width,)] or self.chain.dense.shape[1:] != (width,):
            raise ValueError(f"shapes {shapes} do not fit {len(self.features)} features and {len(self.attributes)} attributes")
        if not all(np.isfinite(getattr(self.chain, name)).all() for name in ARRAYS):
            raise ValueError("some of its values are not finite")


def level_above(category: str) -> str:
    """What a category is part of; empty at the top.

    >>> level_above("Drinks > Tea"), level_above("Drinks")
    ('Drinks', '')
    """
    return category.rpartition(CATEGORY_SEPARATOR)[0]


def tags_of(places: Iterable[int]) -> np.ndarray:
    """int64, ascending: the tags of attributes, with that of no attribute.

    >>> tags_of([2, 0])
    array([0, 1, 2, 5, 6])
    """
    return np.array([0, *sorted(tag for place in places for tag in (2 * place + 1, 2 * place + 2))], np.int64)
