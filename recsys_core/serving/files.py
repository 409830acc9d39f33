"""The files of a bundle, by name, and how each is read once the manifest has vouched for it.

manifest.json, items.parquet, vectors.safetensors, lexical.safetensors, vocabulary.parquet,
segments.json, golden.json, ranker/, student/, adapters/<segment>/, and where a shop has them
click/ and users.parquet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import polars as pl
from pydantic import ValidationError

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import Prior, prepare
from recsys_core.artefacts import read_json
from recsys_core.base_model.data import Catalogue
from recsys_core.errors import BundleError
from recsys_core.serving.lexical import LexicalIndex
from recsys_core.serving.routing import Route, Router
from recsys_core.serving.search import EncodesQueries, SearchConfig
from recsys_core.serving.selection import tie_ranks
from recsys_core.serving.verification import REMAKE, verify_bundle

if TYPE_CHECKING:
    from recsys_core.base_model.click import ClickModel
    from recsys_core.base_model.ranker import Ranker

ITEMS, VECTORS, SEGMENTS, GOLDEN, USERS = (
    "items.parquet", "vectors.safetensors", "segments.json", "golden.json", "users.parquet")
RANKER, STUDENT, ADAPTERS, CLICK = "ranker", "student", "adapters", "click"


@dataclass(frozen=True)
class BundleParts:
    """A bundle in memory.

    Args:
        ties: int32 [N], the order among equal scores. adapters: of every promoted segment.
        users: attributes by user_id, None where none are kept.
    """

    folder: Path
    manifest: dict[str, Any]
    catalogue: Catalogue
    ranker: Ranker
    ties: np.ndarray
    adapters: dict[str, Adapter]
    router: Router
    lexical: LexicalIndex
    search: SearchConfig
    users: pl.DataFrame | None
    click: ClickModel | None

    @property
    def popularity(self) -> np.ndarray:
        """float32 [N]: how often each item was taken in training."""
        return self.ranker.counts.popularity

    @cached_property
    def log_share(self) -> np.ndarray:
        """float32 [N]: log share of all events, smoothed by half an event each, least popular at 0."""
        logs = np.log(self.popularity.astype(np.float64) + 0.5)
        return (logs - logs.min()).astype(np.float32)

    @cached_property
    def encoder(self) -> EncodesQueries:
        """The query encoder; its runtime is only started by the first search."""
        from recsys_core.serving.text import OnnxEncoder

        return OnnxEncoder.load(self.folder / STUDENT)

    @cached_property
    def prior(self) -> Prior:
        """The base as the closed form sees it; prepared by the first request-time adaptation."""
        return prepare(self.catalogue, self.popularity, self.manifest["lock"])

    @cached_property
    def _offsets(self) -> dict[str, dict[str, np.ndarray]]:
        return {}

    def segment_offsets(self, name: str) -> dict[str, np.ndarray]:
        """A promoted segment's named logits, each float32 [N]; computed by its first request."""
        if name not in self._offsets:
            self._offsets[name] = self.adapters[name].parts(self.catalogue)
        return self._offsets[name]


def adapter_folder(segment: str) -> str:
    """Where a segment's adapter lies in a bundle; names may hold what folder names may not.

    >>> adapter_folder("FROZEN/DELI")
    'adapters/FROZEN%2FDELI'
    """
    return f"{ADAPTERS}/{quote(segment, safe=' ')}"


def read_parts(folder: Path) -> BundleParts:
    """Verify a bundle and read it.

    Raises:
        BundleError: it does not verify, or what it holds does not fit together.
        AdapterError: an adapter made for another base.
    """
    manifest = verify_bundle(folder)
    try:
        return _read_verified(folder, manifest)
    except (OSError, KeyError, ValueError, ValidationError, pl.exceptions.PolarsError) as error:
        first = str(error).splitlines()[0]
        raise BundleError(str(folder), f"cannot be read ({type(error).__name__}: {first})", REMAKE) from error


def _read_verified(folder: Path, manifest: dict[str, Any]) -> BundleParts:
    from safetensors.numpy import load_file

    from recsys_core.base_model.ranker import Ranker

    arrays = load_file(str(folder / VECTORS))
    catalogue = Catalogue(pl.read_parquet(folder / ITEMS), arrays["text_of_item"], arrays["vectors"])
    users = pl.read_parquet(folder / USERS) if (folder / USERS).exists() else None
    routes = [Route(**route) for route in read_json(folder / SEGMENTS)]
    click = None
    if (folder / CLICK).is_dir():
        from recsys_core.base_model.click import ClickModel

        click = ClickModel.load(folder / CLICK)
    promoted = [route.name for route in routes if route.decision == "promoted"]
    ranker = Ranker.load(folder / RANKER, catalogue)
    return BundleParts(
        folder, manifest, catalogue, ranker, tie_ranks(catalogue.item_ids, ranker.counts.popularity),
        {name: Adapter.load(folder / adapter_folder(name), manifest["lock"]) for name in promoted},
        Router(routes, manifest["segment_order"], catalogue.items.drop("text"), users, manifest["time_zone"]),
        LexicalIndex.load(folder), SearchConfig(**manifest["search"]), users, click)
