"""Where the chain works and how it is cut: the shop's days, and its segments and families.

Read once when the code location loads, from `RECSYS_SHOP` (a shop folder; unset: the embedded shop),
`RECSYS_HOME` (where everything is written; default `./var`), `RECSYS_PROFILE` (full or quick) and `RECSYS_SIGNING_KEY`.
Loading writes nothing. It must open the shop: Dagster asks for every partition's name when it imports the assets. So a fault
of the shop is raised here, while modules are imported, and `orchestration.command` tells it.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from recsys_core.artefacts import read_json
from recsys_core.collection import CollectedShop, read_erased
from recsys_core.errors import RecsysError
from recsys_core.ingestion import Shop, open_shop
from recsys_core.pseudonyms import UserKeys
from recsys_core.serving import MANIFEST
from recsys_core.signatures import own_key

# Dagster cuts a run by one contiguous range of partitions. A run over several stretches carries
# the range that spans them and, in this tag, the keys it really asks for (see `requested`).
PARTITIONS_TAG = "recsys/partitions"
RANGE_START_TAG, RANGE_END_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
PARTITION_TAG = "dagster/partition"
ABANDONED_AFTER = 86_400.0  # seconds after which an unpublished staging folder is a killed run's


class Home(dg.ConfigurableResource):
    """Where files go and which shop is read.

    Args:
        folder: RECSYS_HOME, absolute. shop: the shop folder, or None for the embedded shop.
        profile: `full`, or `quick` for the slice that CI runs.
        signing_key: PEM file of the private key that signs bundles; None: the home's own.
    """

    folder: str
    shop: str | None = None
    profile: Literal["full", "quick"] = "full"
    signing_key: str | None = None

    @classmethod
    def from_environment(cls) -> Home:
        """Read RECSYS_HOME, RECSYS_SHOP, RECSYS_PROFILE and RECSYS_SIGNING_KEY.

        Raises:
            RecsysError: a profile that does not exist.
        """
        profile = os.environ.get("RECSYS_PROFILE") or "full"
        if profile not in ("full", "quick"):
            raise RecsysError("RECSYS_PROFILE", f"{profile!r} is no profile", "use full or quick")
        return cls(folder=str(Path(os.environ.get("RECSYS_HOME") or "var").resolve()),
                   shop=os.environ.get("RECSYS_SHOP") or None,
                   profile=profile,  # type: ignore[arg-type]
                   signing_key=os.environ.get("RECSYS_SIGNING_KEY") or None)

    @property
    def path(self) -> Path:
        return Path(self.folder)

    def open_shop(self) -> Shop:
        """The shop all raw tables come from, with what the service collected on its finished days."""
        shop = open_shop(self.shop, self.profile, self.user_keys())
        return CollectedShop(shop, self.path / "collected", erased=read_erased(self.path))

    def user_keys(self) -> UserKeys:
        """The keys that name shoppers; read when asked for, since Dagster shows and stores a resource's fields.

        Raises:
            RecsysError: a broken key, or none in a home whose bundle has one: a forgotten variable must not let ids in.
        """
        keys, manifest = UserKeys.from_environment(read_erased(self.path)), self.path / "bundle" / MANIFEST
        if keys.present is None and manifest.is_file():
            keys.check(read_json(manifest).get("user_key"), str(manifest.parent))
        return keys

    def published(self, name: str) -> Path:
        """What an asset published last, for the assets that compare with an earlier night.

        Such an edge runs from last night to this one, so it cannot be an input: Dagster's graph has no circles.
        The folder is missing before the first time.
        """
        return self.path / name

    @property
    def vectors(self) -> Path:
        """Text vectors by encoder and text: a cache, safe to delete."""
        return self.path / "cache" / "vectors"

    def key(self) -> Path:
        """The private key that signs bundles; the home's own is made in `keys/` when it is first asked for."""
        return Path(self.signing_key) if self.signing_key else own_key(self.path / "keys")

    def staging(self, name: str) -> Path:
        """A new empty folder inside RECSYS_HOME, to build an artefact in before it is published."""
        return staging(self.path, name)


