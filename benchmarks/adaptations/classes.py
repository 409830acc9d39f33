"""Few-shot classes of texts beside SetFit: the same encoder, shots and test texts.

- Intents: Bitext's service utterances; shots from its train file, tested on its test file.
- Products: the embedded shop's distinct titles with their brand, without the category path, and the department to name
  (titles of several departments left out). Titles are split by hash, so that no test title was a shot: 60% may give
  shots, 15% were looked at while the method was chosen, 25% test.

Of each the 8 classes with most texts to give shots; as many shots of every class, test texts as they fall. Loading the
encoder and imports are counted for neither side; encoding the shots is counted for ours. Both calculate in float32.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.rankings.questions import PLACE
from benchmarks.record import ROOT, Bar
from recsys_core.cleaning import clean_items, compose_text
from recsys_core.ingestion import open_shop
from recsys_core.metrics import calibration_error
from recsys_core.schema import CATEGORY_SEPARATOR
from recsys_core.tasks import ClassAdapter, ClassConfig, fit_classes
from recsys_core.text_encoder import PACKAGED_MODEL, EncoderConfig, TextEncoder, load_encoder, locate

log = logging.getLogger(__name__)

PEERS = ROOT / "benchmarks" / "peers"
PYTHON = PEERS / ".venv-setfit" / "bin" / "python"
SCRIPT = PEERS / "setfit_classes.py"
GOALS = {"adaptation.accuracy_over_setfit@8": 1.0, "adaptation.accuracy_over_setfit@64": 1.0,
         "adaptation.setfit_time_over_ours": 100}
SEEDS = {8: 4, 64: 1}  # shots of each class → how many draws; SetFit takes a quarter of an hour for one at 64
CLASSES = 8


@dataclass(frozen=True)
class LabelledTexts:
    """What may give shots, and what is tested: texts and their classes."""

    pool: tuple[list[str], list[str]]
    test: tuple[list[str], list[str]]


def missing() -> str:
    """Why this part cannot be measured here; empty where it can."""
    if not PYTHON.is_file():
        return "SetFit's environment is absent: make bench-peers"
    return "" if _folder().is_dir() else f"{_folder()} is absent; set RECSYS_DATA to the folder that holds intents"


def run() -> dict:
    """Every draw of shots, ours and SetFit's; finished trainings of SetFit are kept, an interrupted run goes on."""
    import torch

    encoder, threads = load_encoder(EncoderConfig(dtype="float32")), torch.get_num_threads()
    torch.set_num_threads(1)
    draws = []
    for name, read in (("intents", read_intents), ("products", read_products)):
        data = _largest_classes(read())
        fit_classes(encoder, *draw_shots(data, 4, 0), ClassConfig(), task="warming up")
        draws += [_draw(encoder, name, data, shots, seed) for shots, seeds in SEEDS.items() for seed in range(seeds)]
    torch.set_num_threads(threads)
    return {"draws": draws, "rows": [_row(name, shots, [draw for draw in draws if (draw["data"], draw["shots"]) == (
        name, shots)]) for name in ("intents", "products") for shots in SEEDS]}


def read_intents() -> LabelledTexts:
    """Utterances and their intents."""
    parts = []
    for split in ("train", "test"):
        with open(_folder() / f"{split}.csv", encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        parts.append(([row["utterance"] for row in rows], [row["intent"] for row in rows]))
    return LabelledTexts(*parts)


def read_products() -> LabelledTexts:
    """Distinct titles and their departments."""
    items = clean_items(open_shop(None).items()).filter(pl.col("category").is_not_null())
    titles = items.with_columns(department=pl.col("category").str.split(CATEGORY_SEPARATOR).list.first()).group_by(
        "title").agg(pl.col("brand").sort_by("item_id").first(), pl.col("department").unique()).filter(
        pl.col("department").list.len() == 1).sort("title")
    pool, test = ([], []), ([], [])
    for title, brand, department in titles.rows():
        place = int(hashlib.sha256(title.encode()).hexdigest()[:8], 16) / 2**32
        for part in [pool] if place < 0.6 else [test] if place >= 0.75 else []:
            part[0].append(compose_text(title, None, brand, None))
            part[1].append(department[0])
    return LabelledTexts(pool, test)


def draw_shots(data: LabelledTexts, shots: int, seed: int) -> tuple[list[str], list[str]]:
    """As many texts of every class, without replacement."""
    rng, labels = np.random.default_rng(seed), np.array(data.pool[1])
    rows = np.concatenate([rng.choice(np.flatnonzero(labels == name), shots, replace=False) for name in np.unique(labels)])
    return [data.pool[0][row] for row in rows], labels[rows].tolist()


def train_peer(name: str, texts: list[str], labels: list[str], test: list[str], seed: int) -> dict:
    """SetFit's answers; a training on the same texts with the same script is kept until its file is removed."""
    task = json.dumps({"texts": texts, "labels": labels, "test": test, "seed": seed}, sort_keys=True)
    key = hashlib.sha256(task.encode() + SCRIPT.read_bytes()).hexdigest()[:12]
    place = PLACE / "setfit" / f"{name}-{len(texts)}-{seed}-{key}"
    out = place / "answers.json"
    if not out.is_file():
        log.info("training SetFit on %d shots of %s in %s", len(texts), name, place)
        place.mkdir(parents=True, exist_ok=True)
        (place / "task.json").write_text(task, encoding="utf-8")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with open(place / "log.txt", "w", encoding="utf-8") as handle:
            subprocess.run([PYTHON, SCRIPT, locate(PACKAGED_MODEL)[0], place / "task.json", out], env=environment,
                           stdout=handle, stderr=subprocess.STDOUT, check=True)
    return json.loads(out.read_text(encoding="utf-8"))


def _folder() -> Path:
    return Path(os.environ.get("RECSYS_DATA") or ROOT.parent / "shared" / "data") / "intents"


def _largest_classes(data: LabelledTexts) -> LabelledTexts:
    kept = {name for name, _ in Counter(data.pool[1]).most_common(CLASSES)}
    return LabelledTexts(*(tuple(map(list, zip(*(pair for pair in zip(*part, strict=True) if pair[1] in kept), strict=True)))
                           for part in (data.pool, data.test)))


def _draw(encoder: TextEncoder, name: str, data: LabelledTexts, shots: int, seed: int) -> dict:
    """One draw of shots: both sides' accuracy on the test texts, and processor seconds."""
    texts, labels = draw_shots(data, shots, seed)
    truth = np.array(data.test[1])
    began, cpu = time.perf_counter(), time.process_time()
    adapter = fit_classes(encoder, texts, labels, ClassConfig(), task=name)
    seconds = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - began}
    nameless = fit_classes(encoder, texts, labels, ClassConfig(read_names=False), task=name)
    peer = train_peer(name, texts, labels, data.test[0], seed)
    return {"data": name, "shots": shots, "seed": seed, "test_texts": len(truth), "chosen": adapter.settings,
            "ours": {**_judge(adapter, encoder, data.test[0], truth), **seconds},
            "names_unread": _accuracies(_answers(nameless, encoder, data.test[0])[0], truth),
            "setfit": {**_accuracies(np.array(peer["predicted"]), truth),
                       **{key: peer[key] for key in ("cpu_seconds", "wall_seconds", "versions")}}}


