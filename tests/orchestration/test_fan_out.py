"""Where work runs: in this process unless RECSYS_RAY says otherwise, and then the error says what is missing."""

import pickle
import sys

import pytest

from assets.partitions import Home
from benchmarks.structure import HOUSES, ROOT, imports, modules, name_of
from orchestration.fan_out import choose_fan_out
from orchestration.resources import make_resources
from recsys_core.errors import DataError, RecsysError
from recsys_core.fan_out import IN_PROCESS


@pytest.mark.parametrize("unset", [None, ""])
def test_work_stays_in_this_process_by_default(unset):
    assert choose_fan_out(unset) is IN_PROCESS


def test_in_process_a_task_is_done_when_its_result_is_asked_for():
    seen: list[int] = []
    made = IN_PROCESS.map(lambda task: seen.append(task) or -task, iter(range(3)))
    assert seen == [] and next(made) == 0 and seen == [0] and list(made) == [-1, -2]


def test_the_environment_chooses_and_without_ray_the_error_names_the_extra(monkeypatch, tmp_path):
    home = Home(folder=str(tmp_path))
    monkeypatch.delenv("RECSYS_RAY", raising=False)
    assert make_resources(home)["fan_out"] is IN_PROCESS
    monkeypatch.setenv("RECSYS_RAY", "local")
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "orchestration.ray", raising=False)
    with pytest.raises(RecsysError, match=r"RECSYS_RAY: ray .*fewshot-recsys\[ray\]"):
        make_resources(home)


def test_no_part_of_the_code_location_imports_ray_by_default():
    importers = {name_of(path) for house in HOUSES for path in modules(ROOT / house)
                 if any(name.split(".")[0] in ("ray", "dagster_ray") for name in imports(path))}
    assert importers == {"orchestration.ray", "orchestration.worker"}
    assert [name_of(path) for house in HOUSES for path in modules(ROOT / house)
            if {"orchestration.ray", "orchestration.ray.RayFanOut"} & set(imports(path))] == ["orchestration.fan_out"]


def test_an_error_keeps_its_parts_on_the_way_back():
    error = pickle.loads(pickle.dumps(DataError("clean_events", "a row", "drop it")))
    assert type(error) is DataError and (error.artefact, error.culprit, error.fix) == ("clean_events", "a row", "drop it")
