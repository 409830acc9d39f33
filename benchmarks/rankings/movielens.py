"""ml-100k against RecBole's SASRec: the identical leave-one-out split, the same seen-mask, our metric code for both."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.rankings.questions import PLACE, frozen_catalogue, measure, table_row
from benchmarks.record import ROOT, Bar
from recsys_core.base_model import Ranker, RankerConfig, fit_ranker
from recsys_core.cleaning import clean_items
from recsys_core.interactions import Catalogue, Interactions, Queries, make_queries
from recsys_core.metrics import fit_item_knn, fit_last_item, fit_popularity, paired_bootstrap, ranking_metrics
from recsys_core.schema import RAW_ITEMS

log = logging.getLogger(__name__)

PEERS = ROOT / "benchmarks" / "peers"
PYTHON = PEERS / ".venv" / "bin" / "python"
GOALS = {"ml100k.ndcg@10_over_recbole_sasrec": 1.0, "ml100k.train_time_recbole_over_ours": 100}
LAST = 946_771_199  # the pseudo-day's last second: a user's last event; each earlier one lies a second before


def train_peer(minutes: float) -> Path:
    """Train SASRec on, to early stop or for so many minutes; returns its folder.

    The peer does not depend on our code: one trained once is kept until its folder is removed.
    """
    place = PLACE / "sasrec"
    if not (place / "sasrec.json").is_file():
        log.info("training SASRec for at most %g minutes in %s", minutes, place)
        run_peer("sasrec.py", place, str(minutes))
    return place


def run_peer(script: str, place: Path, *arguments: str) -> None:
    """Run a script of benchmarks/peers in its own environment, on one thread."""
    place.mkdir(parents=True, exist_ok=True)
    # Keeping freed memory makes SASRec's large tensors a fifth faster: the peer gets its best time.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                   "MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
    subprocess.run([PYTHON, PEERS / script, ".", *arguments], cwd=place, env=environment, check=True)


def read_catalogue() -> Catalogue:
    """Titles with year, and genres as the category."""
    path = next(PEERS.glob(".venv/lib/python*/site-packages/recbole/dataset_example/ml-100k/ml-100k.item"))
    with open(path, encoding="utf-8") as handle:
        rows = list(csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    raw = pl.DataFrame({
        "item_id": [row[0] for row in rows], "title": [f"{row[1]} ({row[2]})" for row in rows],
        "category": [row[3] or None for row in rows], **{name: [None] * len(rows) for name in
                                                       ("description", "brand", "price")}}, schema=RAW_ITEMS)
    return frozen_catalogue(clean_items(raw))


def read_events(path: Path, catalogue: Catalogue) -> Interactions:
    """RecBole's own order of each user's events, as reverse positions."""
    stored = np.load(path)
    ids, user = np.unique(stored["user"], return_inverse=True)
    item = np.array([catalogue.row_of[str(i)] for i in stored["item"]], np.int32)
    order = np.lexsort((stored["position"], user))
    user, item = user[order].astype(np.int32), item[order]
    back = np.bincount(user)[user] - 1 - stored["position"][order]
    return Interactions(user, item, (LAST - back).astype(np.int64), np.zeros(len(user), np.int8),
                        np.arange(len(user)), [str(i) for i in ids])


def peer_scores(path: Path, events: Interactions, catalogue: Catalogue) -> np.ndarray:
    """A peer's scores with our rows and columns."""
    stored = np.load(path)
    user_row = {str(user): row for row, user in enumerate(stored["user"])}
    item_row = {str(item): row for row, item in enumerate(stored["item"])}
    rows = np.array([user_row[user] for user in events.user_ids])
    return stored["scores"][np.ix_(rows, [item_row[item] for item in catalogue.item_ids])]


def fit(events: Interactions, catalogue: Catalogue) -> tuple[Ranker, dict[str, float]]:
    """As the peer: all but the last two events train, the last but one validates. Returns CPU and wall seconds too."""
    began, cpu = time.perf_counter(), time.process_time()
    choices = make_queries(events, LAST - 1, LAST)
    ranker = fit_ranker(events.before(LAST - 1), catalogue, RankerConfig(), validation=choices)
    return ranker, {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - began}


def run(peer: Path) -> dict:
    """Rank every user's last event with all contestants."""
    catalogue = read_catalogue()
    events = read_events(peer / "events.npz", catalogue)
    ranker, seconds = fit(events, catalogue)
    test = make_queries(events, LAST, LAST + 1)
    train = events.before(LAST - 1)
    run_peer("factors.py", PLACE / "factors", str(peer / "events.npz"))
    contestants = {
        "this ranker": score(ranker, test), "RecBole SASRec": peer_scores(peer / "sasrec.npz", events, catalogue),
        **{f"implicit {name}": peer_scores(PLACE / "factors" / f"{name}.npz", events, catalogue)
           for name in ("ALS", "BPR")},
        **{name: fitted(train, len(catalogue)).score(test.histories) for name, fitted in (
            ("popularity", fit_popularity), ("item-kNN", fit_item_knn), ("last item", fit_last_item))}}
    rows = []
    for mask, seen in (("masked", test.histories), ("offered", None)):
        for name, scores in contestants.items():
            found = measure(scores, test.targets, test.user, seen)
            rows.append({**table_row(name, "train", found), "seen items": mask})
    values = {name: _ndcg(scores, test) for name, scores in contestants.items()}
    ours, theirs = values["this ranker"], values["RecBole SASRec"]
    gap = paired_bootstrap(ours - theirs, test.user, np.random.default_rng(0))
    return {"rows": rows, "ratio": float(ours.mean() / theirs.mean()), "low": 1 + gap.low / float(theirs.mean()),
            "high": 1 + gap.high / float(theirs.mean()), "users": gap.clusters, "ours": seconds,
            "sasrec": json.loads((peer / "sasrec.json").read_text())}


def score(ranker: Ranker, questions: Queries) -> np.ndarray:
    return np.concatenate([ranker.score(questions.histories[low:low + 128])
                           for low in range(0, len(questions), 128)])


def _ndcg(scores: np.ndarray, test: Queries) -> np.ndarray:
    return ranking_metrics(scores, test.target_indptr, test.targets,
                           exclude=(test.histories.indptr, test.histories.items))["ndcg@10"]


def bars(part: dict | None, reason: str = "") -> list[Bar]:
    """The two bars; without a trained peer each is there with its reason."""
    names = list(GOALS)
    if part is None:
        return [Bar(name, None, ">=", GOALS[name], note=reason) for name in names]
    peer, ours = part["sasrec"], part["ours"]
    return [
        Bar(names[0], part["ratio"], ">=", GOALS[names[0]], part["low"], part["high"], part["users"],
            "test NDCG@10, seen items masked for both; interval of the paired difference over the peer's mean"),
        Bar(names[1], peer["cpu_seconds"] / ours["cpu_seconds"], ">=", GOALS[names[1]], n=1,
            note=f"processor seconds on one thread each: SASRec {peer['cpu_seconds']:.0f} to early stop after "
                 f"{peer['epochs']} epochs, ours {ours['cpu_seconds']:.1f}; text vectors not counted")]
