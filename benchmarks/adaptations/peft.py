"""The `peft` loop that ours is compared with: seconds of one segment, and NDCG@10 of its answers beside ours."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.special import softmax

from benchmarks.adaptations.peft_loop import Peer, Setting, adapt_two_towers, adapt_with_peft
from benchmarks.adaptations.segments import SegmentStudy
from recsys_core.adaptation import ClosedFormConfig, Support, adapt_closed_form
from recsys_core.metrics import paired_bootstrap, ranking_metrics

# Where artefacts are written while the clock runs, whoever writes them: one and the same disk took .1 to 3 ms a folder.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
TURNS = 8  # segments the loop is timed on, one of each eighth
SETTINGS = {f"{dtype}, {attention} attention, a batch's texts read {'once' if once else 'for every shot'}":
            Setting(dtype, attention, once)
            for once in (True, False) for dtype in ("bfloat16", "float32") for attention in ("eager", "sdpa")}
DTYPES = ("bfloat16", "float32")  # of the two towers
NEWEST = 5  # texts of the history that the two towers read
COMPARED = 8  # one segment in so many is also trained for its answers
ASKED = 200  # questions per compared segment
OURS = "closed form"  # as `cost` times it: against the popularity, no history read, no base scored


def run(study: SegmentStudy) -> dict:
    """Seconds of every timed segment and setting, and what the compared segments answer.

    The loop learns and is asked within the segment's items. What counts: from the base's probabilities at the shots to
    a PEFT folder on disk.
    """
    import torch

    torch.set_num_threads(1)
    names, lean = list(study.items), next(iter(SETTINGS.values()))
    _train_peer(study, names[0], _base_at_shots(study, names[0]), lean)  # imports and first calls
    _train_towers(study, names[0], DTYPES[0])
    answers, peers = [], {label: [] for label in SETTINGS}
    towers: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    for start in range(TURNS):
        own = names[start::TURNS]
        timed = own[len(own) // 2]
        probabilities = _base_at_shots(study, timed)
        for label, setting in SETTINGS.items():
            began = time.perf_counter()
            _train_peer(study, timed, probabilities, setting)
            peers[label].append(time.perf_counter() - began)
        for dtype, seconds in towers.items():
            began = time.perf_counter()
            _train_towers(study, timed, dtype)
            seconds.append(time.perf_counter() - began)
        for name in own[COMPARED // 2::COMPARED]:
            answers.append(_compare(study, name, _train_peer(study, name, _base_at_shots(study, name), lean)))
    return {"peers": peers, "towers": towers, "compared": len(answers), "quality": _pooled(answers)}


def _base_at_shots(study: SegmentStudy, name: str) -> np.ndarray:
    """The base's distribution over the segment's items at its shots: float32 [K, N], 0 at all others."""
    found = np.zeros((len(study.shots[name]), len(study.catalogue)), np.float32)
    scores = study.ranker.score(study.shots[name].queries.histories)
    found[:, study.items[name]] = softmax(scores[:, study.items[name]], axis=1)
    return found


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


def _compare(study: SegmentStudy, name: str, peer: Peer) -> dict[str, np.ndarray]:
    """NDCG@10 of the segment's questions, ranking within the segment: users, base, closed form, peft [n] each."""
    catalogue, items, shots = study.catalogue, study.items[name], study.shots[name]
    rows, indptr, targets = study.asked(name)
    rows, indptr, targets = rows[:ASKED], indptr[:ASKED + 1], targets[:indptr[:ASKED + 1][-1]]
    base = np.concatenate([study.ranker.score(study.questions.histories[row:row + 1])[:, items] for row in rows])
    texts, of_item = np.unique(catalogue.text_of_item[items], return_inverse=True)
    ours = adapt_closed_form(study.prior, {name: Support(shots.items, shots.users)}, ClosedFormConfig())[name]
    added = {"base": np.zeros(len(items)), OURS: ours.offsets(catalogue)[items],
             "peft": (peer.encoder.encode([catalogue.texts[text] for text in texts]) @ peer.theta)[of_item]}
    found = {method: ranking_metrics(base + offsets.astype(np.float32), indptr, targets)["ndcg@10"]
             for method, offsets in added.items()}
    return {"users": study.questions.user[rows], **found}


def _pooled(answers: list[dict[str, np.ndarray]]) -> dict:
    """Means over all compared segments' questions, and our gain on peft with its interval over users."""
    pooled = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    gain = paired_bootstrap(pooled[OURS] - pooled["peft"], pooled["users"], np.random.default_rng(0))
    return {"ndcg@10": {method: float(pooled[method].mean()) for method in ("base", OURS, "peft")},
            "gain_on_peft": gain.to_json()}


def fastest(part: dict) -> str:
    """The leanest loop's fastest setting."""
    return min(part["peers"], key=lambda label: np.sum(part["peers"][label]))


def table(part: dict) -> list[dict]:
    """Seconds per segment of every form and setting of the loop."""
    loops = {f"two towers, {dtype}": seconds for dtype, seconds in part["towers"].items()}
    loops |= {f"a direction, {label}": seconds for label, seconds in part["peers"].items()}
    return [{"what": what, "s per segment": float(np.mean(seconds))} for what, seconds in loops.items()]
