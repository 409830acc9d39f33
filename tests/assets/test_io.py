"""Tables and folders: published whole or not at all, and only what was made is marked as made."""

import errno
import time
from pathlib import Path
from threading import Thread

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets import ingestion, io
from assets.io import data_versions
from assets.partitions import Home, days, partition_tags, requested, segments
from recsys_core.artefacts import one_writer
from recsys_core.errors import DataError
from tests.assets.runs import root_message, run
from tests.test_artefacts import files_at_most

SINGLE = dg.BackfillPolicy.single_run()


def daily(values: dict[str, int], break_at: str | None = None) -> dg.AssetsDefinition:
    """A table by day with one number per day; days outside `values` are closed."""
    @dg.asset(io_manager_key="raw_tables", partitions_def=days, backfill_policy=SINGLE)
    def numbers(context: dg.AssetExecutionContext):
        def rows():
            for day in requested(context):
                if day == break_at:
                    raise OSError("disk full")
                if day in values:
                    yield day, pl.DataFrame({"value": [values[day]]})
        return dg.Output(rows())

    return numbers


def folders(*made: str, text: str = "1") -> dg.AssetsDefinition:
    """A folder per segment."""
    @dg.asset(io_manager_key="folders", partitions_def=segments, backfill_policy=SINGLE)
    def models(context: dg.AssetExecutionContext, home: dg.ResourceParam[object]):
        built = {name: home.staging(name) for name in made or requested(context)}
        for name, folder in built.items():
            (folder / "weights").write_text(text + name)
        return built

    return models


def stored(home, asset: str = "numbers") -> dict[str, int]:
    folder = home.path / "raw" / asset
    return {file.stem: pl.read_parquet(file, glob=False)["value"][0] for file in sorted(folder.iterdir())}


def marked(instance: dg.DagsterInstance, asset: str) -> dict[str, str]:
    """Partition → data version, of what Dagster holds as materialized."""
    tag = "dagster/data_version"
    found = instance.event_log_storage.get_latest_tags_by_partition(
        dg.AssetKey(asset), dg.DagsterEventType.ASSET_MATERIALIZATION, [tag])
    return {partition: tags[tag] for partition, tags in found.items()}


def over(*keys: str) -> dict[str, str]:
    return partition_tags(keys, days)


def test_one_run_writes_days_that_are_not_contiguous(home) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run([daily({"2024-03-01": 1, "2024-03-02": 2, "2024-03-04": 4})], home, tags=over("2024-03-01", "2024-03-04"),
            instance=instance)
        assert stored(home) == {"2024-03-01": 1, "2024-03-04": 4}
        assert sorted(marked(instance, "numbers")) == ["2024-03-01", "2024-03-04"]


def test_a_closed_day_loses_its_old_rows_and_is_not_marked(home) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run([daily({"2024-03-01": 1, "2024-03-02": 2})], home, tags=over("2024-03-01", "2024-03-02"))
        run([daily({"2024-03-01": 1})], home, tags=over("2024-03-01", "2024-03-02"), instance=instance)
        assert stored(home) == {"2024-03-01": 1}
        assert list(marked(instance, "numbers")) == ["2024-03-01"]


def test_a_write_that_fails_half_way_changes_nothing(home) -> None:
    tags = over("2024-03-01", "2024-03-02", "2024-03-03")
    run([daily({"2024-03-01": 1, "2024-03-02": 2, "2024-03-03": 3})], home, tags=tags)
    failed = run([daily({"2024-03-01": 9, "2024-03-02": 9}, break_at="2024-03-03")], home, tags=tags,
                 raise_on_error=False)
    assert "disk full" in root_message(failed)
    assert stored(home) == {"2024-03-01": 1, "2024-03-02": 2, "2024-03-03": 3}
    assert list((home.path / ".staging").iterdir()) == []


def test_a_full_disk_keeps_every_day_as_it_was(home) -> None:
    def noise(seed: int) -> dg.AssetsDefinition:
        @dg.asset(name="numbers", io_manager_key="raw_tables", partitions_def=days, backfill_policy=SINGLE)
        def numbers(context: dg.AssetExecutionContext):
            table = pl.DataFrame({"value": np.random.default_rng(seed).random(10**6 if seed else 10)})
            return dg.Output((day, table) for day in requested(context))
        return numbers

    tags = over("2024-03-01", "2024-03-02")
    run([noise(0)], home, tags=tags)
    before = stored(home)
    with files_at_most(2**20):
        failed = run([noise(1)], home, tags=tags, raise_on_error=False)
    assert "File too large" in root_message(failed)
    assert stored(home) == before and list((home.path / ".staging").iterdir()) == []


