"""Which segments must be adapted again: another base, or new events of their own, unless they are known not to pay."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from recsys_core.adaptation.shots import ShotConfig, count_shots, is_support_user
from recsys_core.artefacts import read_json

NEW_EVENTS = "it has new events"


def segment_fingerprints(segment_events: pl.DataFrame, names: Iterable[str]) -> dict[str, str]:
    """A hash of each segment's event ids (sorted): where it is unchanged, so are its shots."""
    ids = {name: frame["event_id"].sort().to_list() for (name,), frame in
           segment_events.partition_by("segment", as_dict=True).items()}
    return {name: hashlib.sha256("\n".join(ids.get(name, [])).encode()).hexdigest() for name in names}


def stale_adapters(adapters: Path, base_model: Path, features: Path, names: Iterable[str]) -> dict[str, str]:
    """The segments whose artefact does not fit the present base and events, with the reason.

    Args:
        adapters: folder with one folder per segment. base_model: the built base.
        features: folder of the feature tables' snapshots. names: segments to look at.
    """
    lock = read_json(base_model / "base.json")["lock"]
    current = segment_fingerprints(pl.read_parquet(features / "segment_events.parquet"), names)
    stale = {}
    for name, fingerprint in current.items():
        about = read_json(adapters / name / "segment.json")
        changed = [key for key in lock if about["lock"].get(key) != lock[key]]
        if changed:
            stale[name] = f"the base has another {changed[0]}"
        elif about["fingerprint"] != fingerprint:
            stale[name] = NEW_EVENTS
    return stale


def rests(evaluation: Mapping[str, Any], shots: int) -> str:
    """Why a segment with so many support shots is not adapted again by its last evaluation; empty where it is."""
    needed, curve = evaluation.get("adapt_from", 0), evaluation.get("curve")
    if curve is None or shots >= needed:
        return ""
    if curve["break_even"]:
        return f"adapting pays from {needed} shots on, it has {shots}"
    return f"adapting did not pay with {curve['available']} shots: not again before it has {needed}, it has {shots}"


def resting_segments(adapters: Path, evaluations: Path, base_model: Path, features: Path, names: Iterable[str]
                     ) -> dict[str, str]:
    """Of segments with new events on an unchanged base, those that are left as they are, with the reason.

    Args:
        adapters, evaluations: folders with one folder per segment. base_model, features: as `stale_adapters`.
    """
    plan = read_json(base_model / "base.json")["plan"]
    judged = {name: read_json(evaluations / name / "evaluation.json") for name in names if name in plan}
    waiting = {name: found for name, found in judged.items() if rests(found, 0)}
    if not waiting:
        return {}
    events = pl.read_parquet(features / "segment_events.parquet").filter(pl.col("segment").is_in(list(waiting))).join(
        pl.read_parquet(features / "interactions.parquet").select("event_id", "user_id", pl.col("timestamp").dt.epoch("s")),
        on="event_id")
    resting = {}
    for name, found in waiting.items():
        config = ShotConfig(**read_json(adapters / name / "segment.json")["config"]["shots"])
        window = plan[name]
        givers = events.filter((pl.col("segment") == name) & (pl.col("timestamp") >= window["support_start"])
                               & (pl.col("timestamp") < window["gate_start"]))["user_id"]
        supports = is_support_user(givers.to_list(), config.support_users)
        reason = rests(found, count_shots(givers.rank("dense").to_numpy()[supports], found["curve"]["cap"]))
        if reason:
            resting[name] = reason
    return resting
