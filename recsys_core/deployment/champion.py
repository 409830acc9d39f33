"""The bundle's gate, on the days between what the base learned from there and what the report tells."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from recsys_core.adaptation import Study
from recsys_core.base_model import Ranker, fit_ranker
from recsys_core.deployment.gates import BundleGateConfig, GateVerdict, bundle_gate
from recsys_core.errors import RecsysError
from recsys_core.evaluation import EvaluationConfig, Rivals, run_contest
from recsys_core.interactions import BASE, Catalogue, make_queries
from recsys_core.metrics import Interval, paired_bootstrap
from recsys_core.monitoring import self_test
from recsys_core.serving import MANIFEST, Bundle

log = logging.getLogger(__name__)


def judge_bundle(study: Study, challenger: Path, champion: Path | None, evaluation: EvaluationConfig,
                 config: BundleGateConfig) -> tuple[GateVerdict, dict[str, float]]:
    """Compare the base as it was at the gate window with the trivial rankers and, where there is one, with the champion.

    The challenger's files must give the answers that were trained: one that disagrees is refused whatever its base is worth.

    Args:
        study: the shop's events beside the base.
        challenger: folder of the bundle that is judged.
        champion: folder of the serving bundle; None, missing or empty (all were refused) for the first. One that this
            version cannot read serves nobody any more, so it counts as none.
        evaluation: how segments were judged.
        config: what a challenger must show.

    Returns:
        the verdict, and the base's metrics on the gate rows.
    """
    window, catalogue = study.base.plan[BASE], study.base.catalogue
    rng = np.random.default_rng([evaluation.seed, 17])
    queries = make_queries(study.events, window.gate_start, window.report_start,
                           max_queries=evaluation.base_queries, rng=rng)
    rivals = dict(Rivals(study.events, len(catalogue)).at(window.gate_start))
    serving = load_champion(champion)
    if serving is not None:
        rivals["champion"] = champion_at(study, serving, window.gate_start)
    contest = run_contest(study.base_at(window.gate_start)[0], queries, rivals=rivals, k=evaluation.k)
    metrics = {name: float(values.mean()) for name, values in contest["base"]["all"].items()} if len(queries) else {}

    def gain(rival: str) -> Interval:
        difference = contest["base"]["all"][config.metric] - contest[rival]["all"][config.metric]
        return paired_bootstrap(difference, queries.user, rng)

    gains = {name: gain(name) for name in rivals} if len(queries) else {}
    return bundle_gate(metrics, gains.pop("champion", None), gains, config, first=serving is None,
                       faults=self_test(Bundle.load(challenger))), metrics


def load_champion(folder: Path | None) -> Bundle | None:
    """The bundle that serves, or None: there is none, or none that can be read."""
    if folder is None or not (folder / MANIFEST).is_file():
        return None
    try:
        return Bundle.load(folder)
    except RecsysError as error:
        log.warning("the champion is judged as if there were none: %s", error)
        return None


def champion_at(study: Study, champion: Bundle, cutoff: int) -> Ranker:
    """What the champion's settings and text vectors make of the events before a cut-off: the fair way to re-score it.

    The shipped champion has counted the gate rows; a refit with its frozen weights has not. Texts it
    has never seen get a zero vector.
    """
    old = {text: row for row, text in enumerate(champion.catalogue.items["text"].to_list())}
    items, vectors = study.base.catalogue.items, champion.catalogue.item_vectors
    known = np.array([old.get(text, -1) for text in items["text"].to_list()])
    own = np.zeros((study.base.catalogue.vectors.shape[0], vectors.shape[1]), np.float32)
    own[study.base.catalogue.text_of_item[known >= 0]] = vectors[known[known >= 0]]
    catalogue = Catalogue(items, study.base.catalogue.text_of_item, own)
    ranker = champion.parts.ranker
    return fit_ranker(study.events.before(cutoff), catalogue, ranker.config, weights=ranker.weights)
