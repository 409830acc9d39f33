"""The service in processes of its own: workers that share what they know, swaps without a lost request, orderly ends."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from benchmarks.servings.feedback import post
from benchmarks.servings.load import Call, press
from benchmarks.servings.served import served
from benchmarks.servings.swap import generations, publish_copy, wait_for
from recsys_core.cli.main import main
from tests.serving.test_imports import modules_after

STAND_IN = """\
import sys
from importlib.machinery import PathFinder
class WordEncoders:  # the tiny bundle's encoder is a stand-in here, too
    def find_spec(self, name, path=None, target=None):
        if name != "recsys_core.student.encoders":
            return None
        spec = PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def stand_in(module):
            run(module)
            module.load_student = module.OnnxEncoder.load = load
        spec.loader.exec_module = stand_in
        return spec
def load(folder, verified=False):
    from tests.serving.tiny import WordEncoder
    return WordEncoder.load(folder)
sys.meta_path.insert(0, WordEncoders())
"""
ASKED = [Call("/v1/recommend", {"history": ["k0"], "k": 3}), Call("/v1/search", {"query": "steel mug"})]


@pytest.fixture(scope="module")
def start(bundle_folder, tmp_path_factory):
    """A function that runs the service over a private copy of the tiny bundle."""
    code = tmp_path_factory.mktemp("code")
    (code / "sitecustomize.py").write_text(STAND_IN)
    root = Path(__file__).parents[2]

    def run(*options, workers=2):
        folder = tmp_path_factory.mktemp("served")
        shutil.copytree(bundle_folder, folder / "bundle")
        return served(folder / "bundle", folder, "--rate", "0", *options, workers=workers,
                      environment={"PYTHONPATH": f"{code}:{root}", "RECSYS_HOME": str(folder)})

    return run


@pytest.fixture(scope="module")
def service(start):
    with start() as running:
        yield running


def first_items(url, user_id):
    """The first item of a shopper's list over eight new connections: whichever worker gets them."""
    return {post(f"{url}/v1/recommend", {"user_id": user_id, "k": 1})["items"][0]["item_id"] for _ in range(8)}


def test_a_click_changes_the_next_list_of_every_worker(service):
    assert first_items(service.url, "ann") == {"t0"}
    post(f"{service.url}/v1/events", {"events": [{"user_id": "ann", "event_type": "click", "item_id": "k0"}]})
    assert first_items(service.url, "ann") == {"g0"} and first_items(service.url, "bea") == {"t0"}


def test_an_adapter_is_known_to_every_worker(service):
    made = post(f"{service.url}/v1/adapt", {"support": [{"item_id": "d1"}] * 4})["adapter"]
    found = [post(f"{service.url}/v1/recommend", {"adapter": made, "k": 1})["items"][0]["segment"] for _ in range(8)]
    assert set(found) == {"request"}


def test_a_worker_that_dies_is_replaced(service):
    [generation] = children(service.process.pid)
    victim = children(generation)[0]
    os.kill(victim, signal.SIGKILL)
    until = time.monotonic() + 20
    while time.monotonic() < until and (victim in children(generation) or len(children(generation)) < 2):
        time.sleep(0.1)
    assert len(children(generation)) == 2 and "is replaced" in service.log.read_text()
    heirs = children(generation)
    assert first_items(service.url, "cleo") == {"t0"} and children(generation) == heirs


def test_metrics_are_those_of_all_workers(service):
    before = counted(service.url)
    assert press(service.url, ASKED[:1], requests=40, connections=8).failed == 0
    until = time.monotonic() + 5.0
    while counted(service.url) < before + 40 and time.monotonic() < until:  # a request counts when its answer is out
        time.sleep(0.05)
    assert counted(service.url) == before + 40


def test_a_new_bundle_is_served_without_a_lost_request(start):
    with start() as service:
        place, loads, stop = Path(service.log).parent / "bundle", [], threading.Event()

        def keep_asking():
            while not stop.is_set():
                loads.append(press(service.url, ASKED, rate=100, seconds=1.0, connections=8))

        asking = threading.Thread(target=keep_asking)
        asking.start()
        for n in range(2):
            publish_copy(place, place, f"night-{n}")
            assert wait_for(service, n + 2)
        stop.set()
        asking.join()
        assert sum(load.failed for load in loads) == 0 and sum(load.statuses["200"] for load in loads) >= 100
        with urllib.request.urlopen(f"{service.url}/readyz") as answer:
            assert b"night-1" in answer.read()


