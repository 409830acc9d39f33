"""A bundle without one shopper: no history, no attributes, and no golden request that could be one of theirs."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_core.artefacts import map_arrays, read_json, staged_folder, write_json
from recsys_core.deployment.labelled import MADE_ANEW
from recsys_core.deployment.manifest import write_manifest
from recsys_core.serving import GOLDEN, HISTORIES, MANIFEST, USERS, open_parts, verify_bundle
from recsys_core.shoppers import DIGEST, UserRows, digest_users
from recsys_core.signatures import SIGNATURE, sign_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shopper:
    """What is known of the shopper who goes.

    Args:
        user_id: the shop's. events: their clean events: event_id, item_id, query, timestamp.
    """

    user_id: str
    events: pl.DataFrame

    def others(self, golden: Sequence[Mapping[str, Any]], time_zone: str) -> list[Mapping[str, Any]]:
        """The golden requests, which name nobody, that cannot be this shopper's: of an item or a day they never had."""
        day = pl.col("timestamp").dt.convert_time_zone(time_zone).dt.date().cast(pl.String)
        taken = set(self.events.select("item_id", day).iter_rows())
        taken |= {(item, None) for item, _ in taken}
        queries = set(self.events["query"].drop_nulls())

        def own(request: Mapping[str, Any]) -> bool:
            events = [{"item_id": one} if isinstance(one, str) else one for one in request.get("history", [])]
            return request.get("query") in queries if "query" in request else bool(events) and all(
                (one["item_id"], one.get("timestamp")) in taken for one in events)

        return [one for one in golden if not own(one["request"])]


def forget_shopper(bundle: Path, shopper: Shopper, key: Path | None) -> bool:
    """Replace a bundle by a copy without the shopper, in one rename; False where it holds nothing of theirs.

    Args:
        bundle: its folder; what lies there is verified first.
        shopper: who goes.
        key: PEM file of the private key that signs a bundle that was signed. None leaves it unsigned.

    Raises:
        BundleError: the bundle does not verify.
    """
    golden = read_json(bundle / GOLDEN)
    kept = shopper.others(golden, read_json(bundle / MANIFEST)["time_zone"])
    arrays = map_arrays(bundle / HISTORIES) if (bundle / HISTORIES).is_file() else {}
    row = UserRows(arrays["digests"]).row(shopper.user_id) if arrays else None
    users = pl.read_parquet(bundle / USERS, glob=False) if (bundle / USERS).is_file() else None
    others = None if users is None else users.filter(~_is(shopper.user_id))
    if len(kept) == len(golden) and row is None and (users is None or others is None or others.height == users.height):
        return False
    about = {name: value for name, value in verify_bundle(bundle).items() if name not in MADE_ANEW}
    with staged_folder(bundle) as staging:
        shutil.copytree(bundle, staging, dirs_exist_ok=True)
        for name in (MANIFEST, SIGNATURE):
            (staging / name).unlink(missing_ok=True)
        write_json(staging / GOLDEN, kept)
        if others is not None:
            others.write_parquet(staging / USERS)
        if row is not None:
            _write_others(staging / HISTORIES, arrays, row)
            about["known_shoppers"] -= 1
        open_parts(staging, write_manifest(staging, about))
        if (bundle / SIGNATURE).is_file():
            _sign(staging, bundle, key)
    return True


def _is(user_id: str) -> pl.Expr:
    parts = zip(DIGEST, digest_users([user_id])[0].tolist(), strict=True)
    return pl.all_horizontal(pl.col(name) == pl.lit(part, pl.UInt64) for name, part in parts)


def _write_others(path: Path, arrays: Mapping[str, np.ndarray], row: int) -> None:
    """Write histories without those of one row."""
    from safetensors.numpy import save_file

    starts = arrays["starts"]
    begin, end = int(starts[row]), int(starts[row + 1])
    kept = {name: np.delete(arrays[name], slice(begin, end)) for name in ("items", "types", "times")}
    later = np.delete(starts, row + 1)
    later[row + 1:] -= end - begin
    save_file({**kept, "digests": np.delete(arrays["digests"], row, axis=0), "starts": later}, str(path))


def _sign(staging: Path, bundle: Path, key: Path | None) -> None:
    if key is not None:
        sign_folder(staging, key)
    else:
        log.warning("%s was signed, its copy is not: sign it again (recsys sign --bundle %s --key private.pem)", bundle, bundle)
