"""From the stages' artefacts to one bundle: which adapters ship, how requests find them, where it all comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from recsys_core.adaptation import FAMILY, Family, Study
from recsys_core.artefacts import read_json
from recsys_core.base_model import SERVING, BaseModelArtefact, lock_encoder
from recsys_core.deployment.bundle import BundleConfig, write_bundle
from recsys_core.deployment.card import make_licences, model_card
from recsys_core.deployment.golden import Trained, make_golden, report_requests, trust_promoted
from recsys_core.deployment.manifest import code_commit
from recsys_core.deployment.searching import LearnedSearch
from recsys_core.deployment.shelves import make_shelves
from recsys_core.distillation import ASKED
from recsys_core.errors import BundleError
from recsys_core.evaluation import PROMOTIONS, Results, SegmentResult, read_judged
from recsys_core.ingestion import FamilySpec, SegmentSpec, ShopConfig, split_condition
from recsys_core.interactions import BASE
from recsys_core.promotions import PromotionWeights, make_promotions
from recsys_core.retrieval import build_lexical
from recsys_core.schema import POSITIVE_EVENTS
from recsys_core.serving import STUDENT
from recsys_core.student import STUDENT_SETTINGS


def build_bundle(folder: Path, *, study: Study, student: Path, adapters: Mapping[str, Path], results: Results,
                 shop: ShopConfig, users: pl.DataFrame | None, lineage: Mapping[str, Any],
                 search: LearnedSearch, shelves: pl.DataFrame | None = None, promotions: pl.DataFrame | None = None,
                 tasks: Path | None = None, attributes: pl.DataFrame | None = None, signing_key: Path | None = None) -> dict:
    """Write the bundle of what is refitted through the newest day, with the promoted segments and families.

    Args:
        folder: where the bundle is written.
        study: the shop's events beside the base.
        student: the student's folder.
        adapters: segment or family → its adapter's artefact.
        results: the evaluation, with the final decisions.
        shop: the shop's settings.
        users: the shop's shoppers with their columns; None where it has no such table.
        lineage: what the caller knows of where this comes from: encoder, cycle, run, data versions of the inputs.
        search: the weights of a search, and what they were learned from.
        shelves: `schema.RAW_SHELVES`.
        promotions: `schema.RAW_PROMOTIONS`; they ship where they serve anybody.
        tasks: what `adapt_tasks` made of the shop's labels.
        attributes: what these read off the items' texts.
        signing_key: PEM file of the private key that signs the bundle; None leaves it unsigned.

    Returns:
        the manifest.
    """
    base, window = study.base, study.base.plan[BASE]
    _check_space(base, student)
    decided = {segment.name: segment for segment in results.segments}
    shipped = {name: adapters[name] / FAMILY for name, found in decided.items()
               if found.decision == "promoted" and (adapters[name] / FAMILY).is_dir()}
    specs: list[SegmentSpec | FamilySpec] = [*shop.segments, *shop.families]
    routes = [_route(spec, decided[spec.name], study, spec.name in shipped) for spec in specs if spec.name in decided]
    click = base.folder / "click" / SERVING
    words = build_lexical(base.catalogue.items, base.catalogue.text_of_item)
    origin = {"shop": shop.name, "first_day": results.shop.first_day, "last_day": results.shop.last_day,
              "commit": code_commit(), "search": search.about, **lineage}
    licences = make_licences(origin.get("encoder", "unknown"), shop)
    weighted, event_type = _weighted(base, promotions), _usual_event(study)
    shelved = make_shelves(shelves, study.events, base.catalogue, shop.time_zone)
    audiences = {route["name"]: route["audiences"] for route in routes if route["audiences"]}
    trained = Trained(base.catalogue, study.serving[0],
                      {name: trust_promoted(Family.load(shipped[name], base.lock), whom) for name, whom in audiences.items()},
                      weighted, shelved, read_json(student / ASKED), words, search.config, shop.time_zone, event_type)
    return write_bundle(
        folder, catalogue=base.catalogue, ranker_folder=base.folder / "rankers" / SERVING,
        student_folder=student / STUDENT, families=shipped, routing=routes, lock=base.lock, metrics=_headline(results),
        lineage=origin, licences=licences, card=model_card(results, licences, origin),
        golden=make_golden(study, trained, shop, audiences), requests=report_requests(study, shop, list(audiences)),
        windows={"judged": window.to_dict(), "shipped_through": base.summary["through"]},
        config=BundleConfig(search=search.config, time_zone=shop.time_zone, segment_order=shop.segment_order,
                            context=shop.context, default_event_type=event_type),
        click_folder=click if click.is_dir() else None, users=users, promotions=weighted, shelves=shelved,
        histories=study.events, tasks=tasks, attributes=attributes, signing_key=signing_key)


def _check_space(base: BaseModelArtefact, student: Path) -> None:
    """See that queries are read into the space of the item vectors; where texts are not read, none are.

    Raises:
        BundleError: the student's teacher is not the encoder that made the base's vectors.
    """
    teacher = lock_encoder(read_json(student / STUDENT / STUDENT_SETTINGS)["teacher"])
    if base.reads_texts and any(base.lock[name] != value for name, value in teacher.items()):
        raise BundleError("student", "was distilled from another encoder than the one that made the item vectors",
                          "distil it again from the base's encoder")


def _route(spec: SegmentSpec | FamilySpec, found: SegmentResult, study: Study, ships: bool) -> dict:
    codes, members = study.codes(spec.name)
    share = float((codes >= 0).sum()) / max(len(codes), 1) / max(len(members), 1)
    gains = {name: one.gate_gain.to_json() for name, one in found.by_audience.items() if one.gate_gain}
    route = {"name": spec.name, "decision": "promoted" if ships else "refused", "reason": found.reason, "share": share,
             "audiences": found.audiences if ships else [], "method": found.method, "shots": found.shots,
             "evidence": {"gate_gain": gains} if gains else {}}
    if isinstance(spec, FamilySpec):
        return {**route, "kind": "family", "by": spec.by}
    condition = split_condition(spec.where, spec.name)
    return {**route, "kind": spec.kind, "asked": condition.asked, "candidates": condition.candidates,
            "start": spec.start, "end": spec.end, "first_days": spec.first_days}


def _weighted(base: BaseModelArtefact, promotions: pl.DataFrame | None) -> PromotionWeights | None:
    """The newest promotions with the weights that were learned for them; None where they were not kept."""
    judged = read_judged(base.folder)
    if promotions is None or not judged or not judged["audiences"]:
        return None
    return PromotionWeights.load(base.folder / PROMOTIONS, base.catalogue).on(make_promotions(promotions, base.catalogue))


def _headline(results: Results) -> dict:
    return {method.method: {name: interval.mean for name, interval in method.metrics["all"].items()}
            for method in results.methods if "all" in method.metrics}


def _usual_event(study: Study) -> str:
    """The event type most positive events have: what a history's bare item id counts as."""
    types = study.events.event_type
    return POSITIVE_EVENTS[int(pl.Series(types).mode().sort()[0])] if len(types) else "purchase"
