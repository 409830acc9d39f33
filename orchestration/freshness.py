"""What is up to date and what is not, read from Dagster's own records and from the files.

A stage of a cycle is fresh if its newest successful run carries the fingerprint of what it would
read now (`recsys/inputs`) and its files are still there. The fingerprint covers the content of the
input files, the shop's settings and profile, and the code of the stage: a drop that was delivered
again unchanged re-makes its day and nothing else.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg

from assets.partitions import Home, days, keys_of, segments
from recsys_core.artefacts import file_hash, folder_hash
from recsys_core.collection import read_erased

log = logging.getLogger(__name__)
ROOT = Path(__file__).parent.parent
INPUTS_TAG, STAGE_TAG, KIND_TAG = "recsys/inputs", "recsys/stage", "recsys/kind"
FORCED_TAG = "recsys/forced"  # segments that a cycle adapts again whatever is up to date, with commas between
EPOCH = datetime.fromtimestamp(0, UTC)
DAYS, BASE, SEGMENTS, PUBLISH = "days", "base", "segments", "publish"
FULL, NIGHTLY = "full", "nightly"
UNFINISHED = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
              dg.DagsterRunStatus.STARTED]


@dataclass(frozen=True)
class Stage:
    """One run of a cycle.

    Args:
        inputs: files and folders below RECSYS_HOME that it reads. outputs: those it must have written.
        code: packages below recsys_core that it runs, with the asset files of the same names.
    """

    inputs: tuple[str, ...]
    code: tuple[str, ...]
    outputs: tuple[str, ...]


STAGES = {
    DAYS: Stage((), ("reading", "ingestion", "collection", "cleaning"),
                ("raw/raw_items.parquet", "raw/raw_users.parquet", "raw/raw_shelves.parquet", "raw/raw_promotions.parquet",
                 "raw/raw_judgments.parquet", "raw/raw_labels.parquet", "clean/clean_items.parquet")),
    BASE: Stage(("clean/clean_events", "clean/clean_items.parquet", "raw/raw_users.parquet", "raw/raw_promotions.parquet"),
                ("features", "base_model", "distillation", "student"),
                ("text_encoder", "base_model", "student", "features/interactions")),
    SEGMENTS: Stage((), ("adaptation", "evaluation"), ()),
    PUBLISH: Stage(("base_model", "student", "segment_adapter", "segment_evaluation", "raw/raw_users.parquet",
                    "raw/raw_shelves.parquet", "raw/raw_promotions.parquet", "raw/raw_judgments.parquet",
                    "raw/raw_labels.parquet", "rules.yaml"),
                   ("evaluation", "distillation", "deployment", "release", "monitoring", "serving", "answering", "retrieval",
                    "shoppers", "student", "spans", "tasks", "report"),
                   ("judged_nights", "report", "search_model", "task_adapter", "clean/item_attributes.parquet", "bundle",
                    "daily_recommendations")),
}
# Fields of shop.yaml that do not change what a stage makes of the same inputs.
_DAY_LIMITS = {"first_day", "last_day"}
_ONLY_PUBLISHED = _DAY_LIMITS | {"licence", "fairness", "release"}
NOT_READ = {DAYS: _ONLY_PUBLISHED | {"segments", "families", "segment_order", "base_model", "privacy"},
            BASE: _ONLY_PUBLISHED | {"privacy"}, SEGMENTS: _ONLY_PUBLISHED, PUBLISH: _DAY_LIMITS}


@dataclass(frozen=True)
class Freshness:
    """The state of one RECSYS_HOME.

    Args:
        home: where the files are and which shop is read. instance: Dagster's records.
    """

    home: Home
    instance: dg.DagsterInstance

    def kind(self) -> str:
        """`nightly` where a full base of the present code and shop exists that knows no erased shopper, else `full`."""
        settings = self._fingerprint(BASE, ())
        touched = (datetime.fromisoformat(one.at) for one in read_erased(self.home.path).values() if one.touched)
        erased = max(touched, default=EPOCH)
        full = (record for record in self._runs(BASE, kind=FULL) if record.create_timestamp >= erased)
        same = any(record.dagster_run.tags[INPUTS_TAG].startswith(settings) for record in full)
        return NIGHTLY if same and not self._missing(BASE) else FULL

    def pending_days(self) -> list[str]:
        """Days whose drop is newer than the successful run that made them, or was taken back."""
        shop, made_at = self.home.open_shop(), {}
        runs = self._runs(DAYS, inputs=self.inputs(DAYS))
        for record in runs:
            for key in keys_of(record.dagster_run.tags, days):
                made_at[key] = max(made_at.get(key, 0.0), record.create_timestamp.timestamp())
        here = {path.stem for path in (self.home.path / "clean" / "clean_events").glob("*.parquet")}
        delivered = shop.days()
        pending = {str(day) for day in delivered if str(day) not in here
                   or made_at.get(str(day), 0.0) <= changed_at(shop.day_files(day))}
        pending |= (here - set(map(str, delivered))) & set(days.get_partition_keys())
        # The other tables are read again with every day; where only they changed, the newest day is.
        tables = changed_at(shop.table_files())
        read_at = max((record.create_timestamp.timestamp() for record in runs), default=0.0)
        if not pending and (self._missing(DAYS) or read_at <= tables):
            pending = {str(delivered[-1])}
        return sorted(pending)

    def delivery(self, pending: Sequence[str]) -> str:
        """A short name for what these days hold now: the same drops give the same name."""
        shop = self.home.open_shop()
        drops = {str(day): changed_at(shop.day_files(day)) for day in shop.days() if str(day) in pending}
        return _digest([pending, drops, self.inputs(DAYS)])[:8]

    def reopened(self, pending: Sequence[str]) -> list[str]:
        """`pending` and the delivered days around them, into or out of which late events may move."""
        shop = self.home.open_shop()
        wanted = [date.fromisoformat(day) for day in pending]
        around = [str(day) for day in shop.days()
                  if any(abs((day - other).days) <= shop.config.lateness_days for other in wanted)]
        return sorted({*pending, *(around or [str(shop.last_day)])})

    def stale_segments(self) -> list[str]:
        """Segments and families to adapt again: code, a failed run, a missing result, another base or other shots."""
        names = segments.get_partition_keys()
        newest = self._runs(SEGMENTS, any_status=True, limit=1)
        if not newest or newest[0].dagster_run.tags[INPUTS_TAG] != self.inputs(SEGMENTS):
            return list(names)
        last = newest[0].dagster_run
        unfinished = [] if last.is_success else keys_of(last.tags, segments)
        here = [name for name in names if all(
            (self.home.path / asset / name).is_dir() for asset in ("segment_adapter", "segment_evaluation"))]
        from recsys_core.adaptation import stale_adapters

        changed = stale_adapters(self.home.path / "segment_adapter", self.home.path / "base_model", self.home.path / "features",
                                 here, self.home.open_shop().config, self.home.path / "raw" / "raw_users.parquet")
        for name, reason in changed.items():
            log.info("segment %s is stale: %s", name, reason)
        return [name for name in names if name not in here or name in unfinished or name in changed]

    def is_fresh(self, stage: str, kind: str) -> bool:
        """Whether the newest successful run of `stage` (for `full`: the newest full one) read the same."""
        if self._missing(stage):
            return False
        newest = self._runs(stage, kind=FULL if kind == FULL else None, limit=1)
        return bool(newest) and newest[0].dagster_run.tags[INPUTS_TAG] == self.inputs(stage)

    def inputs(self, stage: str) -> str:
        """The fingerprint of everything the stage would read now."""
        return self._fingerprint(stage, ()) + self._fingerprint(stage, STAGES[stage].inputs)

    def _fingerprint(self, stage: str, inputs: Iterable[str]) -> str:
        return _digest({
            "shop": self.home.shop, "profile": self.home.profile,
            "user_key": self.home.user_keys().fingerprint,
            "config": self.home.open_shop().config.model_dump(mode="json", exclude=NOT_READ[stage]),
            "code": {name: _code_hash(name) for name in STAGES[stage].code},
            "inputs": {name: _content(self.home.path / name) for name in inputs}})[:16]

    def _missing(self, stage: str) -> list[str]:
        return [name for name in STAGES[stage].outputs if not (self.home.path / name).exists()]

    def _runs(self, stage: str, kind: str | None = None, inputs: str | None = None, any_status: bool = False,
              limit: int | None = None) -> list[dg.RunRecord]:
        """Runs of a stage, newest first; successful ones unless `any_status`."""
        wanted = {STAGE_TAG: stage, KIND_TAG: kind, INPUTS_TAG: inputs}
        tags = {name: value for name, value in wanted.items() if value}
        statuses = None if any_status else [dg.DagsterRunStatus.SUCCESS]
        return list(self.instance.get_run_records(dg.RunsFilter(tags=tags, statuses=statuses), limit=limit))


def changed_at(paths: Iterable[Path]) -> float:
    """When the newest of these files was last written or moved here, seconds since the epoch; 0 for none."""
    stats = [path.stat() for path in paths]
    return max((max(stat.st_mtime, stat.st_ctime) for stat in stats), default=0.0)


def _content(path: Path) -> str:
    if path.is_dir():
        return folder_hash(path)
    return file_hash(path) if path.exists() else "missing"


def _code_hash(name: str) -> str:
    """Hash of the source of one stage: its package, its asset file, and what every stage shares."""
    files = [*sorted((ROOT / "recsys_core" / name).rglob("*.*")), ROOT / "assets" / f"{name}.py",
             ROOT / "recsys_core" / "schema.py", ROOT / "assets" / "io.py"]
    sources = [path for path in files if path.is_file() and path.suffix in (".py", ".sql", ".yaml")]
    return _digest({str(path.relative_to(ROOT)): file_hash(path) for path in sources})


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
