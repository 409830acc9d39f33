"""The service as an operator starts it, in processes of its own, for measurements and tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_LIMIT_S = 120.0


@dataclass(frozen=True)
class Served:
    """A running service.

    Args:
        url: where it answers. log: the file of its JSON lines. start_s: seconds from the command to its announcement.
    """

    process: subprocess.Popen[str]
    url: str
    log: Path
    start_s: float


@contextmanager
def served(bundle: Path, folder: Path, *options: str, workers: int = 2, environment: dict[str, str] | None = None
           ) -> Iterator[Served]:
    """Run `recsys serve` on a free port until the block ends.

    Args:
        folder: where events, sessions and the log go; made if missing.
        options: further options of the command.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "recsys_core.cli.main", "serve", "--bundle", str(bundle), "--collect",
               str(folder / "collected"), "--port", "0", "--workers", str(workers), *options]
    began, log = time.perf_counter(), folder / "service.log"
    with open(log, "w") as lines:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=lines, text=True,
                                   env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **(environment or {})})
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise RuntimeError(f"the service did not start: {log.read_text()[-2000:]}")
        yield Served(process, found.group(), log, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_LIMIT_S)