def test_two_writers_of_one_partition_publish_one_after_the_other(home) -> None:
    """The second has its days ready and waits; what lies there in the end is one writer's, whole."""
    folder = home.path / "raw" / "numbers"
    tags = over("2024-03-01", "2024-03-02")
    run([daily({"2024-03-01": 1, "2024-03-02": 1})], home, tags=tags)
    second = Thread(target=lambda: run([daily({"2024-03-01": 2, "2024-03-02": 2})], home, tags=tags))
    with one_writer(folder):
        second.start()
        until = time.monotonic() + 30
        while len(list((home.path / ".staging").rglob("*.parquet"))) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        second.join(0.3)
        assert second.is_alive() and set(stored(home).values()) == {1}
    second.join(30)
    assert set(stored(home).values()) == {2}


def test_nothing_made_is_an_error_and_keeps_the_old_rows(home) -> None:
    run([daily({"2024-03-01": 1})], home, tags=over("2024-03-01"))
    failed = run([daily({})], home, tags=over("2024-03-01"), raise_on_error=False)
    assert "numbers: nothing was made for 2024-03-01" in root_message(failed)
    assert stored(home) == {"2024-03-01": 1}


def test_the_data_version_is_the_content(home) -> None:
    versions = []
    for value in (1, 1, 2):
        with dg.DagsterInstance.ephemeral() as instance:
            run([daily({"2024-03-01": value})], home, tags=over("2024-03-01"), instance=instance)
            versions.append(marked(instance, "numbers")["2024-03-01"])
    assert versions[0] == versions[1] != versions[2]


def test_a_step_reads_the_days_that_exist_and_names_what_is_missing(home) -> None:
    seen = {}

    @dg.asset
    def reader(numbers: dict[str, pl.LazyFrame]) -> None:
        seen.update({day: frame.collect()["value"][0] for day, frame in numbers.items()})

    numbers = daily({"2024-03-02": 2, "2024-03-05": 5})
    failed = run([numbers, reader], home, selection=[reader], raise_on_error=False)
    assert "numbers: no file for 2024-03-01 … 2024-03-12" in root_message(failed)
    run([numbers], home, tags=over("2024-03-02", "2024-03-05"))
    run([numbers, reader], home, selection=[reader])
    assert seen == {"2024-03-02": 2, "2024-03-05": 5}


def test_a_table_without_days_is_replaced_whole(home) -> None:
    def table(value):
        @dg.asset(io_manager_key="clean_tables")
        def catalogue():
            return value
        return catalogue

    file = home.path / "clean" / "catalogue.parquet"
    run([table(pl.DataFrame({"value": [1]}))], home)
    run([table("not a table")], home, raise_on_error=False)
    assert pl.read_parquet(file)["value"].to_list() == [1]
    assert [path.name for path in file.parent.iterdir()] == ["catalogue.parquet"]


def test_segments_that_are_not_contiguous_in_one_step(home) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        whole = partition_tags(segments.get_partition_keys(), segments)
        run([folders(text="1")], home, tags=whole, instance=instance)
        before = marked(instance, "models")
        again = run([folders(text="2")], home, tags=partition_tags(["toys", "nobody"], segments), instance=instance)
        after = marked(instance, "models")
    changed = {name for name in before if before[name] != after[name]}
    text = {path.name: (path / "weights").read_text()[0] for path in (home.path / "models").iterdir()}
    assert changed == {name for name, made in text.items() if made == "2"} == {"toys", "nobody"}
    assert len(again.asset_materializations_for_node("models")) == 2


def test_a_folder_is_replaced_whole_and_loaded_as_a_path(home) -> None:
    seen: list[Path | dict] = []

    def model(*files: str):
        @dg.asset(io_manager_key="folders")
        def evaluation_report(home: dg.ResourceParam[object]):
            folder = home.staging("report")
            for name in files:
                (folder / name).write_text(name)
            return folder
        return evaluation_report

    @dg.asset
    def reader(evaluation_report, models) -> None:
        seen.extend([evaluation_report, models])

    run([model("a", "b")], home)
    run([model("b", "c")], home)
    run([folders("toys")], home, tags=partition_tags(["toys"], segments))
    run([model(), folders(), reader], home, selection=[reader])
    report, models = seen
    assert (report, sorted(path.name for path in report.iterdir())) == (home.path / "report", ["b", "c"])
    assert models == {"toys": home.path / "models" / "toys"}


