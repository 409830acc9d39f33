"""Does adapting pay: gain over the base and over a placebo for growing numbers of shots, and what the gate makes of it.

Every adapter is made as the product makes it (`adapt_segment`: strengths and scale by leaving users out, the base where
nothing helps). Curves are asked on the report window, which nothing else looks at.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import chain

import numpy as np

from benchmarks.adaptations.ask import ask, questions, shots
from benchmarks.adaptations.trials import Trial, embedded_trials, own_segments, retail_trials
from benchmarks.record import Bar
from recsys_core.adaptation.adapt import AdaptationConfig, adapt_segment
from recsys_core.adaptation.methods import CLOSED_FORM
from recsys_core.adaptation.shots import ShotConfig, Shots
from recsys_core.evaluation.baselines import fit_from_scratch, fit_segment_popularity
from recsys_core.evaluation.bootstrap import minimum_detectable_effect, paired_bootstrap
from recsys_core.evaluation.gate import GateConfig, decide, try_adapter

log = logging.getLogger(__name__)

KS, SEEDS, ASKED, DRAWS = (2, 4, 16, 64, 256), 10, 300, 2000
GOALS = {2: (">=", -0.002), 4: (">=", -0.002), 16: (">", 0.0), 64: (">", 0.0), 256: (">", 0.0)}
DEPARTMENTS = "withheld departments"


def run() -> dict:
    """The curves of all trials, and the gate over the shops' own segments."""
    trials = chain(embedded_trials(), retail_trials())
    curves = [found for found in map(measure_curve, trials) if found]
    return {"curves": curves, "gate": judge(own_segments())}


def adapt(trial: Trial, drawn: Shots, k: int, seed: int, only: tuple[str, float] | None = None):
    """The product's adapter of some shots, or None: the base."""
    config = AdaptationConfig(shots=ShotConfig(k=k, min_shots=2, seed=seed))
    return adapt_segment(trial.prior, trial.ranker, trial.segment, drawn, config, np.random.default_rng([seed, 2]), only=only)


def measure_curve(trial: Trial) -> dict | None:
    """One segment: per K the mean over seeds of every question's gain, and the placebo's of the same method and scale."""
    asked = questions(trial, "report", ASKED)
    if not len(asked):
        log.info("%s: nothing to ask", trial.segment)
        return None
    offsets, used, chosen = {}, {}, {}
    for k in KS:
        for seed in range(SEEDS):
            drawn = shots(trial, k, seed)
            adapter = adapt(trial, drawn, k, seed)
            used.setdefault(k, []).append(len(drawn))
            chosen.setdefault(k, []).append("base" if adapter is None else adapter.settings["method"])
            if adapter is not None:
                placebo = adapt(trial, shots(trial, k, seed, placebo=True), k, seed, (CLOSED_FORM, adapter.settings["scale"]))
                offsets[f"adapted {k} {seed}"] = adapter.offsets(trial.prior.catalogue)
                if placebo is not None:
                    offsets[f"placebo {k} {seed}"] = placebo.offsets(trial.prior.catalogue)
    ndcg = ask(trial, asked, offsets)
    kept = np.isfinite(ndcg["base"])

    def mean_gain(name: str, k: int) -> np.ndarray:
        return np.mean([ndcg.get(f"{name} {k} {seed}", ndcg["base"]) - ndcg["base"] for seed in range(SEEDS)], axis=0)[kept]

    log.info("%s: %d questions", trial.segment, kept.sum())
    return {"segment": trial.segment, "group": trial.group, "base": float(ndcg["base"][kept].mean()),
            "users": asked.user[kept].tolist(), "shots": {str(k): float(np.mean(used[k])) for k in KS},
            "base_chosen": {str(k): chosen[k].count("base") / SEEDS for k in KS},
            "gain": {str(k): mean_gain("adapted", k).tolist() for k in KS},
            "placebo": {str(k): mean_gain("placebo", k).tolist() for k in KS}}


def judge(trials: Iterable[Trial]) -> list[dict]:
    """The product's gate on window A for every segment; what is promoted is asked again on window B."""
    made, evidence = {}, []
    for trial in trials:
        drawn = shots(trial, max(KS), 0)
        adapter = adapt(trial, drawn, max(KS), 0) if len(drawn) else None
        if adapter is None:
            made[trial.segment] = None
            continue
        placebo = adapt(trial, shots(trial, max(KS), 0, placebo=True), max(KS), 0, (CLOSED_FORM, adapter.settings["scale"]))
        offsets = {"adapted": adapter.offsets(trial.prior.catalogue),
                   **({"placebo": placebo.offsets(trial.prior.catalogue)} if placebo else {})}
        before = trial.events.timestamp < trial.window.gate_start
        size = len(trial.prior.catalogue)
        rivals = {"segment_popularity": fit_segment_popularity(trial.events, trial.member & before, size),
                  "from_scratch": fit_from_scratch(drawn.queries, size)}
        gate, report = (questions(trial, name, ASKED) for name in ("gate", "report"))
        scores = ask(trial, gate, offsets, rivals)
        evidence.append(try_adapter(trial.segment, scores, gate.user, GateConfig(), np.random.default_rng(0)))
        later = ask(trial, report, {"adapted": offsets["adapted"]})
        gain = paired_bootstrap(later["adapted"] - later["base"], report.user, np.random.default_rng(0))
        made[trial.segment] = {"shots": len(drawn), "report": gain.to_json()}
    decisions = decide(evidence, GateConfig())
    return [{"segment": name, "decision": "refused", "reason": "no adapter: the base serves"} if found is None else
            {"segment": name, **found, **decisions[name]} for name, found in made.items()]


