"""What adapting costs: the closed form for all segments against a peft loop and scikit-learn, and ten thousand segments.

Every contestant is timed in turns on one thread, from the shots' rows to artefacts written, its strength selected. They are
written to a file system in memory: one disk took .1 to 3 ms for the same three files, and drowned what is compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.adaptations.peft import MEMORY, NEWEST, OURS, fastest
from benchmarks.adaptations.segments import SegmentStudy, prepare_segments
from benchmarks.record import ROOT, Bar, peak_gib
from recsys_core.adaptation import Adapter, ClosedFormConfig, Prior, Support, adapt_closed_form, prepare
from recsys_core.interactions import Catalogue
from recsys_core.serving import REQUEST_CONFIG

REPEATS = 7
MANY = (2_500, 5_000, 10_000)
REQUEST_SHOTS, REQUESTS = 8, 50
CONFIG = ClosedFormConfig()


def supports(study: SegmentStudy) -> dict[str, Support]:
    """The segments' shots as a request sees them: against the base's popularity."""
    return {name: Support(shots.items, shots.users) for name, shots in study.shots.items()}


def adapt_and_write(prior: Prior, asked: dict[str, Support], folder: Path) -> dict[str, Adapter]:
    """All segments' adapters, each in a folder of its own."""
    made = adapt_closed_form(prior, asked, CONFIG)
    for at, adapter in enumerate(made.values()):
        place = folder / str(at)
        place.mkdir()
        adapter.write(place)
    return made


def ridge_and_write(study: SegmentStudy, asked: dict[str, Support], folder: Path) -> None:
    """scikit-learn per segment: the shots' vectors against as many drawn from the base's popularity, labels 1 and 0."""
    from sklearn.linear_model import RidgeCV

    rng, vectors, text = np.random.default_rng(0), study.catalogue.vectors, study.catalogue.text_of_item
    drawn = rng.choice(len(study.catalogue), (len(asked), len(next(iter(asked.values())).items)), p=study.prior.item_share)
    for at, (support, others) in enumerate(zip(asked.values(), drawn, strict=True)):
        rows = vectors[text[np.r_[support.items, others]]]
        fitted = RidgeCV(alphas=CONFIG.strengths).fit(rows, np.r_[np.ones(len(support.items)), np.zeros(len(others))])
        np.save(folder / f"{at}.npy", fitted.coef_)


def run(study: SegmentStudy) -> dict:
    """Seconds of every repeat: warm (vectors and cells at hand), prepared (vectors at hand, components and cells made
    anew), cold (nothing at hand but the model), RidgeCV, requests."""
    asked, seconds = supports(study), {"warm": [], "prepared": [], "RidgeCV": [], "first request": [], "request": []}
    few = [Support(support.items[:REQUEST_SHOTS], np.arange(REQUEST_SHOTS)) for support in list(asked.values())[:REQUESTS]]
    for repeat in range(REPEATS + 1):  # the first one warms up
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            places = [Path(folder) / name for name in ("ours", "prepared", "ridge")]
            for place in places:
                place.mkdir()
            for name, work in (("warm", lambda place=places[0]: adapt_and_write(study.prior, asked, place)),
                               ("prepared", lambda place=places[1]: adapt_and_write(_prepare(study), asked, place)),
                               ("RidgeCV", lambda place=places[2]: ridge_and_write(study, asked, place)),
                               ("first request", lambda: adapt_closed_form(study.prior, {"": few[0]}, REQUEST_CONFIG)),
                               *(("request", lambda shots=shots: adapt_closed_form(study.prior, {"": shots}, REQUEST_CONFIG))
                                 for shots in few)):
                began = time.perf_counter()
                work()
                if repeat:
                    seconds[name].append(time.perf_counter() - began)
    seconds["cold"] = [_cold(study, asked) for _ in range(2)]
    many = json.loads(subprocess.run([sys.executable, "-m", "benchmarks.adaptations.cost"], cwd=ROOT, check=True,
                                     capture_output=True, text=True).stdout.splitlines()[-1])
    return {"segments": len(asked), "k": len(next(iter(study.shots.values()))), "texts": len(study.catalogue.vectors),
            "seconds": seconds, "many": many}


def _prepare(study: SegmentStudy) -> Prior:
    """The base prepared once more, with nothing kept of an earlier time; its first adaptation makes the cells."""
    return prepare(study.catalogue, study.ranker.counts.popularity, study.prior.lock)


def _cold(study: SegmentStudy, asked: dict[str, Support]) -> float:
    """Encode every distinct text of the catalogue, prepare the base, adapt all segments, write them."""
    began = time.perf_counter()
    vectors = study.encoder.encode(study.catalogue.texts)
    catalogue = Catalogue(study.catalogue.items, study.catalogue.text_of_item, vectors)
    prior = prepare(catalogue, study.ranker.counts.popularity, study.prior.lock)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        adapt_and_write(prior, asked, Path(folder))
    return time.perf_counter() - began


