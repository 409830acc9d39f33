"""LoRA of all segments trained together against `peft` one after the other: seconds, and NDCG@10 on the same questions."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax

from benchmarks.adaptations.peft_loop import (
    BATCH,
    EPOCHS,
    RANK,
    Peer,
    Setting,
    adapt_two_towers,
    adapt_with_peft,
)
from benchmarks.adaptations.segments import SegmentStudy
from benchmarks.record import Bar
from recsys_core.adaptation.closed_form import ClosedFormConfig, Support, adapt_closed_form
from recsys_core.adaptation.lora import LoraConfig, LoraTask, Trained, lora_task, read_texts, train
from recsys_core.adaptation.prefix import Prefix
from recsys_core.adaptation.stacked import save_peft
from recsys_core.evaluation.bootstrap import paired_bootstrap
from recsys_core.evaluation.metrics import ranking_metrics

GOALS = {"cpu": 5, "cuda": 30}  # times faster than the peer
# Where artefacts are written while the clock runs, whoever writes them: one and the same disk took .1 to 3 ms a folder.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
TURNS = 8  # the peer trains one segment after each eighth of ours
SETTINGS = {f"{dtype}, {attention} attention, a batch's texts read {'once' if once else 'for every shot'}":
            Setting(dtype, attention, once)
            for once in (True, False) for dtype in ("bfloat16", "float32") for attention in ("eager", "sdpa")}
DTYPES = ("bfloat16", "float32")  # of the two towers
NEWEST = 5  # texts of the history that the two towers read
COMPARED = 8  # one segment in so many is trained by the peer too, for its answers
ASKED = 200  # questions per compared segment
AS_TIMED = "closed form, against popularity"  # as `cost` times it: no history is read, no base scored
CONFIG = LoraConfig()


@dataclass(frozen=True)
class Turn:
    """Some segments by us: their tasks and LoRAs; seconds until the PEFT folders were written, and to read their texts;
    most memory of the GPU held meanwhile, in GiB (0 without one)."""

    names: list[str]
    tasks: list[LoraTask]
    trained: Trained
    values: list[np.ndarray]
    seconds: float
    reading: float
    peak_gib: float


def run(study: SegmentStudy) -> dict:
    """Seconds of every turn and setting, and what the compared segments answer.

    Both learn and are asked within the segment's items. What counts, for both: from the base's probabilities at the
    shots to PEFT folders on disk, ours with the closed form it starts from and the layers below the top one. Reading
    the catalogue with the trained encoders is told apart.
    """
    import torch

    torch.set_num_threads(1)
    names = list(study.items)
    first = {name: _base_at_shots(study, name) for name in names[:2]}
    _train_turn(study, Prefix(study.encoder, study.catalogue.texts), first)  # imports and first calls
    _train_peer(study, names[0], first[names[0]], next(iter(SETTINGS.values())))
    _train_towers(study, names[0], DTYPES[0])
    prefix, turns, peers, answers = Prefix(study.encoder, study.catalogue.texts), [], {}, []
    towers: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    for start in range(TURNS):
        own = names[start::TURNS]
        probabilities = {name: _base_at_shots(study, name) for name in own}
        turns.append(_train_turn(study, prefix, probabilities))
        timed = own[len(own) // 2]
        for label, setting in SETTINGS.items():
            began = time.perf_counter()
            _train_peer(study, timed, probabilities[timed], setting)
            peers.setdefault(label, []).append(time.perf_counter() - began)
        for dtype, seconds in towers.items():
            began = time.perf_counter()
            _train_towers(study, timed, dtype)
            seconds.append(time.perf_counter() - began)
        for at in range(COMPARED // 2, len(own), COMPARED):
            peer = _train_peer(study, own[at], probabilities[own[at]], next(iter(SETTINGS.values())))
            answers.append(_compare(study, turns[-1], at, peer))
    return {"segments": len(names), "k": len(study.shots[names[0]]), "ours": [turn.seconds for turn in turns],
            "reading": [turn.reading for turn in turns], "sizes": [len(turn.names) for turn in turns], "peers": peers,
            "towers": towers, "device": study.encoder.device, "peak_gib": max(turn.peak_gib for turn in turns),
            "candidates": float(np.mean([len(task.rows) for turn in turns for task in turn.tasks])),
            "compared": len(answers), "quality": _pooled(answers)}


def _base_at_shots(study: SegmentStudy, name: str) -> np.ndarray:
    """The base's distribution over the segment's items at its shots: float32 [K, N], 0 at all others."""
    found = np.zeros((len(study.shots[name]), len(study.catalogue)), np.float32)
    scores = study.ranker.score(study.shots[name].queries.histories)
    found[:, study.items[name]] = softmax(scores[:, study.items[name]], axis=1)
    return found


def _train_turn(study: SegmentStudy, prefix: Prefix, probabilities: dict[str, np.ndarray]) -> Turn:
    import torch

    if study.encoder.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        began = time.perf_counter()
        supports = {name: Support(study.shots[name].items, study.shots[name].users, base.mean(axis=0, dtype=np.float64) + 1e-12)
                    for name, base in probabilities.items()}
        starts = adapt_closed_form(study.prior, supports, ClosedFormConfig())
        tasks = [lora_task(study.prior, starts[name], study.shots[name].items, base, CONFIG)
                 for name, base in probabilities.items()]
        trained = train(prefix, tasks, CONFIG)
        for at in range(len(tasks)):
            save_peft(Path(folder) / str(at), study.encoder, prefix.layer_index, trained.weights_of(at))
        seconds, began = time.perf_counter() - began, time.perf_counter()
    values = read_texts(prefix, tasks, trained, CONFIG)
    peak = torch.cuda.max_memory_allocated() if study.encoder.device == "cuda" else 0
    return Turn(list(probabilities), tasks, trained, values, seconds, time.perf_counter() - began, peak / 2**30)


def _train_peer(study: SegmentStudy, name: str, probabilities: np.ndarray, setting: Setting) -> Peer:
    text_of_item = study.catalogue.text_of_item
    texts, column = np.unique(text_of_item[study.shots[name].items], return_inverse=True)
    base = np.stack([probabilities[:, text_of_item == text].sum(axis=1) for text in texts], axis=1)[:, column]
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        return adapt_with_peft(study.encoder, [study.catalogue.texts[text] for text in texts[column]],
                               np.log(base + 1e-30).astype(np.float32), Path(folder), 0, setting)


def _train_towers(study: SegmentStudy, name: str, dtype: str) -> None:
    """The usual loop: each shot's newest history as one text, and its own text."""
    texts, text_of_item = study.catalogue.texts, study.catalogue.text_of_item
    shots, past = study.shots[name], study.shots[name].queries.histories
    queries = [" ; ".join(texts[text_of_item[item]] for item in past.items[max(low, high - NEWEST):high][::-1]) or "nothing yet"
               for low, high in zip(past.indptr[:-1], past.indptr[1:], strict=True)]
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        adapt_two_towers(study.encoder, queries, [texts[text_of_item[item]] for item in shots.items], Path(folder), 0, dtype)