def pooled(curves: list[dict], k: int, placebo: bool) -> tuple[float, float, float, int]:
    """Mean over the groups of segments of the gain (minus the placebo's), 95% interval over users, users.

    Groups weigh the same; within a group, questions do. Every draw takes each group's users with replacement.
    """
    rng, groups = np.random.default_rng(0), {}
    for curve in curves:
        gain = np.array(curve["gain"][str(k)]) - (np.array(curve["placebo"][str(k)]) if placebo else 0.0)
        groups.setdefault(curve["group"], []).append((np.array(curve["users"]), gain))
    means, draws, users = [], np.zeros(DRAWS), 0
    for parts in groups.values():
        user, gain = (np.concatenate(values) for values in zip(*parts, strict=True))
        _, code = np.unique(user, return_inverse=True)
        sums, rows = np.bincount(code, gain), np.bincount(code).astype(float)
        times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), DRAWS)
        means.append(gain.mean())
        draws += times @ sums / (times @ rows) / len(groups)
        users += len(sums)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(np.mean(means)), float(low), float(high), users


def bars(part: dict) -> list[Bar]:
    """The gains, the departments' relative gain, and the gate."""
    curves, found = part["curves"], []
    groups = sorted({curve["group"] for curve in curves})
    for k, (op, goal) in GOALS.items():
        mean, low, high, users = pooled(curves, k, placebo=True)
        plain = pooled(curves, k, placebo=False)
        found.append(Bar(f"adaptation.gain_low@{k}", low, op, goal, low, high, users,
                         f"NDCG@10, gain over the base minus the placebo's, mean over {len(groups)} groups of segments "
                         f"({'; '.join(groups)}) and {SEEDS} seeds: {mean:+.4f}; without the placebo {plain[0]:+.4f} "
                         f"[{plain[1]:+.4f}, {plain[2]:+.4f}]; the value is the lower end"))
    departments = [curve for curve in curves if curve["group"] == DEPARTMENTS]
    base = np.mean([curve["base"] for curve in departments])
    gain = np.mean([np.mean(curve["gain"]["64"]) for curve in departments])
    found.append(Bar("adaptation.domain_relative_gain@64", float(gain / base), ">=", 1.0, n=len(departments),
                     note=f"mean over {len(departments)} withheld departments, ranking within the department: NDCG@10 "
                          f"{base:.4f} → {base + gain:.4f}; their items are in no history either"))
    gate = part["gate"]
    promoted = [row for row in gate if row["decision"] == "promoted"]
    worse = [row["segment"] for row in promoted if row["report"]["high"] < 0]
    found.append(Bar("adaptation.segments_significantly_worse", len(worse), "==", 0, n=len(promoted),
                     note="promoted segments whose interval lies below the base in the later report window: "
                          + (", ".join(worse) or "none")))
    found.append(Bar("adaptation.segments_promoted_share", len(promoted) / len(gate), ">=", 0.3, n=len(gate),
                     note=f"{len(promoted)} of {len(gate)} segments of the two shops, gated on window A against base, placebo, "
                          "from-scratch and segment popularity, Holm-corrected"))
    return found


def curve_rows(part: dict) -> list[dict]:
    """One line per segment and K."""
    rows = []
    for curve in part["curves"]:
        users = np.array(curve["users"])
        for k in KS:
            gain = np.array(curve["gain"][str(k)])
            interval = paired_bootstrap(gain, users, np.random.default_rng(0))
            detectable = minimum_detectable_effect(gain, users)
            rows.append({"group": curve["group"], "segment": curve["segment"], "base": curve["base"], "K": k,
                         "shots": curve["shots"][str(k)], "gain": interval.mean, "low": interval.low, "high": interval.high,
                         "placebo": float(np.mean(curve["placebo"][str(k)])), "base kept": curve["base_chosen"][str(k)],
                         "detectable": float(detectable) if np.isfinite(detectable) else None, "questions": len(users)})
    return rows


def gate_rows(part: dict) -> list[dict]:
    """One line per segment of the gate."""
    return [{"segment": row["segment"], "decision": row["decision"], "shots": row.get("shots"),
             "gain in the report window": row["report"]["mean"] if "report" in row else None,
             "low": row["report"]["low"] if "report" in row else None, "high": row["report"]["high"] if "report" in row else None,
             "reason": row["reason"]} for row in part["gate"]]
