"""The files of a bundle, by name, and how each is read once the manifest has vouched for it.

manifest.json, model.sig where it is signed, README.md, items.parquet, vectors.safetensors, lexical.safetensors, lexical.json,
vocabulary.parquet, segments.json, golden.json, reference.json, shelves.parquet, ranker/, student/,
families/<promoted segment or family>/, where a shop has them histories.safetensors, click/, promotions/, users.parquet,
attributes.parquet and tasks/<proven task>/, and where it has very many texts texts.faiss.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import ValidationError

from recsys_core.adaptation import Adapter, Prior, prepare
from recsys_core.arguments import show
from recsys_core.artefacts import map_arrays, read_json
from recsys_core.errors import BundleError
from recsys_core.interactions import KNOTS, Catalogue
from recsys_core.metrics import tie_ranks
from recsys_core.promotions import Shelves
from recsys_core.pseudonyms import UserKeys
from recsys_core.retrieval import (
    Documents,
    EncodesQueries,
    Grouping,
    ItemAttributes,
    LexicalIndex,
    Offsets,
    Phrases,
    Scaled,
    SearchConfig,
    TextIndex,
    gather_phrases,
    log_shares,
    scaled,
)
from recsys_core.serving.filters import ItemColumns
from recsys_core.serving.routing import Route, Router
from recsys_core.serving.verification import REMAKE, TRUSTED_KEY, verify_bundle
from recsys_core.shoppers import KnownAttributes, KnownHistories

if TYPE_CHECKING:
    from recsys_core.adaptation import Family
    from recsys_core.base_model import ClickModel, Ranker
    from recsys_core.promotions import PromotionWeights
    from recsys_core.tasks import TaskParts

ITEMS = "items.parquet"
ATTRIBUTES = "attributes.parquet"
VECTORS = "vectors.safetensors"
INDEX = "texts.faiss"
SEGMENTS = "segments.json"
GOLDEN = "golden.json"
REFERENCE = "reference.json"
SHELVES = "shelves.parquet"
USERS = "users.parquet"
HISTORIES = "histories.safetensors"
RANKER = "ranker"
STUDENT = "student"
FAMILIES = "families"
CLICK = "click"
PROMOTIONS = "promotions"
LOGITS_KEPT = 2_000_000  # floats of the members' logits that stay in memory, and of the requests'; every worker has its own


@dataclass(frozen=True)
class BundleParts:
    """A bundle in memory.

    Args:
        ties: int32 [N], the order among equal scores.
        families: of every promoted segment and family.
        users: attributes of shoppers; None where no promoted segment asks for any.
        histories: of known shoppers; None where none are kept.
        promotions: what the shop promotes, for whom and when; None where none are kept.
        attributes: what was read off the items' texts.
        index: of the texts' vectors; None: every query scores all of them.
        reference: what monitors compare with; empty while the bundle is made.
    """

    folder: Path
    manifest: dict[str, Any]
    catalogue: Catalogue
    ranker: Ranker
    ties: np.ndarray
    families: dict[str, Family]
    router: Router
    lexical: LexicalIndex
    search: SearchConfig
    shelves: Shelves
    users: KnownAttributes | None
    histories: KnownHistories | None
    click: ClickModel | None
    promotions: PromotionWeights | None
    attributes: ItemAttributes
    index: TextIndex | None
    reference: dict[str, Any]

    def name_of(self, user_id: str | None) -> str | None:
        """The name under which the bundle knows a shopper; raises BundleError without the key that it was made with."""
        key = self.manifest.get("user_key")
        return user_id if user_id is None or key is None else UserKeys.from_environment().in_bundle(user_id, key)

    @property
    def popularity(self) -> np.ndarray:
        """float32 [N]: how often each item was taken in training."""
        return self.ranker.counts.popularity

    @cached_property
    def log_share(self) -> np.ndarray:
        """float32 [N], see `log_shares`."""
        return log_shares(self.popularity)

    @cached_property
    def columns(self) -> ItemColumns:
        """What filters read."""
        return ItemColumns(self.attributes.fill(self.catalogue.items))

    @cached_property
    def prices(self) -> np.ndarray:
        """float64 [N], NaN where unknown."""
        return self.catalogue.items["price"].to_numpy().astype(np.float64)

    @cached_property
    def encoder(self) -> EncodesQueries:
        """The query encoder; its runtime is only started by the first search."""
        from recsys_core.student import load_student

        return load_student(self.folder / STUDENT, verified=True)

    @cached_property
    def labelled(self) -> TaskParts:
        """Labelled tasks, and who reads their texts."""
        from recsys_core.tasks import TaskParts

        return TaskParts(self.folder, self.folder / STUDENT, self.manifest["tasks"], self.catalogue, self.search.text > 0)

    @cached_property
    def prior(self) -> Prior:
        """The base as the closed form sees it; prepared by the first request-time adaptation."""
        return prepare(self.catalogue, self.popularity, self.manifest["lock"])

    @cached_property
    def newest_day(self) -> date:
        """The shop's day of the newest event: that of a request which names no time."""
        return self.router.local_day(self.ranker.counts.newest)

    @property
    def documents(self) -> Documents:
        """What words are searched in."""
        return self.lexical.documents

    @cached_property
    def phrases(self) -> Phrases:
        """What completions are taken from; gathered for the first."""
        items, taken = self.catalogue.items, self.popularity.tolist()
        return gather_phrases({name: items[name].to_list() for name in ("title", "category", "brand")}, taken)

    @cached_property
    def items_of(self) -> Grouping:
        """Which items share a document."""
        return Grouping(self.documents.of_item, len(self.documents.texts))

    @cached_property
    def search_popularity(self) -> np.ndarray:
        """float32 [N]: popularity's part of a search."""
        return np.float32(self.search.popularity) * self.log_share

    @cached_property
    def member(self) -> Callable[[str, str], tuple[Adapter, dict[str, np.ndarray]]]:
        """(segment, member) → its adapter and the named logits, each float32 [N], unscaled; those asked for last are kept."""
        def read(segment: str, member: str) -> tuple[Adapter, dict[str, np.ndarray]]:
            adapter = self.families[segment].adapter(member)
            if adapter is None:
                raise BundleError(str(self.folder), f"family {segment!r} has no shots of {member!r}", REMAKE)
            parts = {name: part for name, part in adapter.parts(self.catalogue).items() if part.any()}
            for part in parts.values():
                part.flags.writeable = False
            return adapter, parts

        return lru_cache(max(4, LOGITS_KEPT // max(3 * len(self.catalogue), 1)))(read)

    @cached_property
    def offsets(self) -> Callable[[str | None, str, int, tuple[tuple[str, str], ...], date], Offsets]:
        """(segment or None, member, known steps, context, day) → what is added to the base; those asked for last are kept.

        One that is kept holds two sums of its own, for lists and for searches, at most.
        """
        def add_up(segment: str | None, member: str, steps: int, context: tuple[tuple[str, str], ...], day: date) -> Offsets:
            named = {}
            if segment is not None:
                adapter, logits = self.member(segment, member)
                named = scaled(logits, adapter.weight(steps))
            if self.promotions is not None:
                values = promoted(context, day)
                named |= {name: Scaled(values[name], weight) for name, weight in self.promotions.weighing(steps).items()}
            return Offsets(named)

        @lru_cache(4)
        def promoted(context: tuple[tuple[str, str], ...], day: date) -> dict[str, np.ndarray]:
            assert self.promotions is not None
            return self.promotions.promotions.features(dict(context), day)

        kept = lru_cache(max(4, LOGITS_KEPT // max(2 * len(self.catalogue), 1)))(add_up)
        if self.promotions is None:  # then neither context nor day changes anything
            return lambda segment, member, steps, context, day: kept(segment, member, min(steps, KNOTS[-1]), (), date.min)
        return lambda segment, member, steps, context, day: kept(segment, member, min(steps, KNOTS[-1]), context, day)


def family_folder(segment: str) -> str:
    """Where a promoted segment or family lies in a bundle."""
    return f"{FAMILIES}/{segment}"


def read_parts(folder: Any, key: Any = None) -> BundleParts:
    """Verify a bundle and read it.

    Args:
        folder: its path.
        key: path of the public key that must have signed it; None: that of RECSYS_TRUSTED_KEY, where it is set.

    Raises:
        BundleError: no path; it does not verify, or what it holds does not fit together.
        AdapterError: an adapter made for another base.
    """
    key = key if key is not None else os.environ.get(TRUSTED_KEY) or None
    for value, fix in ((folder, "give the folder of a bundle"), (key or folder, "give the file of a public key")):
        if not isinstance(value, str | PathLike) or isinstance(fspath(value), bytes) or not str(value):
            raise BundleError("bundle", f"{show(value)} is no path", fix)
    try:
        manifest = verify_bundle(Path(folder), None if key is None else Path(key))
    except (OSError, ValueError) as error:  # a name too long, a null byte, a folder that may not be read
        raise BundleError(show(folder), f"cannot be read ({error})", "give the folder of a bundle") from None
    return open_parts(Path(folder), manifest)


def open_parts(folder: Path, manifest: dict[str, Any]) -> BundleParts:
    """Read a bundle whose files are known to be right; raises as `read_parts`."""
    try:
        return _read_verified(folder, manifest)
    except (OSError, KeyError, ValueError, ValidationError, pl.exceptions.PolarsError) as error:
        first = " ".join(str(error).split("\n")[:1])
        raise BundleError(str(folder), f"cannot be read ({type(error).__name__}: {first})", REMAKE) from error


def _read_verified(folder: Path, manifest: dict[str, Any]) -> BundleParts:
    from recsys_core.adaptation import Family
    from recsys_core.base_model import Ranker

    arrays = map_arrays(folder / VECTORS)
    catalogue = Catalogue(pl.read_parquet(folder / ITEMS, glob=False), arrays["text_of_item"], arrays["vectors"])
    users = KnownAttributes.load(folder / USERS) if (folder / USERS).exists() else None
    histories = KnownHistories.load(folder / HISTORIES) if (folder / HISTORIES).exists() else None
    index = TextIndex.load(folder / INDEX, catalogue.vectors) if (folder / INDEX).exists() else None
    extracted = pl.read_parquet(folder / ATTRIBUTES, glob=False) if (folder / ATTRIBUTES).exists() else None
    attributes = ItemAttributes({}, {}, {}) if extracted is None else ItemAttributes.of(extracted, catalogue.row_of)
    routes = [Route(**route) for route in read_json(folder / SEGMENTS)]
    click = None
    if (folder / CLICK).is_dir():
        from recsys_core.base_model import ClickModel

        click = ClickModel.load(folder / CLICK)
    promotions = None
    if (folder / PROMOTIONS).is_dir():
        from recsys_core.promotions import PromotionWeights

        promotions = PromotionWeights.load(folder / PROMOTIONS, catalogue)
    ranker = Ranker.load(folder / RANKER, catalogue)
    families = {route.name: Family.load(folder / family_folder(route.name), manifest["lock"])
                for route in routes if route.decision == "promoted"}
    router = Router(routes, manifest["segment_order"], catalogue.items.drop("text"),
                    users.table.columns if users else (), manifest["context"],
                    {name: [member for member in family.members if family.shots(member)]
                     for name, family in families.items()}, manifest["time_zone"])
    return BundleParts(
        folder, manifest, catalogue, ranker, tie_ranks(catalogue.item_ids, ranker.counts.popularity), families, router,
        LexicalIndex.load(folder), SearchConfig(**manifest["search"]),
        Shelves(pl.read_parquet(folder / SHELVES, glob=False), catalogue.row_of), users, histories, click, promotions, attributes,
        index, read_json(folder / REFERENCE) if (folder / REFERENCE).is_file() else {})