def _compare(study: SegmentStudy, turn: Turn, at: int, peer: Peer) -> dict[str, np.ndarray]:
    """NDCG@10 of the segment's questions, ranking within the segment: users, base, closed form, LoRA, peft [n] each."""
    name, task, catalogue = turn.names[at], turn.tasks[at], study.catalogue
    rows, indptr, targets = study.asked(name)
    rows, indptr, targets = rows[:ASKED], indptr[:ASKED + 1], targets[:indptr[:ASKED + 1][-1]]
    items = study.items[name]
    base = np.concatenate([study.ranker.score(study.questions.histories[row:row + 1])[:, items] for row in rows])
    texts, of_item = np.unique(catalogue.text_of_item[items], return_inverse=True)
    lora = catalogue.vectors @ turn.trained.theta[at]
    lora[task.read] = turn.values[at]
    groups, shots = task.start.parts(catalogue)["segment_groups"][items], study.shots[name]
    timed = adapt_closed_form(study.prior, {name: Support(shots.items, shots.users)}, ClosedFormConfig())[name]
    added = {"base": np.zeros(len(items)), "closed form": task.start.offsets(catalogue)[items],
             AS_TIMED: timed.offsets(catalogue)[items],
             "LoRA": groups + lora[catalogue.text_of_item[items]],
             "peft": (peer.encoder.encode([catalogue.texts[text] for text in texts]) @ peer.theta)[of_item]}
    found = {method: ranking_metrics(base + offsets.astype(np.float32), indptr, targets)["ndcg@10"]
             for method, offsets in added.items()}
    return {"users": study.questions.user[rows], **found}


