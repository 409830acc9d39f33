"""What is published is there, whole, at every moment: through kills, a full disk and a second writer."""

import errno
import fcntl
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from recsys_core import artefacts
from recsys_core.artefacts import one_writer, publish_folder, staged_file, staged_folder

FILES = 40
ENDLESS = f"""
import sys, itertools
from pathlib import Path
from recsys_core.artefacts import staged_folder, staged_file
place = Path(sys.argv[1])
for version in itertools.count():
    with staged_folder(place / "model") as folder:
        for n in range({FILES}):
            (folder / str(n)).write_text(str(version))
    with staged_file(place / "table") as file:
        file.write_text(f"{{version}} " * 10_000)
"""


@contextmanager
def files_at_most(size: int):
    """No file of this process may grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(folder: Path):
    """Nobody may write below `folder`; root lays its rights down."""
    paths = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in paths:
        path.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in paths:
            path.chmod(0o755)


def test_a_writer_killed_at_any_moment_leaves_a_whole_version(tmp_path):
    rng = random.Random(5)
    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", ENDLESS, str(tmp_path)], cwd=Path(__file__).parents[1]) as writer:
            until = time.monotonic() + 10
            while not (tmp_path / "table").exists() and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.1, 0.3))
            writer.send_signal(signal.SIGKILL)
        versions = [path.read_text() for path in (tmp_path / "model").iterdir()]
        assert len(versions) == FILES and len(set(versions)) == 1
        assert len(set((tmp_path / "table").read_text().split())) == 1
    with staged_folder(tmp_path / "model") as folder:
        (folder / "0").write_text("after")
    left = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert left == ["model"] and [path.name for path in (tmp_path / "model").iterdir()] == ["0"]


def test_a_reader_never_meets_a_missing_folder(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(tmp_path)], cwd=Path(__file__).parents[1]) as writer:
        until = time.monotonic() + 10
        while not (tmp_path / "table").exists() and time.monotonic() < until:
            time.sleep(0.01)
        missing = sum(not (tmp_path / "model").is_dir() for _ in range(20_000))
        writer.send_signal(signal.SIGKILL)
    assert missing == 0


def test_where_names_cannot_change_places_the_old_version_moves_out_first(tmp_path, monkeypatch):
    monkeypatch.setattr(artefacts, "_exchange", lambda *_: False)
    for text in ("old", "new"):
        (tmp_path / "staging").mkdir()
        (tmp_path / "staging" / "file").write_text(text)
        publish_folder(tmp_path / "staging", tmp_path / "model")
    assert (tmp_path / "model" / "file").read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_leaves_the_previous_version(tmp_path):
    for text in ("old", "new" * 10**6):
        try:
            with files_at_most(10**6), staged_folder(tmp_path / "model") as folder:
                (folder / "weights").write_text(text)
        except OSError as error:
            assert error.errno == errno.EFBIG
        try:
            with files_at_most(10**6), staged_file(tmp_path / "table") as file:
                file.write_text(text)
        except OSError as error:
            assert error.errno == errno.EFBIG
    assert (tmp_path / "model" / "weights").read_text() == (tmp_path / "table").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "table"]


def test_a_read_only_home_keeps_its_version():
    with tempfile.TemporaryDirectory() as place:
        home, made = Path(place), []
        with staged_folder(home / "model") as folder:
            (folder / "weights").write_text("old")
        with read_only(home):
            for publish in (staged_folder, staged_file):
                with pytest.raises(PermissionError), publish(home / "model") as staging:
                    staging.write_text("new")
                made.append((home / "model" / "weights").read_text())
        assert made == ["old", "old"] and [path.name for path in home.iterdir()] == ["model"]


def test_a_second_writer_waits_for_the_first(tmp_path):
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    script = ("import sys; from pathlib import Path; from recsys_core.artefacts import one_writer\n"
              "with one_writer(Path(sys.argv[1])): print('in')")
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[1],
                          stdout=subprocess.PIPE, text=True) as second:
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(1)
        os.close(held)
        assert second.communicate(timeout=20)[0] == "in\n"
    with one_writer(tmp_path):
        pass
