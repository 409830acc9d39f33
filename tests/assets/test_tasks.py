"""Labels become a raw table, and the tasks in them are judged; a shop without labels has an empty table and no task."""

import dagster as dg
import polars as pl
import pytest

from assets import cleaning, ingestion, tasks
from recsys_core import schema
from recsys_core.artefacts import read_json, write_json
from tests.assets.runs import run
from tests.tasks.planted import PlantedEncoder, class_rows, span_rows, table


@pytest.fixture
def judged(home, monkeypatch):
    """A function from labels rows (None: no such file) to the content of tasks.json."""
    monkeypatch.setattr("recsys_core.student.OnnxEncoder", PlantedEncoder)

    def made(rows: list[dict] | None) -> dict:
        path = home.path.parent / "shop" / "labels.csv"
        path.unlink() if rows is None else table(("want", rows)).write_csv(path)
        (home.path / "student" / "student").mkdir(parents=True)
        write_json(home.path / "student" / "student" / "student.json", {})
        (home.path / "clean").mkdir()
        items = pl.DataFrame({"item_id": "K00", "text": "Steel mug", "category": None}, schema_overrides={"category": pl.String})
        items.write_parquet(home.path / "clean" / "clean_items.parquet")
        wanted = dg.AssetSelection.assets("raw_labels", "task_adapter", "item_attributes").without_checks()
        assert run(dg.load_assets_from_modules([ingestion, cleaning, tasks, *_student()]), home, wanted).success
        return read_json(home.path / "task_adapter" / "tasks.json")

    return made


def _student() -> list:
    from assets import base_model, distillation, features

    return [base_model, distillation, features]


def test_every_task_is_judged_and_the_proven_ones_are_written(judged, home):
    told = judged([*class_rows(), {"text": "", "label": "buy"}])
    assert told["tasks"]["want"]["proven"] and told["set_aside"] == 1 and "neither text" in told["aside"][0]["reason"]
    assert (home.path / "task_adapter" / "want" / "task.safetensors").is_file()
    row = tasks.task_table(told["tasks"]).value.splitlines()[2]
    assert row.startswith("| want | classes | true | ") and f"| {told['tasks']['want']['unsure_below']:.2f}"[:4] in row
    assert pl.read_parquet(home.path / "raw" / "raw_labels.parquet").schema == schema.LABELS


def test_a_refused_task_leaves_its_reason_only(judged, home):
    told = judged(class_rows(shuffled=True))
    assert not told["tasks"]["want"]["proven"] and "not proven better" in told["tasks"]["want"]["reason"]
    assert not (home.path / "task_adapter" / "want").exists()


def test_a_proven_task_of_spans_reads_the_items(judged, home):
    assert judged(span_rows())["tasks"]["want"]["proven"]
    table = pl.read_parquet(home.path / "clean" / "item_attributes.parquet")
    assert table.schema == schema.ITEM_ATTRIBUTES and set(table["task"]) <= {"want"}


def test_a_shop_without_labels_has_no_task_and_opens_no_encoder(judged, home, monkeypatch):
    monkeypatch.setattr(PlantedEncoder, "load", None)
    assert judged(None) == {"tasks": {}, "set_aside": 0, "aside": []}
    assert pl.read_parquet(home.path / "clean" / "item_attributes.parquet").is_empty()
    assert pl.read_parquet(home.path / "raw" / "raw_labels.parquet").is_empty()
