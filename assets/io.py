"""The ways an asset reaches disk: tables as Parquet, feature tables day by day, and folders moved into place whole.

All publish by rename, so a reader or a killed run never meets half an artefact. Of two writers of
one asset the second waits until the first has published. All hand Dagster the content hash as data
version, so that "unchanged" is seen as unchanged.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets.partitions import requested, staging
from recsys_core.artefacts import file_hash, folder_hash, one_writer, publish_folder, staged_file
from recsys_core.errors import DataError
from recsys_core.features import Made, read_features

# What storage answers while a share reconnects or a device is busy. A full disk, a missing file and every fault of data stay.
PASSING = {errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.EIO, errno.ENETDOWN,
           errno.ENETUNREACH, errno.ESTALE, errno.ETIMEDOUT}
RETRIES, WAIT = 2, 10  # further tries of a step, and seconds before each


@contextmanager
def tried_again() -> Iterator[None]:
    """Let Dagster run the step again where storage failed for a moment; everything else fails at once."""
    try:
        yield
    except OSError as error:
        if error.errno in PASSING:
            raise dg.RetryRequested(RETRIES, WAIT) from error
        raise


class TableIO(dg.ConfigurableIOManager):
    """Polars tables as `<home>/<stage>/<asset>.parquet`, or `<home>/<stage>/<asset>/<day>.parquet`.

    A table without partitions is returned as a `pl.DataFrame`; one with days as an iterable of
    (day, frame) pairs, written one by one, so that a year need not fit in memory. Days that were
    asked for and are absent from it (closed days) lose their old file and are not marked as made.
    Inputs arrive as a `pl.LazyFrame`, or from an asset with days as a dict day → LazyFrame of the
    days that exist, in order.
    """

    home: str
    stage: str

    @tried_again()
    def handle_output(self, context: dg.OutputContext, value: Any) -> None:
        if not context.has_asset_partitions:
            self._write_table(context, value)
            return
        folder, staged = self._path(context), staging(Path(self.home), context.asset_key.path[-1])
        try:
            facts = {str(day): _write(frame, staged / f"{day}.parquet") for day, frame in value}
            if not facts:
                raise _nothing_made(context)
            with one_writer(folder):
                _publish_days(staged, folder, requested(context))
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        record(context, facts)
        context.add_output_metadata({"folder": dg.MetadataValue.path(str(folder)), "days": len(facts)})

    def _write_table(self, context: dg.OutputContext, frame: pl.DataFrame) -> None:
        target = self._path(context).with_suffix(".parquet")
        with staged_file(target) as staged:
            facts = _write(frame, staged)
        record(context, facts)
        context.add_output_metadata({"path": dg.MetadataValue.path(str(target)), "preview": preview(frame)})

    @tried_again()
    def load_input(self, context: dg.InputContext) -> pl.LazyFrame | dict[str, pl.LazyFrame]:
        path = self._path(context)
        if context.has_asset_partitions:
            wanted = sorted(context.asset_partition_keys)
            files = {key: path / f"{key}.parquet" for key in wanted}
            found = {key: pl.scan_parquet(file, glob=False) for key, file in files.items() if file.exists()}
            if found:
                return found
            raise _missing(context, f"no file for {wanted[0]} … {wanted[-1]} in {path}")
        file = path.with_suffix(".parquet")
        if not file.exists():
            raise _missing(context, f"the file is missing ({file})")
        return pl.scan_parquet(file, glob=False)

    def _path(self, context: dg.OutputContext | dg.InputContext) -> Path:
        return Path(self.home, self.stage, context.asset_key.path[-1])


class DayFiles(TableIO):
    """A table with days as its files: day → Path of those that exist, in order, for who reads some of them only."""

    @tried_again()
    def load_input(self, context: dg.InputContext) -> dict[str, Path]:
        found = super().load_input(context)
        return {day: self._path(context) / f"{day}.parquet" for day in found}


class FeatureIO(dg.ConfigurableIOManager):
    """Feature tables, which `build_features` has published: what is recorded is what it made. Inputs arrive as a `pl.LazyFrame`.

    Args:
        home: RECSYS_HOME.
    """

    home: str

    @tried_again()
    def handle_output(self, context: dg.OutputContext, value: Made) -> None:
        name = context.asset_key.path[-1]
        record(context, {"dagster/row_count": value.rows, "hash": value.hash})
        context.add_output_metadata({"days": value.days, "days_computed": value.computed,
                                     "path": dg.MetadataValue.path(str(self._folder / name)),
                                     "preview": preview(read_features(self._folder, name).head(5).collect())})

    @tried_again()
    def load_input(self, context: dg.InputContext) -> pl.LazyFrame:
        return read_features(self._folder, context.asset_key.path[-1])

    @property
    def _folder(self) -> Path:
        return Path(self.home, "features")


class FolderIO(dg.ConfigurableIOManager):
    """Model-like artefacts as whole folders: `<home>/<asset>`, or `<home>/<asset>/<partition>`.

    An asset returns the staged folder (see `Home.staging`) it was built in, or with partitions a
    dict partition → staged folder; partitions absent from the dict keep what they have. Inputs
    arrive as a `Path`, or from a partitioned asset as a dict partition → Path of those that exist.

    Args:
        home: RECSYS_HOME. renamed: asset name → folder name, where the two differ.
    """

    home: str
    renamed: dict[str, str] = {}  # noqa: RUF012 (a pydantic field)

    @tried_again()
    def handle_output(self, context: dg.OutputContext, value: Any) -> None:
        target = self._path(context)
        if not context.has_asset_partitions:
            with one_writer(Path(self.home)):
                if Path(value) != target:  # the promoter alone moves the champion, and hands over its place
                    publish_folder(Path(value), target)
                facts = _folder_facts(target)
            record(context, facts)
            context.add_output_metadata({"folder": dg.MetadataValue.path(str(target))})
            return
        if not value:
            raise _nothing_made(context)
        with one_writer(Path(self.home)):
            for key, staged in value.items():
                publish_folder(Path(staged), target / key)
            facts = {key: _folder_facts(target / key) for key in value}
        record(context, facts)
        context.add_output_metadata({"folder": dg.MetadataValue.path(str(target))})

    @tried_again()
    def load_input(self, context: dg.InputContext) -> Path | dict[str, Path]:
        path = self._path(context)
        if context.has_asset_partitions:
            wanted = sorted(context.asset_partition_keys)
            found = {key: path / key for key in wanted if (path / key).is_dir()}
            if found or not wanted:  # a shop may have no segments at all
                return found
        elif path.is_dir():
            return path
        raise _missing(context, f"the folder is missing ({path})")

    def _path(self, context: dg.OutputContext | dg.InputContext) -> Path:
        name = context.asset_key.path[-1]
        return Path(self.home, self.renamed.get(name, name))


def record(context: dg.OutputContext, facts: Mapping[str, Any]) -> None:
    """Log what was written and its hash as data version; of a partitioned asset, mark only what was written.

    Args:
        facts: {"hash": …, other facts}, or with partitions {partition: the same}.
    """
    step = context.step_context
    if not context.has_asset_partitions:
        context.add_output_metadata(dict(facts))
        step.set_data_version(context.asset_key, dg.DataVersion(facts["hash"]))
        return
    # Dagster logs every partition of the run's range as made. What was not asked for or had no
    # data was not; the step's own record of its partitions is the only place to say so.
    context._asset_partitions_subset = context.asset_partitions_def.subset_with_partition_keys(facts)
    for key, fact in facts.items():
        step.add_asset_metadata(fact, asset_key=context.asset_key, partition_key=key)
    whole = hashlib.sha256("".join(f"{key}:{facts[key]['hash']};" for key in sorted(facts)).encode())
    version = next(iter(facts.values()))["hash"] if len(facts) == 1 else whole.hexdigest()
    step.set_data_version(context.asset_key, dg.DataVersion(version))


def data_versions(context: dg.AssetExecutionContext) -> dict[str, Any]:
    """The data version of every input as its IO manager recorded it, by asset; of a partitioned one, by partition."""
    found: dict[str, Any] = {}
    for key in sorted(context.assets_def.keys_by_input_name.values()):
        parts = sorted(context.instance.get_materialized_partitions(key))
        versions = {part: _version(context.instance, key, [part]) for part in parts} if parts \
            else _version(context.instance, key, None)
        found[key.to_user_string()] = versions
    return found


def _version(instance: dg.DagsterInstance, key: dg.AssetKey, partitions: list[str] | None) -> str | None:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=partitions)
    records = instance.fetch_materializations(wanted, limit=1).records
    made = records[0].asset_materialization if records else None
    return (made.tags or {}).get("dagster/data_version") if made else None


def _missing(context: dg.InputContext, culprit: str) -> DataError:
    name = context.asset_key.to_user_string()
    return DataError(name, culprit, f"materialize {name} first")


def _nothing_made(context: dg.OutputContext) -> DataError:
    asked = requested(context)
    return DataError(context.asset_key.to_user_string(), f"nothing was made for {asked[0]} … {asked[-1]}",
                     "read the run's log for the input that was empty")


def preview(frame: pl.DataFrame, rows: int = 5) -> dg.MarkdownMetadataValue:
    """The first rows as a Markdown table, long texts cut; Dagster keeps it for long, so it names no shopper."""
    frame = frame.drop("user_id", strict=False)
    head = frame.head(rows).select(pl.all().cast(pl.String, strict=False)) if frame.width else frame
    lines = ["| " + " | ".join(head.columns) + " |", "|" + "---|" * head.width]
    for row in head.iter_rows():
        cells = ((value or "")[:60].replace("|", "\\|").replace("\n", " ") for value in row)
        lines.append("| " + " | ".join(cells) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def count_table(counts: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A small table of names and counts as Markdown, whole."""
    return preview(counts, max(1, counts.height))


def _write(frame: pl.DataFrame, path: Path) -> dict[str, Any]:
    frame.write_parquet(path, compression="zstd")
    return {"dagster/row_count": frame.height, "bytes": path.stat().st_size, "hash": file_hash(path)}


def _publish_days(staged: Path, folder: Path, asked: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    made = {path.name for path in staged.iterdir()}
    for name in sorted(made):
        (staged / name).replace(folder / name)
    for key in asked:
        if f"{key}.parquet" not in made:
            (folder / f"{key}.parquet").unlink(missing_ok=True)


def _folder_facts(folder: Path) -> dict[str, Any]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return {"files": len(files), "bytes": size, "hash": folder_hash(folder)}
