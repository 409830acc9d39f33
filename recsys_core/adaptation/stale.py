"""Which segments must be adapted again: another base, or new events of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from recsys_core.artefacts import read_json


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
            stale[name] = "it has new events"
    return stale
