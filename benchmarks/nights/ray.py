"""Work over Ray beside the same work in process: the bytes, killed workers, a lost node, and what the way there costs.

Ray runs on this machine as a cluster of two emulated nodes with a core each. A shop is planted, with a corner per department and
region as segments; texts and events are generated. One fan-out is made as the chain makes it, from the value of RECSYS_RAY.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import polars as pl

from benchmarks.nights.shop import GeneratedShop
from benchmarks.record import Bar
from recsys_core.adaptation import AdaptationConfig, PublishedStudy, adapt_segments
from recsys_core.artefacts import folder_hash
from recsys_core.base_model import BaseConfig, build_base, plan_shop
from recsys_core.cleaning import CleaningConfig, clean_events, clean_items
from recsys_core.evaluation import EvaluationConfig, judge_segments
from recsys_core.fan_out import IN_PROCESS, FanOut
from recsys_core.features import FeatureConfig, Inputs, build_features, read_features
from recsys_core.ingestion import FamilySpec, SegmentSpec, open_shop
from recsys_core.interactions import WindowConfig
from recsys_core.schema import FEATURE_TABLES
from recsys_core.text_encoder import EncoderConfig, TextEncoder, VectorCache, cached_encode, load_encoder

log = logging.getLogger(__name__)
USERS, TEXTS, EVENTS, SPAN = 120, 2_500, 500_000, 100_000
GOALS: dict[str, tuple[str, float]] = {"ray.results_equal": ("==", 1), "ray.survives_worker_kill": ("==", 1)}
DEPARTMENTS, REGIONS = ("Kitchen", "Garden", "Toys", "Stationery"), ("north", "south", "west")
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """One place that fans out.

    Args:
        name: what is made. tasks: how many pieces. make: writes below a folder; the hash of what was made.
    """

    name: str
    tasks: int
    make: Callable[[FanOut, Path], str]


@dataclass(frozen=True)
class Run:
    """One run of a job: seconds, seconds of all processors, and the hash of what was made."""

    seconds: float
    processor_seconds: float
    made: str


def measure(_: Path) -> tuple[list[Bar], dict[str, Rows]]:
    """The bars and tables of this part; the shop is planted, so no bundle is asked for."""
    try:
        import ray
    except ModuleNotFoundError:
        absent = "ray is not installed: pip install 'fewshot-recsys[ray]'"
        return [Bar(name, None, *goal, note=absent) for name, goal in GOALS.items()], {}
    with TemporaryDirectory() as place:
        found = list(plant(Path(place) / "planted"))
        rows, costs = compare(found, Path(place))
    note = f"ray {ray.__version__}, two emulated nodes of one core, {len(rows)} kinds of results"
    killed = [row["killed"] for row in rows]
    equal = all(row["equal"] for row in rows)
    survived = all(row["equal_after_kill"] for row in rows) and all(killed)
    bars = [Bar("ray.results_equal", float(equal), "==", 1, n=len(rows), note=f"{note}; hashes of what was made"),
            Bar("ray.survives_worker_kill", float(survived), "==", 1, n=len(rows),
                note=f"{note}; {sum(killed)} workers killed with SIGKILL at work, one per kind")]
    return bars, {"In process, with one worker, and with two (seconds)": rows, "What the way costs": costs}


def plant(place: Path) -> Iterator[Job]:
    """The jobs, with everything they read below `place`."""
    from tests.shops import planted_shop

    opened = open_shop(planted_shop(place / "shop", users=USERS, impressions=False))
    corners = [SegmentSpec(name=f"{department}-{region}".lower(), kind="custom",
                           where=f"items.department = '{department}' AND users.region = '{region}'")
               for department in DEPARTMENTS for region in REGIONS]
    segments, family, items = (*opened.config.segments, *corners), FamilySpec(name="region", by="users.region"), \
        clean_items(opened.items())
    days: dict[str, Path] = {}
    for drop in opened.events():
        days[str(drop.day)] = _folder(place / "clean") / f"{drop.day}.parquet"
        clean_events(drop.events, items["item_id"], CleaningConfig(), drop.day).events.write_parquet(days[str(drop.day)])
    opened.users().write_parquet(place / "users.parquet")
    features, users = place / "features", opened.users()
    build_features(features, days, Inputs(items, users, segments, opened.config.context), FeatureConfig())
    tables = {name: read_features(features, name).collect() for name in FEATURE_TABLES}
    plan = plan_shop(tables["interactions"], list(segments), WindowConfig(), families=[family.name], time_zone="UTC",
                     order_only=False)
    load_encoder(EncoderConfig()).save(place / "encoder")
    encoder = TextEncoder.load(place / "encoder")
    build_base(_folder(place / "base"), encoder=encoder, encoder_cutoff=min(one.support_start for one in plan.values()),
               items=items, interactions=tables["interactions"], exposures=tables["exposures"],
               item_features=tables["item_features"], plan=plan, cache=VectorCache(place / "vectors"), config=BaseConfig())

    def study() -> PublishedStudy:
        scans = (read_features(features, name) for name in ("interactions", "segment_events"))
        return PublishedStudy(place / "base", *scans, segments, [family], pl.scan_parquet(place / "users.parquet"))

    names = [*(one.name for one in segments), family.name]

    def adapters(fan_out: FanOut, to: Path) -> str:
        adapt_segments({name: _folder(to / name) for name in names}, study(), AdaptationConfig(), fan_out)
        return folder_hash(to)

    def evaluations(fan_out: FanOut, to: Path) -> str:
        judge_segments({name: _folder(to / name) for name in names}, study(), {name: place / "adapters" / name for name in names},
                       place / "champion", EvaluationConfig(), order_only=False, fan_out=fan_out)
        return folder_hash(to)

    adapters(IN_PROCESS, place / "adapters")
    texts = [f"{text}, number {n}" for n in range(-(-TEXTS // len(items))) for text in items["text"].to_list()][:TEXTS]

    def vectors(fan_out: FanOut, to: Path) -> str:
        return hashlib.sha256(cached_encode(encoder, texts, VectorCache(to, fan_out)).tobytes()).hexdigest()

    shop = GeneratedShop(EVENTS)
    written, inputs = shop.write(place / "generated"), shop.inputs()

    def partials(fan_out: FanOut, to: Path) -> str:
        build_features(to, written, inputs, FeatureConfig(batch_events=SPAN, threads=1), fan_out=fan_out)
        return hashlib.sha256("".join(folder_hash(to / table) for table in FEATURE_TABLES).encode()).hexdigest()

    yield Job("adapters", len(names), adapters)
    yield Job("evaluations", 2 * len(names), evaluations)
    yield Job("vectors", len(encoder.cut(texts)), vectors)
    yield Job("partials", 2 * EVENTS // SPAN, partials)


def compare(jobs: list[Job], place: Path) -> tuple[Rows, Rows]:
    """Every job in process, with one worker, with two, with a worker killed at work, and the first with a node lost.

    Args:
        jobs: what is done. place: an empty folder for what they make.

    Returns:
        a row per job; what the way costs.
    """
    from ray.cluster_utils import Cluster

    here = {job.name: _timed(job, IN_PROCESS, place / "here") for job in jobs}
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  Ray's workers give way to everybody else; work in process does not
    started, node = time.perf_counter(), {"num_cpus": 1, "object_store_memory": 300 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    costs = [{"what": "the first node of a cluster starts", "seconds": time.perf_counter() - started}]
    try:
        with _connected(cluster.address) as fan_out:
            costs += _fixed_costs(fan_out)
            one = {job.name: _timed(job, fan_out, place / "one") for job in jobs}
            second = cluster.add_node(**node)
            cluster.wait_for_nodes()
            list(fan_out.map(_sleep, [1.0] * 4))  # the second node's worker starts
            two = {job.name: _timed(job, fan_out, place / "two") for job in jobs}
            hurt = {job.name: _killed(job, fan_out, place / "hurt") for job in jobs}
            costs.append(_without(cluster, second, jobs[0], fan_out, place / "lost", here[jobs[0].name].made))
    finally:
        cluster.shutdown()
    rows = []
    for job in jobs:
        alone, single, both, (after, killed) = (found[job.name] for found in (here, one, two, hurt))
        rows.append({
            "what": job.name, "tasks": job.tasks, "in_process": alone.seconds, "one_worker": single.seconds,
            "two_workers": both.seconds, "speedup": alone.seconds / both.seconds, "with_a_kill": after.seconds,
            "processors_in_process": alone.processor_seconds, "processors_two_workers": both.processor_seconds,
            "equal": alone.made == single.made == both.made, "equal_after_kill": alone.made == after.made, "killed": killed})
        log.info("%s", rows[-1])
    return rows, costs


@contextmanager
def _connected(address: str) -> Iterator[FanOut]:
    """The fan-out of RECSYS_RAY=address, as Dagster opens it for a run."""
    import dagster as dg

    from orchestration.fan_out import choose_fan_out

    with dg.build_resources({"fan_out": choose_fan_out(address)}) as resources:
        yield resources.fan_out


def _fixed_costs(fan_out: FanOut) -> Rows:
    """Connecting and the first worker; then what a task costs that does nothing."""
    began = time.perf_counter()
    list(fan_out.map(_sleep, [0.0, 0.0]))
    first, began = time.perf_counter() - began, time.perf_counter()
    list(fan_out.map(_sleep, [0.0] * 200))
    return [{"what": "connecting, and a node's first worker", "seconds": first},
            {"what": "one of 200 tasks that do nothing", "seconds": (time.perf_counter() - began) / 200}]


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _timed(job: Job, fan_out: FanOut, place: Path) -> Run:
    began, spent = time.perf_counter(), _processor_seconds()
    made = job.make(fan_out, _folder(place / job.name))
    run = Run(time.perf_counter() - began, _processor_seconds() - spent, made)
    log.info("%s, %s: %.1f s, %.1f s of processors", job.name, place.name, run.seconds, run.processor_seconds)
    return run


def _processor_seconds() -> float:
    """What this process and Ray's have used so far: unlike seconds, it does not grow with what else the machine does."""
    import psutil

    spent = time.process_time()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            spent += sum(process.cpu_times()[:2])
    return spent