def test_a_missing_folder_is_one_clear_error(home) -> None:
    from assets.io import FolderIO

    @dg.asset
    def reader(models) -> None: ...

    failed = run([folders(), reader], home, selection=[reader], raise_on_error=False)
    assert "models: the folder is missing" in root_message(failed)
    context = dg.build_input_context(asset_key=dg.AssetKey("models"))
    with pytest.raises(DataError, match="materialize models first"):
        FolderIO(home=home.folder).load_input(context)


def test_tables_lie_in_a_home_of_any_name(tmp_path) -> None:
    home = Home(folder=str(tmp_path / "my shop [1] %20 ü? #2*"))

    @dg.asset
    def total(numbers: dict[str, pl.LazyFrame]) -> int:
        return pl.concat(numbers.values()).collect()["value"].sum()

    run([daily({"2024-03-02": 2, "2024-03-05": 5})], home, tags=over("2024-03-02", "2024-03-05"))
    assert stored(home) == {"2024-03-02": 2, "2024-03-05": 5}
    assert run([daily({}), total], home, selection=["total"]).output_for_node("total") == 7


def test_a_manifest_can_name_the_data_version_of_every_input() -> None:
    parts = dg.StaticPartitionsDefinition(["a", "b"])

    @dg.asset
    def table() -> dg.MaterializeResult:
        return dg.MaterializeResult(data_version=dg.DataVersion("t1"))

    @dg.asset(partitions_def=parts)
    def adapter(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return dg.MaterializeResult(data_version=dg.DataVersion(f"v-{context.partition_key}"))

    seen = {}

    @dg.asset(deps=[table, adapter])
    def bundle(context: dg.AssetExecutionContext) -> None:
        seen.update(data_versions(context))

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([table], instance=instance)
        for key in ("a", "b"):
            dg.materialize([adapter], instance=instance, partition_key=key)
        dg.materialize([table, adapter, bundle], instance=instance, selection=[bundle])
    assert seen == {"table": "t1", "adapter": {"a": "v-a", "b": "v-b"}}


@pytest.mark.parametrize(("faults", "tries"), [
    ([OSError(errno.EIO, "Input/output error")], 2), ([OSError(errno.ESTALE, "Stale file handle")] * 2, 3),
    ([OSError(errno.EIO, "Input/output error")] * 3, 3)])
def test_a_step_is_tried_again_where_storage_failed_for_a_moment(home, monkeypatch, faults, tries) -> None:
    result, count = written_through(home, monkeypatch, faults)
    assert count == tries
    assert result.success is (len(faults) < 3)
    assert (home.path / "raw" / "letters.parquet").exists() is result.success


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EROFS, "Read-only"),
                                   DataError("letters", "a fault of the data", "mend it")])
def test_a_full_disk_and_bad_data_fail_at_once(home, monkeypatch, fault) -> None:
    result, count = written_through(home, monkeypatch, [fault])
    assert (result.success, count) == (False, 1)


def written_through(home, monkeypatch, faults: list[Exception]):
    """A run that writes a table while storage meets `faults`, one at a time; and how often it was tried."""
    left, tries = list(faults), []

    def write(frame: pl.DataFrame, path: Path) -> dict:
        tries.append(path)
        if left:
            raise left.pop(0)
        return real(frame, path)

    real = io._write
    monkeypatch.setattr(io, "_write", write)
    monkeypatch.setattr(io, "WAIT", 0)

    @dg.asset(io_manager_key="raw_tables")
    def letters() -> pl.DataFrame:
        return pl.DataFrame({"value": ["a"]})

    return run([letters], home, raise_on_error=False), len(tries)


def test_a_shop_on_a_share_that_stumbles_is_read_again(home, monkeypatch) -> None:
    left = [OSError(errno.ETIMEDOUT, "Connection timed out")]
    opened = Home.open_shop

    def open_shop(self: Home):
        if left:
            raise left.pop()
        return opened(self)

    monkeypatch.setattr(Home, "open_shop", open_shop)
    monkeypatch.setattr(io, "WAIT", 0)
    assert run([ingestion.raw_items], home).success
    assert pl.read_parquet(home.path / "raw" / "raw_items.parquet").height > 0
