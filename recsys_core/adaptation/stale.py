"""Which segments and families must be adapted again: another base, or new events of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from recsys_core.artefacts import read_json
from recsys_core.features import family_values, read_features
from recsys_core.ingestion import FamilySpec, SegmentSpec, ShopConfig


def fingerprints(names: Iterable[str], specs: Mapping[str, SegmentSpec | FamilySpec], segment_events: pl.DataFrame,
                 interactions: pl.DataFrame, users: pl.DataFrame | None) -> dict[str, str]:
    """A hash of each segment's event ids, and of each family's with the member of every event: the same shots, the same hash.

    Args:
        specs: name → the segment or family.
        segment_events: the feature table.
        interactions: the feature table.
        users: see `Study`.
    """
    names = list(names)
    families = {name: spec for name in names if isinstance(spec := specs.get(name), FamilySpec)}
    found = segment_fingerprints(segment_events, [name for name in names if name not in families])
    for name, family in families.items():
        values = family_values(family, interactions, users)
        rows = pl.DataFrame({"event_id": interactions["event_id"], "member": values}).drop_nulls("member").sort("event_id")
        found[name] = _digest(rows.select(pl.concat_str("event_id", "member", separator="\t")).to_series())
    return found


def segment_fingerprints(segment_events: pl.DataFrame, names: Iterable[str]) -> dict[str, str]:
    """A hash of each segment's event ids (sorted): where it is unchanged, so are its shots."""
    ids = {name: frame["event_id"].sort() for (name,), frame in
           segment_events.partition_by("segment", as_dict=True).items()}
    return {name: _digest(ids.get(name, pl.Series([], dtype=pl.String))) for name in names}


def _digest(lines: pl.Series) -> str:
    return hashlib.sha256("\n".join(lines.to_list()).encode()).hexdigest()


def stale_adapters(adapters: Path, base_model: Path, features: Path, names: Iterable[str], shop: ShopConfig,
                   users: Path) -> dict[str, str]:
    """The segments and families whose artefact does not fit the present base and events, with the reason.

    Args:
        adapters: folder with one folder per name.
        base_model: the built base.
        features: folder of the feature tables.
        names: those to look at.
        shop: declares the segments and families.
        users: the table of shoppers.
    """
    names, lock = list(names), read_json(base_model / "base.json")["lock"]
    segment_events, interactions = (read_features(features, table).collect() for table in ("segment_events", "interactions"))
    every: list[SegmentSpec | FamilySpec] = [*shop.segments, *shop.families]
    specs = {spec.name: spec for spec in every}
    stale = {}
    for name, fingerprint in fingerprints(names, specs, segment_events, interactions, pl.read_parquet(users, glob=False)).items():
        about = read_json(adapters / name / "segment.json")
        changed = [key for key in lock if about["lock"].get(key) != lock[key]]
        if changed:
            stale[name] = f"the base has another {changed[0]}"
        elif about["fingerprint"] != fingerprint:
            stale[name] = "it has new events"
    return stale