def _killed(job: Job, fan_out: FanOut, place: Path) -> tuple[Run, int]:
    """The job while the first worker that is seen at work is killed a moment later."""
    over, killed = Event(), []
    killer = Thread(target=_kill_one, args=(over, killed))
    killer.start()
    try:
        return _timed(job, fan_out, place), len(killed)
    finally:
        over.set()
        killer.join()


def _kill_one(over: Event, killed: list[int]) -> None:
    """SIGKILL a worker of this process's cluster that is at work, and has been for a moment."""
    import psutil

    def at_work(process: psutil.Process) -> bool:
        return "".join(process.cmdline()).startswith("ray::run")  # Ray names a worker after its task

    while not killed and not over.wait(0.05):
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if at_work(process) and not over.wait(0.2) and at_work(process):
                    process.send_signal(signal.SIGKILL)
                    killed.append(process.pid)
                    break


def _without(cluster: Any, node: Any, job: Job, fan_out: FanOut, place: Path, wanted: str) -> dict[str, Any]:
    """The job while one of the two nodes is lost."""
    lost = Thread(target=lambda: (time.sleep(1), cluster.remove_node(node, allow_graceful=False)))
    lost.start()
    run = _timed(job, fan_out, place)
    lost.join()
    told = "equal" if run.made == wanted else "OTHERS"
    return {"what": f"{job.name} while one of two nodes is lost: {told}", "seconds": run.seconds}


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
