"""Writing a bundle: the one folder that serving reads.

Everything is checked, loaded and asked once in a staging folder; the old bundle is replaced by a
rename after that, or not at all.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, Field, ValidationError

from recsys_core.adaptation.adapter import Adapter
from recsys_core.artefacts import staged_folder, write_json
from recsys_core.base_model.data import Catalogue
from recsys_core.deployment.manifest import write_manifest
from recsys_core.errors import BundleError
from recsys_core.schema import POSITIVE_EVENTS
from recsys_core.serving.bundle import Bundle
from recsys_core.serving.files import (
    CLICK,
    GOLDEN,
    ITEMS,
    RANKER,
    SEGMENTS,
    STUDENT,
    USERS,
    VECTORS,
    adapter_folder,
)
from recsys_core.serving.golden import record
from recsys_core.serving.lexical import build_lexical
from recsys_core.serving.routing import Route
from recsys_core.serving.search import SearchConfig

log = logging.getLogger(__name__)


class BundleConfig(BaseModel, frozen=True, extra="forbid"):
    """How a bundle answers."""

    search: SearchConfig = SearchConfig()
    time_zone: str = Field("UTC", description="the shop's; scenes start and end on its days")
    default_event_type: str = Field("purchase", description="what a history's bare item id counts as")
    segment_order: tuple[str, ...] = Field((), description="which fitting segment `auto` prefers, first wins")


def write_bundle(folder: Path, *, catalogue: Catalogue, ranker_folder: Path, student_folder: Path,
                 adapters: dict[str, Path], routing: Sequence[dict[str, Any]], lock: dict[str, str],
                 metrics: dict[str, Any], lineage: dict[str, Any], licences: dict[str, str],
                 windows: dict[str, Any], config: BundleConfig, click_folder: Path | None = None,
                 users: pl.DataFrame | None = None) -> dict[str, Any]:
    """Write a bundle into `folder`, replacing what is there only when the new one answers.

    Args:
        ranker_folder, student_folder, click_folder: as their `save` wrote them.
        adapters: promoted segment → its adapter's folder. routing: one `serving.routing.Route` per
            segment of the shop, refused ones with their reason.
        lock: hashes of the base that every adapter must have been made on.
        metrics: the summary that `recsys inspect` shows. lineage: shop, first and last day, cycle
            and, where known, code commit. licences: what each part may be used under.
        windows: of the twin that was gated and of the refit that ships.
        users: user_id and attributes; only those a promoted predicate names are kept.

    Returns:
        the manifest.

    Raises:
        BundleError, AdapterError: what was given does not make a bundle; the old one stays.
    """
    routes = _check_routes(routing, adapters, config)
    with staged_folder(Path(folder)) as staging:
        _write_tables(staging, catalogue, routes, users)
        for source, name in [(ranker_folder, RANKER), (student_folder, STUDENT), (click_folder, CLICK),
                             *((path, adapter_folder(segment)) for segment, path in adapters.items())]:
            if source is not None:
                _copy(Path(source), staging / name)
        for segment in adapters:
            _check_live(Adapter.load(staging / adapter_folder(segment), lock), segment, catalogue)
        about = {
            "items": len(catalogue), "lock": dict(lock), "metrics": metrics, "lineage": lineage,
            "licences": licences, "windows": windows, "time_zone": config.time_zone,
            "default_event_type": config.default_event_type, "segment_order": list(config.segment_order),
            "search": config.search.model_dump()}
        write_manifest(staging, about)
        write_json(staging / GOLDEN, record(Bundle.load(staging)))
        manifest = write_manifest(staging, about)
        log.info("bundle: %d items, %d adapters, %.1f MB", len(catalogue), len(adapters),
                 sum(entry["size"] for entry in manifest["files"].values()) / 1e6)
    return manifest


def _check_routes(routing: Sequence[dict[str, Any]], adapters: dict[str, Path],
                  config: BundleConfig) -> list[Route]:
    """Every promoted segment has an adapter, and no other has one: what was refused never ships."""
    try:
        routes = [Route(**route) for route in routing]
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError("routing", f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
                          "see recsys_core.serving.routing.Route") from None
    names = [route.name for route in routes]
    if len(set(names)) != len(names) or {"auto", ""} & set(names):
        raise BundleError("routing", f"segment names {sorted(names)} repeat, or one is 'auto' or empty",
                          "rename the segment in shop.yaml")
    promoted = {route.name for route in routes if route.decision == "promoted"}
    if promoted != set(adapters):
        odd = sorted(promoted ^ set(adapters))[0]
        raise BundleError("routing", f"segment {odd!r} is promoted without an adapter" if odd in promoted
                          else f"segment {odd!r} has an adapter but was not promoted", "evaluate it again")
    unknown = set(config.segment_order) - set(names)
    if unknown:
        raise BundleError("segment_order", f"{sorted(unknown)[0]!r} is no segment", "correct shop.yaml")
    if config.default_event_type not in POSITIVE_EVENTS:
        raise BundleError("default_event_type", f"{config.default_event_type!r} is no positive event",
                          f"use one of {POSITIVE_EVENTS}")
    return routes


def _check_live(adapter: Adapter, segment: str, catalogue: Catalogue) -> None:
    if adapter.segment != segment:
        raise BundleError(f"adapter of {segment!r}", f"was made for {adapter.segment!r}",
                          "re-adapt the segment")
    if not adapter.is_live(catalogue):
        raise BundleError(f"adapter of {segment!r}", "changes nothing", "re-adapt the segment, or refuse it")


def _write_tables(staging: Path, catalogue: Catalogue, routes: Sequence[Route],
                  users: pl.DataFrame | None) -> None:
    from safetensors.numpy import save_file

    catalogue.items.write_parquet(staging / ITEMS)
    # float32: measured on 6,764 product texts, float16 reorders 1 in 100 lists of the ten nearest
    # items, and then what serves is no longer what was gated. Memory is float32 either way.
    save_file({"vectors": catalogue.vectors, "text_of_item": catalogue.text_of_item}, str(staging / VECTORS))
    build_lexical(catalogue.texts).save(staging)
    write_json(staging / SEGMENTS, [route.model_dump(mode="json") for route in routes])
    kept = _needed_attributes(routes, users)
    if kept is not None:
        kept.write_parquet(staging / USERS)


def _needed_attributes(routes: Sequence[Route], users: pl.DataFrame | None) -> pl.DataFrame | None:
    """user_id and the columns that a promoted predicate names; None where none does."""
    if users is None:
        return None
    words = {word.lower() for route in routes if route.decision == "promoted"
             for word in re.findall(r"\w+", route.where)}
    columns = [c for c in users.columns if c != "user_id" and c.lower() in words]
    return users.select("user_id", *columns).sort("user_id") if columns else None


def _copy(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise BundleError(target.name, f"{source} is missing", "run the stage that writes it")
    shutil.copytree(source, target)
