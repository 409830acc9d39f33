"""The bundle's gate, on the days between what the base learned from there and what the report tells."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys_core.adaptation import Study
from recsys_core.artefacts import file_hash
from recsys_core.deployment.gates import BundleGateConfig, GateVerdict, bundle_gate, show_gain
from recsys_core.deployment.rescore import Served, compare, refitted, segment_losses
from recsys_core.errors import RecsysError
from recsys_core.evaluation import EvaluationConfig, Rivals, answer_all, measure_fairness, run_contest, too_far
from recsys_core.interactions import BASE, Queries, make_queries
from recsys_core.metrics import Interval
from recsys_core.monitoring import self_test
from recsys_core.oversight import FairnessSpec
from recsys_core.serving import MANIFEST, Bundle

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judgement:
    """What the gates found.

    Args:
        verdict: may the challenger become champion?
        metrics: the challenger's base on the gate rows.
        gains: paired differences by name: over each rival, and per segment what the champion has over it.
        champion: manifest hash of the champion it was compared with, or that relapsed; empty for none.
        predecessor: manifest hash of the champion before that; empty for none.
        relapse: how the champion is proven worse than its predecessor; empty where it is not. The verdict then compares
            the challenger with the predecessor.
    """

    verdict: GateVerdict
    metrics: dict[str, float]
    gains: dict[str, Interval]
    champion: str = ""
    predecessor: str = ""
    relapse: str = ""


def judge_bundle(study: Study, challenger: Path, champion: Path | None, evaluation: EvaluationConfig,
                 config: BundleGateConfig, *, predecessor: Path | None = None, fairness: FairnessSpec | None = None) -> Judgement:
    """Compare the challenger as it was at the gate window with the trivial rankers and, where there is one, with the champion.

    The challenger's files must give the answers that were trained: one that disagrees is refused whatever its base is worth.

    Args:
        study: the shop's events beside the base.
        challenger: folder of the bundle that is judged.
        champion: folder of the serving bundle; None, missing or empty (all were refused) for the first. One that this
            version cannot read serves nobody any more, so it counts as none.
        evaluation: how segments were judged.
        config: what a challenger must show.
        predecessor: folder of the champion before this one; the champion is re-scored beside it, too.
        fairness: which groups may not be too far apart; None: nobody asks.
    """
    window, rng = study.base.plan[BASE], np.random.default_rng([evaluation.seed, 17])
    queries = make_queries(study.events, window.gate_start, window.report_start,
                           max_queries=evaluation.base_queries, rng=rng)
    own = Bundle.load(challenger)
    served = {role: Served(bundle, refitted(study, bundle, window.gate_start))
              for role, folder in (("champion", champion), ("predecessor", predecessor)) if (bundle := load_champion(folder))}
    rivals = {**Rivals(study.events, len(study.base.catalogue)).at(window.gate_start),
              **{role: one.ranker for role, one in served.items() if one.ranker is not None}}
    base = study.base_at(window.gate_start)[0]
    contest = run_contest(base, queries, rivals=rivals, k=evaluation.k)
    scores = {name: slices["all"][config.metric] for name, slices in contest.items()} if len(queries) else {}
    metrics = {name: float(values.mean()) for name, values in contest["base"]["all"].items()} if len(queries) else {}
    relapse = _relapse(scores, queries, config, rng)
    against = "predecessor" if relapse else "champion"
    gains = {name: compare(scores["base"] - scores[name], queries.user, rng) for name in scores if name != "base"}
    losses = segment_losses(study, Served(own, None), served[against], evaluation, config, rng) if against in served else {}
    verdict = bundle_gate(metrics, gains.get(against), gains, config, first="champion" not in served, faults=self_test(own),
                          losses=losses, unfair=_unfair(study, fairness, queries, scores.get("base"), evaluation.k, rng))
    return Judgement(verdict, metrics, gains | {f"champion in {name}": loss for name, loss in losses.items()},
                     _name(champion), _name(predecessor), relapse)


def load_champion(folder: Path | None) -> Bundle | None:
    """The bundle that serves, or None: there is none, or none that can be read."""
    if folder is None or not (folder / MANIFEST).is_file():
        return None
    try:
        return Bundle.load(folder)
    except RecsysError as error:
        log.warning("the champion is judged as if there were none: %s", error)
        return None


def _relapse(scores: dict[str, np.ndarray], queries: Queries, config: BundleGateConfig, rng: np.random.Generator) -> str:
    """How the champion is proven worse than its predecessor on rows that neither was fitted on; empty where it is not."""
    if not {"champion", "predecessor"} <= set(scores):
        return ""
    found = compare(scores["champion"] - scores["predecessor"], queries.user, rng, config.relapse_coverage)
    return f"worse than its predecessor on the newest gate rows: {show_gain(found)}" if found.high < 0 else ""


def _unfair(study: Study, spec: FairnessSpec | None, queries: Queries, quality: np.ndarray | None, k: int,
            rng: np.random.Generator) -> list[str]:
    """Groups that lack more than the shop allows on the gate rows; nothing is measured where it allows everything."""
    if spec is None or quality is None or not np.isfinite(quality).all() or (spec.quality_gap, spec.exposure_gap) == (None, None):
        return []
    base = study.base_at(study.base.plan[BASE].gate_start)[0]
    return too_far(measure_fairness(study, spec, base, queries, quality, answer_all(base, queries, k), rng), spec)


def _name(folder: Path | None) -> str:
    return file_hash(folder / MANIFEST) if folder is not None and (folder / MANIFEST).is_file() else ""
