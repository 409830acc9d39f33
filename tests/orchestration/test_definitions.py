"""The code location: light to import, writes nothing, and every job can be built."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from orchestration.definitions import defs, job_named
from orchestration.jobs import jobs

HEAVY = ("torch", "transformers", "peft", "great_expectations", "mlflow", "onnxruntime", "matplotlib", "sklearn")
GROUPS = {"ingestion", "cleaning", "features", "base_model", "adaptation", "evaluation", "distillation", "deployment"}


def test_import_is_light_and_writes_nothing(tmp_path) -> None:
    script = (f"import sys, orchestration.definitions; "
              f"print([name for name in {HEAVY} if name in sys.modules])")
    home = tmp_path / "home"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                          env={**os.environ, "RECSYS_HOME": str(home)})
    assert done.stdout.strip() == "[]"
    assert "Warning" not in done.stderr
    assert not home.exists()


def test_groups_are_the_stages() -> None:
    assert {spec.group_name for spec in defs.resolve_all_asset_specs()} == GROUPS


@pytest.mark.parametrize("job", jobs, ids=lambda job: job.name)
def test_every_job_resolves(job) -> None:
    assert job_named(job.name).name == job.name


def test_a_cycle_makes_every_asset_once() -> None:
    cycle = [job_named(name) for name in ("days_job", "base_job", "segments_job", "publish_job")]
    made = [key for job in cycle for key in job.asset_layer.executable_asset_keys]
    assert len(made) == len(set(made))
    assert set(made) == {spec.key for spec in defs.resolve_all_asset_specs()}


def test_the_nightly_base_trains_no_encoder_and_no_student() -> None:
    full, nightly = (job_named(name).asset_layer.executable_asset_keys for name in ("base_job", "nightly_base_job"))
    assert full - nightly == {dg.AssetKey("text_encoder"), dg.AssetKey("student")}