def _answers(adapter: ClassAdapter, encoder: TextEncoder, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class of each text, sure or not, and its probability."""
    found = adapter.probabilities(encoder, texts)
    return np.array(adapter.labels)[found.argmax(axis=1)], found.max(axis=1)


def _judge(adapter: ClassAdapter, encoder: TextEncoder, texts: Sequence[str], truth: np.ndarray) -> dict[str, float]:
    answers, probability = _answers(adapter, encoder, texts)
    right, sure = answers == truth, probability >= adapter.settings["unsure_below"]
    return {**_accuracies(answers, truth), "calibration_error": calibration_error(right.astype(np.float64), probability),
            "sure": float(sure.mean()), "accuracy_when_sure": float(right[sure].mean())}


def _accuracies(answers: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Share of right answers, over all texts and as the mean over classes."""
    return {"accuracy": float((answers == truth).mean()),
            "class_accuracy": float(np.mean([(answers[truth == name] == name).mean() for name in np.unique(truth)]))}


def _row(name: str, shots: int, draws: list[dict]) -> dict:
    """Means over the draws of one data set and number of shots."""
    def mean(side: str, key: str) -> float:
        return float(np.mean([draw[side][key] for draw in draws]))

    ours, theirs = mean("ours", "cpu_seconds"), mean("setfit", "cpu_seconds")
    return {"data": name, "shots per class": shots, "draws": len(draws), "test texts": draws[0]["test_texts"],
            "accuracy": mean("ours", "accuracy"), "SetFit": mean("setfit", "accuracy"),
            "names unread": mean("names_unread", "accuracy"),
            "mean over classes": mean("ours", "class_accuracy"), "SetFit's": mean("setfit", "class_accuracy"),
            "calibration error": mean("ours", "calibration_error"), "sure": mean("ours", "sure"),
            "accuracy when sure": mean("ours", "accuracy_when_sure"),
            "seconds": ours, "SetFit's seconds": theirs, "times": theirs / ours}


def bars(part: dict | None, reason: str = "") -> list[Bar]:
    """The three bars; without a measured part each is there with its reason."""
    if part is None:
        return [Bar(name, None, ">=", goal, note=reason) for name, goal in GOALS.items()]
    found = []
    for shots, name in zip(SEEDS, GOALS, strict=False):
        ratios = {data: [draw["ours"]["accuracy"] / draw["setfit"]["accuracy"] for draw in part["draws"]
                         if (draw["data"], draw["shots"]) == (data, shots)] for data in ("intents", "products")}
        each = ", ".join(f"{data} {np.mean(own):.3f}" for data, own in ratios.items())
        every = [ratio for own in ratios.values() for ratio in own]
        found.append(Bar(name, float(np.mean(every)), ">=", GOALS[name], min(every), max(every), len(every),
                         f"mean ratio of test accuracies over draws of shots ({each}), {CLASSES} classes each; the span is "
                         f"the least and the most; ours reads the classes' names too"))
    times = [row["times"] for row in part["rows"]]
    return [*found, Bar("adaptation.setfit_time_over_ours", min(times), ">=", 100, min(times), max(times),
                        len(part["draws"]), "processor seconds of training, one thread, float32, encoding the shots counted; "
                        "the least of both data sets at 8 and at 64 shots; the span is the least and the most")]
