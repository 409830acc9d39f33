"""Work on a local Ray of two nodes: the bytes of this process, also when a worker is killed; errors come back as they are."""

import os
import signal
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

pytest.importorskip("dagster_ray")

import ray
from ray.cluster_utils import Cluster

from orchestration.fan_out import choose_fan_out
from recsys_core.errors import DataError, RecsysError
from recsys_core.fan_out import FanOut
from tests.assets.runs import QUIET
from tests.features.test_nights import night, published, write_day


@pytest.fixture(scope="module")
def address():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="module")
def fan_out(address):
    with dg.build_resources({"fan_out": choose_fan_out(address)}) as resources:
        yield resources.fan_out


def double(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def refuse(number: int) -> None:
    raise DataError("clean_events", f"row {number}", "drop it")


def die_once(marks: Path, number: int) -> int:
    """Kills its own worker the first time; the mark survives it."""
    if number == 2 and not (marks / "died").exists():
        (marks / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def always_die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_no_cluster_at_the_address_names_the_setting():
    with dg.build_resources({"fan_out": choose_fan_out("127.0.0.1:1")}) as resources, \
            pytest.raises(RecsysError, match=r"^RECSYS_RAY: no Ray at '127\.0\.0\.1:1'"):
        list(resources.fan_out.map(double, range(2)))


def test_a_dagster_run_connects_and_leaves(address):
    @dg.asset
    def doubled(fan_out: dg.ResourceParam[FanOut]) -> list[int]:
        return [number for number, _ in fan_out.map(double, range(3))]

    for _ in range(2):  # a cycle is several runs in one process
        result = dg.materialize([doubled], resources={"fan_out": choose_fan_out(address)}, run_config=QUIET)
        assert result.output_for_node("doubled") == [0, 2, 4] and not ray.is_initialized()


def test_results_come_in_the_order_of_the_tasks_from_other_processes(fan_out):
    made = list(fan_out.map(double, range(8)))
    assert [number for number, _ in made] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert os.getpid() not in {process for _, process in made}
    assert list(fan_out.map(double, [3])) == [(6, os.getpid())]  # one task is not worth the way
    assert list(fan_out.map(double, [])) == []


def test_an_error_comes_back_as_it_was_raised(fan_out):
    with pytest.raises(DataError, match=r"^clean_events: row 0\. Fix: drop it$"):
        list(fan_out.map(refuse, range(3)))


def test_a_killed_worker_s_task_is_done_again(fan_out, tmp_path):
    assert list(fan_out.map(partial(die_once, tmp_path), range(5))) == [0, 2, 4, 6, 8]
    assert (tmp_path / "died").exists()


def test_a_task_that_kills_every_worker_is_given_up(fan_out):
    with pytest.raises(RecsysError, match=r"^Ray: a task was lost 4 times"):
        list(fan_out.map(always_die, range(2)))


def test_days_computed_on_workers_are_the_same_bytes(fan_out, tmp_path):
    for place in (tmp_path / "here", tmp_path / "there"):
        for n in range(6):
            write_day(place / "clean", n)
    night(tmp_path / "here")
    night(tmp_path / "there", fan_out=fan_out, batch_events=60)
    assert published(tmp_path / "here") == published(tmp_path / "there")


def test_a_cluster_that_a_killed_run_left_behind_is_not_joined():
    assert choose_fan_out("local").ray_address == "local"  # None would join whatever Ray's own file names
