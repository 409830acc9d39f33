"""From the stages' artefacts to one bundle: which adapters ship, how requests find them, where it all comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from recsys_core.adaptation.segment import SERVING as SHIPPED
from recsys_core.adaptation.study import Study
from recsys_core.base_model.model import SERVING
from recsys_core.deployment.bundle import BundleConfig, write_bundle
from recsys_core.evaluation.results import Results, SegmentResult
from recsys_core.evaluation.windows import BASE
from recsys_core.ingestion.config import SegmentSpec, ShopConfig
from recsys_core.schema import POSITIVE_EVENTS
from recsys_core.serving.search import SearchConfig

LICENCES = {"code": "this project's own", "encoder": "that of the pretrained model named in lineage.encoder",
            "data": "the shop's; nothing but item rows and learned numbers is in the bundle"}


def build_bundle(folder: Path, *, study: Study, student: Path, adapters: Mapping[str, Path], results: Results,
                 shop: ShopConfig, users: pl.DataFrame | None, lineage: Mapping[str, str]) -> dict:
    """Write the bundle of what is refitted through the newest day, with the promoted segments' adapters.

    Args:
        adapters: segment → its adapter's artefact. results: the evaluation, with the final decisions.
        lineage: what the caller knows of where this comes from (cycle, encoder).

    Returns:
        the manifest.
    """
    base, window = study.base, study.base.plan[BASE]
    decided = {segment.name: segment for segment in results.segments}
    shipped = {name: adapters[name] / SHIPPED for name, found in decided.items()
               if found.decision == "promoted" and (adapters[name] / SHIPPED).is_dir()}
    routes = [_route(spec, decided[spec.name], study, spec.name in shipped)
              for spec in shop.segments if spec.name in decided]
    click = base.folder / "click" / SERVING
    return write_bundle(
        folder, catalogue=base.catalogue, ranker_folder=base.folder / "rankers" / SERVING,
        student_folder=student / "onnx", adapters=shipped, routing=routes, lock=base.lock, metrics=_headline(results),
        lineage={"shop": shop.name, "first_day": results.shop.first_day, "last_day": results.shop.last_day, **lineage},
        licences=LICENCES, windows={"judged": window.to_dict(), "shipped_through": base.summary["through"]},
        config=BundleConfig(search=SearchConfig() if base.reads_texts else SearchConfig(text=0.0),
                            time_zone=shop.time_zone, segment_order=shop.segment_order,
                            default_event_type=_usual_event(study)),
        click_folder=click if click.is_dir() else None, users=users)


def _route(spec: SegmentSpec, found: SegmentResult, study: Study, ships: bool) -> dict:
    share = float(study.member(spec.name).sum()) / max(len(study.events), 1)
    gain = found.gate_gain
    return {"name": spec.name, "kind": spec.kind, "decision": "promoted" if ships else "refused",
            "reason": found.reason, "start": spec.start, "end": spec.end, "where": spec.where,
            "first_days": spec.first_days, "share": share, "method": found.method, "shots": found.shots,
            "evidence": {"gate_gain": gain.to_json()} if gain else {}}


def _headline(results: Results) -> dict:
    return {method.method: {name: interval.mean for name, interval in method.metrics["all"].items()}
            for method in results.methods if "all" in method.metrics}


def _usual_event(study: Study) -> str:
    """The event type most positive events have: what a history's bare item id counts as."""
    types = study.events.event_type
    return POSITIVE_EVENTS[int(pl.Series(types).mode().sort()[0])] if len(types) else "purchase"