def _pooled(answers: list[dict[str, np.ndarray]]) -> dict:
    """Means over all compared segments' questions, and each method's gain on peft with its interval over users."""
    users = np.concatenate([answer["users"] for answer in answers])
    ndcg = {method: np.concatenate([answer[method] for answer in answers]) for method in answers[0] if method != "users"}
    return {"questions": len(users), "ndcg@10": {method: float(values.mean()) for method, values in ndcg.items()},
            "gain_on_peft": {method: paired_bootstrap(values - ndcg["peft"], users, np.random.default_rng(0)).to_json()
                             for method, values in ndcg.items() if method != "peft"}}


def fastest(part: dict) -> str:
    """The peer's fastest setting."""
    return min(part["peers"], key=lambda label: np.sum(part["peers"][label]))


def bars(part: dict, benchmark: str) -> list[Bar]:
    """Our seconds for all segments against the peer's fastest setting, extrapolated linearly."""
    label = fastest(part)
    ratios = [peer * size / ours for peer, size, ours in zip(part["peers"][label], part["sizes"], part["ours"], strict=True)]
    memory = f" Most memory of the GPU: {part['peak_gib']:.2f} GiB." if part["device"] == "cuda" else ""
    seconds, gain = float(np.mean(part["peers"][label])), part["quality"]["gain_on_peft"]["LoRA"]
    return [Bar(
        f"{benchmark}.lora_speedup_over_peft", seconds * part["segments"] / float(np.sum(part["ours"])),
        ">=", GOALS[part["device"]], min(ratios), max(ratios), TURNS,
        f"{part['segments']} segments, K={part['k']}: ours {np.sum(part['ours']):.0f} s for all, in {TURNS} turns, PEFT folders "
        f"written; a peft loop (r={RANK}, q/v of all layers, {EPOCHS} epochs, batch {BATCH}) on one segment after each turn, "
        f"extrapolated linearly, in its fastest setting ({label}: {seconds:.2f} s a segment); least and most of the turns. "
        f"Reading the catalogue with the trained encoders and the closed form of what is left over are not in it.{memory} "
        f"NDCG@10 within the segment, ours − peft's: {gain['mean']:+.4f} ({gain['low']:+.4f} … {gain['high']:+.4f}), "
        f"{gain['n']} questions of {part['compared']} segments")]


def table(part: dict) -> list[dict]:
    """Seconds per segment of everybody, and of our reading of the texts that carry a segment's probability."""
    ours = {f"ours, all together, {part['candidates']:.0f} candidate texts": np.sum(part["ours"]) / part["segments"],
            "ours, reading the segment's texts afterwards": np.sum(part["reading"]) / part["segments"]}
    peers = {f"peft loop, two towers, {dtype}": np.mean(seconds) for dtype, seconds in part["towers"].items()}
    peers |= {f"peft loop, a direction, {label}": np.mean(seconds) for label, seconds in part["peers"].items()}
    return [{"what": what, "s per segment": float(seconds)} for what, seconds in {**ours, **peers}.items()]
