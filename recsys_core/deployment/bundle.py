"""Writing a bundle: the one folder that serving reads.

Everything is checked, loaded and asked once in a staging folder; the old bundle is replaced by a
rename after that, or not at all.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, Field, ValidationError

from recsys_core.adaptation import Family
from recsys_core.artefacts import staged_folder, write_json
from recsys_core.deployment.card import CARD
from recsys_core.deployment.golden import trust_promoted
from recsys_core.deployment.labelled import ship_tasks, tell_tasks
from recsys_core.deployment.manifest import write_manifest
from recsys_core.deployment.tables import write_attributes, write_histories, write_shelves, write_tables, write_users
from recsys_core.errors import BundleError
from recsys_core.interactions import Catalogue, Interactions
from recsys_core.monitoring import make_reference, self_test
from recsys_core.promotions import PromotionWeights
from recsys_core.pseudonyms import common_key
from recsys_core.retrieval import INDEX_ABOVE, SearchConfig
from recsys_core.schema import POSITIVE_EVENTS
from recsys_core.serving import (
    CLICK,
    GOLDEN,
    PROMOTIONS,
    RANKER,
    REFERENCE,
    SEGMENTS,
    STUDENT,
    Bundle,
    Route,
    family_folder,
    open_parts,
)
from recsys_core.signatures import sign_folder

log = logging.getLogger(__name__)


class BundleConfig(BaseModel, frozen=True, extra="forbid"):
    """How a bundle answers."""

    search: SearchConfig = SearchConfig()
    time_zone: str = Field("UTC", description="the shop's; scenes and shelves start and end on its days")
    default_event_type: str = Field("purchase", description="what a history's bare item id counts as")
    segment_order: tuple[str, ...] = Field((), description="which fitting segment or family `auto` prefers, "
                                                            "first wins")
    context: tuple[str, ...] = Field((), description="names that a request's context may hold")
    index_above: int = Field(INDEX_ABOVE, ge=0, description="distinct texts above which searches ask an index of their vectors")


def write_bundle(folder: Path, *, catalogue: Catalogue, ranker_folder: Path, student_folder: Path,
                 families: Mapping[str, Path], routing: Sequence[dict[str, Any]], lock: dict[str, str],
                 metrics: dict[str, Any], lineage: dict[str, Any], licences: dict[str, str],
                 windows: dict[str, Any], config: BundleConfig, card: str,
                 golden: Sequence[dict[str, Any]],
                 requests: Sequence[Mapping[str, Any]], click_folder: Path | None = None,
                 users: pl.DataFrame | None = None, shelves: pl.DataFrame | None = None,
                 promotions: PromotionWeights | None = None, histories: Interactions | None = None,
                 tasks: Path | None = None, attributes: pl.DataFrame | None = None,
                 signing_key: Path | None = None) -> dict[str, Any]:
    """Write a bundle into `folder`, replacing what is there only when the new one answers.

    Args:
        ranker_folder: as `Ranker.save` wrote it.
        student_folder: the folder `student` that `build_student` wrote.
        click_folder: as `ClickModel.save` wrote it; None where there is no click model.
        families: promoted segment or family → the folder `Family.save` wrote. Trust in it is taken back where the route's
            audiences end.
        routing: one `serving.routing.Route` per segment and family of the shop, refused ones with their reason.
        lock: hashes of the base that every adapter must have been made on.
        metrics: the summary that `recsys inspect` shows.
        lineage: shop, first and last day, code commit, cycle, run, encoder and data versions, as far as they are known.
        licences: what each part may be used under.
        windows: of the base that was gated and of the refit that ships.
        config: how it answers.
        card: the model card, Markdown.
        golden: requests with the training side's answers, as `golden.Trained` gives them; the files must agree.
        requests: arguments of `Bundle.recommend`, such as will be sent: what the monitors compare with.
        users: user_id and attributes; only those a promoted segment asks for are kept.
        shelves: `promotions.SHELF_COLUMNS`; only items of the catalogue are kept.
        promotions: what is promoted and what it counts; None: nothing, or it was not worth keeping.
        tasks: as `adapt_tasks` wrote them; only proven ones are kept. None: the shop has no labels.
        attributes: `schema.ITEM_ATTRIBUTES`; None: none was extracted.
        signing_key: PEM file of the private key that signs it; None leaves it unsigned.
        histories: events of the catalogue's items; each shopper's newest are kept, under a digest of the id. None: nobody's.

    Returns:
        the manifest.

    Raises:
        BundleError: what was given does not make a bundle; the old one stays.
        AdapterError: a family was made for another base; the old bundle stays.
    """
    routes = _check_routes(routing, families, config)
    with staged_folder(Path(folder)) as staging:
        write_tables(staging, catalogue, config.index_above if config.search.text else None)
        write_json(staging / SEGMENTS, [route.model_dump(mode="json") for route in routes])
        write_users(staging, routes, users)
        known = write_histories(staging, histories)
        shelved = write_shelves(staging, catalogue, shelves)
        for source, name in [(ranker_folder, RANKER), (student_folder, STUDENT), (click_folder, CLICK)]:
            if source is not None:
                _copy(Path(source), staging / name)
        labelled = ship_tasks(staging, tasks)
        columns = {} if attributes is None else write_attributes(staging, catalogue.items, attributes)
        shipped = {route.name: _write_family(staging, route, families[route.name], lock, catalogue)
                   for route in routes if route.name in families}
        if promotions is not None:
            (staging / PROMOTIONS).mkdir()
            promotions.write(staging / PROMOTIONS)
        about = {
            "items": len(catalogue), "lock": dict(lock), "metrics": metrics, "lineage": lineage,
            "licences": licences, "windows": windows, "time_zone": config.time_zone,
            "default_event_type": config.default_event_type, "segment_order": list(config.segment_order),
            "context": list(config.context), "families": shipped, "shelves": shelved,
            "promotions": [] if promotions is None else promotions.promotions.names,
            "known_shoppers": known, "user_key": None if histories is None else common_key(histories.user_ids), "tasks": labelled,
            "attributes": columns, "search": config.search.model_dump()}
        write_json(staging / GOLDEN, list(golden))
        bundle = Bundle(open_parts(staging, about))
        if faults := self_test(bundle):
            raise BundleError("bundle", f"{len(faults)} of {len(golden)} golden requests disagree with training; {faults[0]}",
                              "find what the export changed, or run the stages again")
        write_json(staging / REFERENCE, make_reference(bundle, requests))
        (staging / CARD).write_text(tell_tasks(card, labelled), encoding="utf-8")
        manifest = write_manifest(staging, about)
        if signing_key is not None:
            sign_folder(staging, signing_key)
        log.info("bundle: %d items, %d families, %d shelves, %.1f MB", len(catalogue), len(shipped), len(shelved),
                 sum(entry["size"] for entry in manifest["files"].values()) / 1e6)
    return manifest


def _check_routes(routing: Sequence[dict[str, Any]], families: Mapping[str, Path],
                  config: BundleConfig) -> list[Route]:
    """Every promoted segment has an adapter, and no other has one: what was refused never ships."""
    try:
        routes = [Route(**route) for route in routing]
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError("routing", f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
                          "see recsys_core.serving.routing.Route") from None
    names = [route.name for route in routes]
    if len(set(names)) != len(names) or "auto" in names:
        raise BundleError("routing", f"segment names {sorted(names)} repeat, or one is 'auto'",
                          "rename the segment in shop.yaml")
    promoted = {route.name for route in routes if route.decision == "promoted"}
    if promoted != set(families):
        odd = sorted(promoted ^ set(families))[0]
        raise BundleError("routing", f"segment {odd!r} is promoted without an adapter" if odd in promoted
                          else f"segment {odd!r} has an adapter but was not promoted", "evaluate it again")
    unknown = set(config.segment_order) - set(names)
    if unknown:
        raise BundleError("segment_order", f"{sorted(unknown)[0]!r} is no segment or family", "correct shop.yaml")
    if config.default_event_type not in POSITIVE_EVENTS:
        raise BundleError("default_event_type", f"{config.default_event_type!r} is no positive event",
                          f"use one of {POSITIVE_EVENTS}")
    return routes


def _write_family(staging: Path, route: Route, source: Path, lock: dict[str, str], catalogue: Catalogue) -> dict[str, Any]:
    """Ship a family for the audiences it was promoted for; what the manifest says of it."""
    family = Family.load(Path(source), lock)
    if (family.name, family.by) != (route.name, route.by or ""):
        raise BundleError(f"adapter of {route.name!r}", f"was made for {family.name!r} {family.by}", "re-adapt the segment")
    family = trust_promoted(family, route.audiences)
    members = [member for member in family.members if family.shots(member)]
    adapters = (family.adapter(member) for member in members)
    if not family.trust.any() or not any(one is not None and one.is_live(catalogue) for one in adapters):
        raise BundleError(f"adapter of {route.name!r}", "changes nothing", "re-adapt the segment, or refuse it")
    family.save(staging / family_folder(route.name))
    return {"by": route.by, "members": len(members), "audiences": list(route.audiences)}


def _copy(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise BundleError(target.name, f"{source} is missing", "run the stage that writes it")
    shutil.copytree(source, target)
