"""Work fanned out over Ray. Scheduling, retries and lost nodes are Ray's; a step hands tasks over and writes what comes back.

`RECSYS_RAY=local` starts a Ray of its own on this machine for the run: one that a killed run left would be waited for in vain.
Another value is the address of a cluster that this machine is a node of.
Workers need this package in the same version, and RECSYS_HOME under the same path; they only read there.
"""

import os
import socket
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, TypeVar

import dagster as dg
import ray
from dagster_ray import Lifecycle, RayResource
from pydantic import Field, PrivateAttr
from ray.exceptions import RayError, RayTaskError

from orchestration import worker
from recsys_core.errors import RecsysError

Task = TypeVar("Task")
Made = TypeVar("Made")
LOCAL, REACHED_S = "local", 10.0
RETRIES = 3  # of a task whose worker or node was lost; an error of its own is never tried again


def threads() -> dict[str, str]:
    """How many threads this process counts with, for workers: sums depend on it."""
    given = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name in os.environ}
    return {"OPENBLAS_NUM_THREADS": given.get("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0)))), **given}


class RayFanOut(RayResource):
    """A `FanOut` whose tasks run on Ray, one core each. It connects when there is something to share out.

    Args:
        address: `local`, or of the cluster that this machine is a node of: `auto`, or HOST:6379 of its head.
    """

    address: str = LOCAL
    lifecycle: Lifecycle = Lifecycle(create=False)
    ray_init_options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}  # noqa: RUF012 (a pydantic field)
    env_vars: dict[str, str] | None = Field(default_factory=threads)

    _init: Any = PrivateAttr(default=None)

    @property
    def host(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        return f"Ray at {self.address}"

    @property
    def ray_address(self) -> str:
        return self.address

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["RayFanOut"]:
        """Keep what `connect` logs to; disconnect when the run ends."""
        self._init = context
        with super().yield_for_execution(context):
            yield self

    def map(self, function: Callable[[Task], Made], tasks: Iterable[Task]) -> Iterator[Made]:
        """See `recsys_core.fan_out.FanOut.map`. A single task stays here.

        Raises:
            RecsysError: no cluster at the address, or a task was lost more often than it is tried again.
        """
        tasks = iter(tasks)
        first = list(islice(tasks, 2))
        if len(first) < 2:
            return map(function, first)
        self._join()
        call, shared = uuid.uuid4().hex, ray.put(function)
        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(worker.run)
        return _gather(deque(remote.remote(call, [shared], task) for task in chain(first, tasks)))

    def _join(self) -> None:
        if self.connected:
            return
        host, _, port = self.address.rpartition(":")
        try:
            if host:
                socket.create_connection((host, int(port)), REACHED_S).close()  # Ray itself would try for minutes
            self.connect(self._init)
        except (OSError, RayError, ValueError) as error:
            raise RecsysError("RECSYS_RAY", f"no Ray at {self.address!r} ({error})",
                              "start the cluster, name another address, or unset it to work in one process") from error


def _gather(waiting: deque[Any]) -> Iterator[Any]:
    """Results in the order of the tasks; each leaves Ray's memory when it was taken. Who stops asking stops the rest."""
    try:
        while waiting:
            yield ray.get(waiting.popleft())
    except RayTaskError as error:
        raise error.cause from None
    except RayError as error:
        raise RecsysError("Ray", f"a task was lost {RETRIES + 1} times ({type(error).__name__}: {error})",
                          "see the cluster's logs; memory is the usual cause") from error
    finally:
        for task in waiting:
            ray.cancel(task)