def staging(home: Path, name: str) -> Path:
    """A new empty folder inside `home`; folders that killed runs left there are swept away.

    Never those of this process: a clock that jumps a day ahead makes them look abandoned.
    """
    root = home / ".staging"
    root.mkdir(parents=True, exist_ok=True)
    for leftover in root.iterdir():
        if time.time() - leftover.stat().st_mtime > ABANDONED_AFTER and not leftover.name.endswith(f"-{os.getpid()}"):
            shutil.rmtree(leftover, ignore_errors=True)
    folder = root / f"{name}-{uuid.uuid4().hex[:8]}-{os.getpid()}"
    folder.mkdir()
    return folder


def _days_of(shop: Shop) -> dg.DailyPartitionsDefinition:
    first = shop.config.first_day or shop.days()[0]
    last = shop.config.last_day
    return dg.DailyPartitionsDefinition(
        start_date=first.isoformat(), timezone=shop.config.time_zone,
        end_date=(last + timedelta(days=1)).isoformat() if last else None)


home = Home.from_environment()
_shop = home.open_shop()
shop_config = _shop.config
profile = home.profile
days = _days_of(_shop)
segments = dg.StaticPartitionsDefinition([one.name for one in (*shop_config.segments, *shop_config.families)])


def partition_tags(keys: Iterable[str], partitions: dg.PartitionsDefinition) -> dict[str, str]:
    """The run tags that make one run cover exactly `keys`, contiguous or not.

    Args:
        keys: partition keys, any order. partitions: the definition they belong to.

    Returns:
        Tags for `RunRequest(tags=…)` or `execute_in_process(tags=…)`.
    """
    wanted = set(keys)
    order = partitions.get_partition_keys()
    positions = [n for n, key in enumerate(order) if key in wanted]
    if len(positions) < len(wanted) or not wanted:
        unknown = sorted(wanted - set(order)) or "none given"
        raise dg.DagsterUnknownPartitionError(f"Unknown partitions: {unknown}")
    first, last = positions[0], positions[-1]
    if first == last:
        return {PARTITION_TAG: order[first]}
    tags = {RANGE_START_TAG: order[first], RANGE_END_TAG: order[last]}
    if len(positions) < last - first + 1:
        tags[PARTITIONS_TAG] = ",".join(order[n] for n in positions)
    return tags


def keys_of(tags: Mapping[str, str], partitions: dg.PartitionsDefinition) -> list[str]:
    """The partition keys that a run with these tags covers, in order: the inverse of `partition_tags`."""
    if PARTITIONS_TAG in tags:
        return tags[PARTITIONS_TAG].split(",")
    if PARTITION_TAG in tags:
        return [tags[PARTITION_TAG]]
    if RANGE_START_TAG not in tags:
        return []
    order = partitions.get_partition_keys()
    return order[order.index(tags[RANGE_START_TAG]):order.index(tags[RANGE_END_TAG]) + 1]


def requested(context: Any) -> list[str]:
    """The partition keys a step is asked for, in order: its range, narrowed by the run's `PARTITIONS_TAG`.

    Args:
        context: an asset, check or output context of a partitioned step.
    """
    keys, run = _keys_and_run(context)
    wanted = run.tags.get(PARTITIONS_TAG)
    keep = set(wanted.split(",")) if wanted else None
    return [key for key in keys if keep is None or key in keep]


def _keys_and_run(context: Any) -> tuple[Sequence[str], dg.DagsterRun]:
    if isinstance(context, dg.OutputContext):
        within = set(context.asset_partition_keys)
        order = context.asset_partitions_def.get_partition_keys()
        return [key for key in order if key in within], context.step_context.dagster_run
    return context.partition_keys, context.run