def adapt_many() -> dict:
    """Growing numbers of segments in one process: seconds of each, and the process' peak memory in GiB."""
    study = prepare_segments()
    base, rng = list(supports(study).values()), np.random.default_rng(0)
    adapt_closed_form(study.prior, {"warm": base[0]}, CONFIG)
    before, seconds = peak_gib(), []
    for count in MANY:
        asked = {}
        for at in range(count):  # every further segment learns from other shots: the first ones' drawn anew
            support = base[at % len(base)]
            rows = rng.integers(0, len(support.items), len(support.items))
            asked[f"segment-{at}"] = Support(support.items[rows], support.users[rows])
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            began = time.perf_counter()
            adapt_and_write(study.prior, asked, Path(folder))
            seconds.append(time.perf_counter() - began)
    return {"segments": list(MANY), "seconds": seconds, "peak_gib": peak_gib(), "peak_gib_before": before}


def bars(part: dict, loops: dict) -> list[Bar]:
    """The speed-ups and the memory; `loops` holds the peft loops' seconds and answers from the same run."""
    seconds, n, k = part["seconds"], part["segments"], part["k"]
    dtype = min(loops["towers"], key=lambda name: np.sum(loops["towers"][name]))
    peft, leanest = np.array(loops["towers"][dtype]), float(np.median(loops["peers"][fastest(loops)]))
    warm, prepared, ridge = (np.array(seconds[name]) for name in ("warm", "prepared", "RidgeCV"))
    loop = (f"{n} segments, K={k}; a peft loop with two towers (history's {NEWEST} newest texts, the shot's text, in-batch "
            f"contrastive) takes {peft.mean():.2f} s a segment in {dtype}, timed on {len(peft)} and extrapolated linearly")
    many, slope = part["many"], np.polyfit(part["many"]["segments"], part["many"]["seconds"], 1)[0]
    per_segment = ", ".join(f"{s / c * 1e3:.2f} ms at {c:,}" for c, s in zip(many["segments"], many["seconds"], strict=True))
    quality, ndcg = loops["quality"]["gain_on_peft"], loops["quality"]["ndcg@10"]
    return [
        Bar("adaptation.warm_speedup_over_peft", float(np.median(peft) * n / np.median(warm)), ">=", 10_000,
            float(peft.min() * n / warm.max()), float(peft.max() * n / warm.min()), len(warm),
            f"{loop}; ours {np.median(warm) / n * 1e3:.2f} ms a segment, groups and text as a request solves them (no base "
            f"scored, no single items), strengths selected, adapters written (to memory); medians, least and most. The "
            f"leanest loop we could write (no history read, a batch's texts once: {leanest:.2f} s) is "
            f"{leanest * n / np.median(warm):,.0f} times slower than ours"),
        Bar("adaptation.prepared_speedup_over_peft", float(np.median(peft) * n / np.median(prepared)), ">=", 2_000,
            float(peft.min() * n / prepared.max()), float(peft.max() * n / prepared.min()), len(prepared),
            f"{loop}; ours as in the warm figure, and the base prepared for it once (principal components and cells, anew in "
            f"every repeat): {np.median(prepared):.2f} s for all; medians, least and most"),
        Bar("adaptation.cold_speedup_over_peft", float(np.median(peft) * n / np.median(seconds["cold"])), ">=", 15, n=2,
            note=f"{loop}; ours with all {part['texts']:,} distinct texts of the catalogue encoded first: "
                 f"{np.median(seconds['cold']):.1f} s for all; against the leanest loop "
                 f"{leanest * n / np.median(seconds['cold']):.1f} times"),
        Bar("adaptation.warm_speedup_over_ridgecv", float(np.median(ridge / warm)), ">=", 3, float((ridge / warm).min()),
            float((ridge / warm).max()), len(warm), f"RidgeCV per segment on {k} shots and {k} sampled items, the same "
            f"strengths: {np.median(ridge) / n * 1e3:.2f} ms a segment; median, least and most of the turns"),
        Bar("adaptation.ndcg_delta_vs_peft_low", quality["low"], ">=", -0.005, quality["low"], quality["high"],
            quality["clusters"], f"NDCG@10 within the segment, closed form as timed ({ndcg[OURS]:.4f}) minus the leanest peft "
            f"loop, which is given the base ({ndcg['peft']:.4f}): mean {quality['mean']:+.4f} on {quality['n']} questions of "
            f"{loops['compared']} segments; the base alone {ndcg['base']:.4f}; the value is the lower end of the interval over "
            "users"),
        Bar("adaptation.peak_gib_10000_segments", many["peak_gib"], "<=", 4, n=1,
            note=f"one process, {many['peak_gib_before']:.2f} GiB before the first segment; {per_segment}: slope "
                 f"{slope * 1e3:.2f} ms a segment")]


def table(part: dict) -> list[dict]:
    seconds, n = part["seconds"], part["segments"]
    return [{"what": what, "median ms": float(np.median(seconds[name]) / count * 1e3), "n": len(seconds[name])}
            for name, what, count in (("warm", "one of all segments, vectors cached", n),
                                      ("prepared", "one of all segments, vectors cached, base prepared first", n),
                                      ("cold", "one of all segments, nothing cached", n),
                                      ("RidgeCV", "RidgeCV, one segment", n),
                                      ("request", f"a request of {REQUEST_SHOTS} shots, among others", 1),
                                      ("first request", f"a request of {REQUEST_SHOTS} shots, after other work", 1))]


if __name__ == "__main__":
    print(json.dumps(adapt_many()))
