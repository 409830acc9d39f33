"""The steps that lead to the service's image, followed in an empty environment, end in a service that answers."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from recsys_core.deployment.bundle import write_bundle
from recsys_core.deployment.champion import Judgement
from recsys_core.deployment.gates import GateVerdict
from recsys_core.release.promoter import Promoter
from tests.deploy.containerfile import ROOT, Stage, command, effective, environment, lineage, read_stages
from tests.serving.test_serve_install import UNREACHABLE, arguments_with_student

PLACES = ("/opt/recsys", "/build", "/data")  # of the image; they lie below a folder of the test here


def here(text: str, root: Path) -> str:
    for place in PLACES:
        text = text.replace(place, f"{root}{place}")
    return text


def follow(stages: list[Stage], root: Path, environ: dict[str, str]) -> None:
    """Copy and run what the stages say; what needs root (users, system folders) is left out."""
    folder = root
    for word, rest in (step for stage in stages for step in stage.steps):
        if word == "WORKDIR":
            folder = Path(here(rest, root))
            folder.mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            *names, target = rest.split()
            for name in names:
                to = folder / target / name if target.endswith("/") else folder / target
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, to)
        elif word == "RUN":
            done = subprocess.run(["sh", "-c", here(rest, root)], cwd=folder, env=environ, capture_output=True, text=True)
            if any(sign in done.stderr for sign in UNREACHABLE):
                pytest.skip("pip reaches no package index")
            assert done.returncode == 0, f"RUN {rest}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def variables(stages: dict[str, Stage], name: str, root: Path) -> dict[str, str]:
    own = {key: here(value, root) for key, value in environment(stages, name).items()}
    own["PATH"] = own["PATH"].replace("$PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    return {**{key: value for key, value in os.environ.items() if not key.startswith(("RECSYS_", "PYTHONPATH"))}, **own}


@pytest.mark.index
@pytest.mark.skipif(not os.environ.get("RECSYS_TEST_IMAGE"), reason="installs the whole image: set RECSYS_TEST_IMAGE=1")
def test_the_service_s_steps_end_in_a_service_that_answers(tmp_path):
    stages = read_stages()
    follow(lineage(stages, "service-build"), tmp_path, variables(stages, "service-build", tmp_path))
    environ = variables(stages, "service", tmp_path)
    write_bundle(tmp_path / "bundle", **arguments_with_student(tmp_path / "sources"))
    Promoter(tmp_path / "data").settle(tmp_path / "bundle", Judgement(GateVerdict("passed", ()), {}, {}))
    made = subprocess.run(["recsys", "new-key", "test"], env=environ, capture_output=True, text=True, check=True, cwd=tmp_path)
    key, line = (one.split(maxsplit=1)[1] for one in made.stdout.splitlines())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    inside = effective(stages, "service", "EXPOSE")
    words = [port if word == inside else word for word in command(effective(stages, "service", "CMD"))]
    running = subprocess.Popen([*words, "--workers", "1"], env={**environ, "RECSYS_API_KEYS": line}, cwd=tmp_path,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert wait_for(f"http://127.0.0.1:{port}/healthz", running) == 200
        check = command(effective(stages, "service", "HEALTHCHECK").partition("CMD ")[2])
        probe = [word.replace(f":{inside}", f":{port}") for word in check]
        assert subprocess.run(probe, env=environ, check=False).returncode == 0
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/recommend", b'{"history": ["k0"], "k": 2}',
                                       {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
        assert b'"g0"' in urllib.request.urlopen(asked, timeout=10).read()
    finally:
        running.terminate()
        running.wait(30)
    assert running.returncode == 0
    held = subprocess.run(["python", "-c", "import importlib.util as u; print([n for n in ('torch', 'dagster', 'mlflow', 'scipy')"
                           " if u.find_spec(n)])"], env=environ, capture_output=True, text=True, cwd=tmp_path)
    assert held.stdout.strip() == "[]"


def wait_for(url: str, running: subprocess.Popen, seconds: float = 60) -> int:
    """The status of an address, once it answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert running.poll() is None, running.stderr.read()
        try:
            return urllib.request.urlopen(url, timeout=2).status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} answered nothing in {seconds} s")