def test_a_posted_item_is_found_by_the_next_generation(start):
    with start(workers=1) as service:
        assert post(f"{service.url}/v1/items", {"items": [{"item_id": "k9", "title": "Ceramic sieve"}]})["upserted"] == 1
        assert wait_for(service, 2)
        found, until = [], time.monotonic() + 10  # the generation before answers until it has heard that it ends
        while found != [("k9", "Ceramic sieve")] and time.monotonic() < until:
            asked = post(f"{service.url}/v1/search", {"query": "sieve", "k": 1, "fields": ["title"]})["items"]
            found = [(one["item_id"], one["fields"]["title"]) for one in asked]
        assert found == [("k9", "Ceramic sieve")]


def test_a_rules_file_that_appears_in_the_home_holds_from_the_next_generation_on(start):
    with start(workers=1) as service:
        (Path(service.log).parent / "rules.yaml").write_text("must_not: [{name: planter, items: [g0]}]")
        assert wait_for(service, 2)
        found, until = {"g0"}, time.monotonic() + 10
        while "g0" in found and time.monotonic() < until:
            found = {one["item_id"] for one in post(f"{service.url}/v1/recommend", {"history": ["k0"], "k": 20})["items"]}
        assert found and "g0" not in found


def test_a_bundle_that_does_not_verify_leaves_the_old_one_serving(start):
    with start(workers=1) as service:
        place = Path(service.log).parent / "bundle"
        with open(place / "segments.json", "a") as file:
            file.write(" ")
        publish_copy(place, place, "broken")
        until = time.monotonic() + 30
        while "the old one stays" not in service.log.read_text() and time.monotonic() < until:
            time.sleep(0.1)
        assert "the old one stays" in service.log.read_text() and generations(service) == 1
        assert post(f"{service.url}/v1/recommend", {"history": ["k0"], "k": 1})["items"][0]["item_id"] == "g0"


def test_a_worker_that_cannot_begin_is_told_at_once(start, tmp_path):
    (tmp_path / "collected").mkdir()
    (tmp_path / "collected" / "sessions.sqlite").write_text("no database " * 100)
    service = start("--collect", str(tmp_path / "collected"), workers=1)
    with pytest.raises(RuntimeError, match="a worker could not begin"), service:
        pass


def test_workers_end_with_their_supervisor(start):
    with start(workers=1) as service:
        [generation] = children(service.process.pid)
        service.process.kill()
        until = time.monotonic() + 20
        while time.monotonic() < until and Path(f"/proc/{generation}/cmdline").exists() and children(generation):
            time.sleep(0.1)
        with pytest.raises(OSError):
            urllib.request.urlopen(f"{service.url}/healthz")


def test_a_port_that_is_taken_is_one_clear_line(service, bundle_folder, capsys):
    port = service.url.rpartition(":")[2]
    assert main(["serve", "--bundle", str(bundle_folder), "--port", port]) == 1
    assert "cannot be listened on" in capsys.readouterr().err


def test_nobody_listens_for_everybody_without_keys(bundle_folder, monkeypatch, capsys):
    monkeypatch.delenv("RECSYS_API_KEYS", raising=False)
    assert main(["serve", "--bundle", str(bundle_folder), "--host", "0.0.0.0"]) == 1
    assert "there are no API keys" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvicorn" else True)
    assert main(["serve"]) == 1
    assert "lacks uvicorn" in (told := capsys.readouterr().err) and "fewshot-recsys[http]" in told


def test_a_bundle_that_cannot_be_served_ends_the_command(tmp_path):
    done = subprocess.run([sys.executable, "-m", "recsys_core.cli.main", "serve", "--bundle", str(tmp_path), "--port", "0"],
                          capture_output=True, text=True)
    assert done.returncode == 1 and "there is no manifest.json" in done.stderr


def test_a_new_key_is_let_in_by_its_line(capsys):
    from recsys_core.service.keys import find_key, read_keys

    assert main(["new-key", "shop", "--scopes", "read,write"]) == 0
    key, line = (row.split()[1] for row in capsys.readouterr().out.splitlines())
    [entry] = read_keys(line, "keys")
    assert find_key(key, [entry]) is entry and entry.scopes == {"read", "write"} and find_key("guess", [entry]) is None


def test_the_supervisor_loads_no_bundle_and_no_polars():
    loaded = modules_after("import recsys_core.service.supervisor, recsys_core.cli.serve")
    assert {"polars", "numpy", "fastapi", "uvicorn", "recsys_core.serving.bundle"} & set(loaded) == set()


def children(process: int) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except FileNotFoundError:
        return []


def counted(url) -> float:
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        lines = [line for line in answer.read().decode().splitlines()
                 if line.startswith('recsys_requests_total{endpoint="/v1/recommend"')]
    return sum(float(line.split()[-1]) for line in lines)
