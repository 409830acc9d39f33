"""Fit and rank in two processes and compare every byte: weights, saved files, scores, lists."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.rankings.journey import WINDOW_DAYS, fit_before, open_journey
from benchmarks.record import ROOT, Bar
from recsys_core.artefacts import folder_hash
from recsys_core.interactions import SECONDS_PER_DAY, make_queries
from recsys_core.metrics import top_items

QUESTIONS = 200


def run() -> dict:
    """The hashes of two processes."""
    return {"hashes": [json.loads(subprocess.run(
        [sys.executable, "-m", "benchmarks.rankings.reruns"], cwd=ROOT, check=True, capture_output=True,
        text=True).stdout.splitlines()[-1]) for _ in range(2)]}


def fit_and_rank() -> dict[str, str]:
    """The embedded shop's ranker, fitted on all but its last two weeks, and its lists for 200 baskets there."""
    journey = open_journey()
    cutoff = int(journey.events.timestamp.max() + 1 - WINDOW_DAYS * SECONDS_PER_DAY)
    ranker = fit_before(journey, cutoff)
    questions = make_queries(journey.events, cutoff, 2**40, max_queries=QUESTIONS, rng=np.random.default_rng(1))
    scores = ranker.score(questions.histories)
    with tempfile.TemporaryDirectory() as folder:
        ranker.save(Path(folder) / "ranker")
        saved = folder_hash(Path(folder) / "ranker")
    return {"ranker": saved, "scores": hashlib.sha256(scores.tobytes()).hexdigest(),
            "lists": hashlib.sha256(top_items(scores, 10, np.arange(scores.shape[1])).tobytes()).hexdigest()}


def bars(part: dict) -> list[Bar]:
    first, second = part["hashes"]
    return [Bar("ranking.bit_identical_reruns", float(first == second), "==", 1, n=2,
                note=f"saved ranker, scores and lists of {QUESTIONS} baskets of the embedded shop, two processes")]


if __name__ == "__main__":
    print(json.dumps(fit_and_rank()))
