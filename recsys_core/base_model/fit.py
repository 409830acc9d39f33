"""Fitting the session model: the events are counted, and the blend of its parts is learned from later questions."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from recsys_core.base_model.blend import fit_head, fit_weights, join_situations, log_likelihood
from recsys_core.base_model.counting import count_events
from recsys_core.base_model.parts import PART_NAMES, Counts
from recsys_core.base_model.prior import prior_weights
from recsys_core.base_model.ranker import Ranker, RankerConfig
from recsys_core.errors import ModelError
from recsys_core.interactions import KNOTS, Catalogue, Interactions, Queries, cut_histories, known_steps, take_queries

log = logging.getLogger(__name__)


def fit_ranker(train: Interactions, catalogue: Catalogue, config: RankerConfig, *,
               validation: Queries | None = None, weights: np.ndarray | None = None,
               prior: np.ndarray | None = None) -> Ranker:
    """Count the training events and learn how much each part weighs.

    Args:
        train: the events that are counted.
        catalogue: the N items to rank.
        config: how parts are counted and weighed.
        validation: questions later than `train` that the blend is fitted on.
        weights: float [knots, P], a frozen blend: only the counts are made. A refit through the newest day is
            `fit_ranker(newer, catalogue, ranker.config, weights=ranker.weights)`. Neither: the first of `prior`.
        prior: float [kinds, knots, P], what the blend may start from; None: other shops' weights (`prior`).

    Raises:
        ModelError: if both are given, or the weights do not fit the parts.
    """
    prior = prior_weights() if prior is None else prior
    if weights is not None and validation is not None:
        raise ModelError("ranker", "both weights and validation queries were given", "pass one of them")
    if weights is not None and np.shape(weights) != (len(KNOTS), len(PART_NAMES)):
        raise ModelError("ranker", f"weights of shape {np.shape(weights)} for {len(KNOTS)} knots and {len(PART_NAMES)} parts",
                         "take the weights of a ranker fitted by this version")
    counts = count_events(train, catalogue, config)
    if validation is not None:
        return Ranker(config, catalogue, counts, *_fit_blend(counts, catalogue, config, validation, prior))
    frozen = prior[0] if weights is None else weights
    return Ranker(config, catalogue, counts, frozen, {"blend": "prior" if weights is None else "frozen"})


def _fit_blend(counts: Counts, catalogue: Catalogue, config: RankerConfig,
               queries: Queries, prior: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Weights [knots, P] from choices with histories as they are, and cut short."""
    rng = np.random.default_rng(config.seed)
    rows = np.flatnonzero(np.diff(queries.target_indptr) > 0)
    if not len(rows):
        return prior[0], {"blend": "prior", "choices": 0}
    if len(rows) > config.max_queries:
        rows = np.sort(rng.choice(rows, config.max_queries, replace=False))
    asked, evidence = take_queries(queries, rows), Ranker(config, catalogue, counts, prior[0], {})
    situations, known = evidence.situations(asked, rng), known_steps(asked.histories)
    for steps in KNOTS[:-1]:
        longer = np.flatnonzero(known > steps)
        longer = np.sort(rng.choice(longer, min(config.cut_queries, len(longer)), replace=False))
        situations += evidence.situations(cut_histories(take_queries(asked, longer), steps), rng)
    choices = join_situations(situations)
    start = max(prior, key=lambda kind: float(log_likelihood(choices, kind)[0].sum()))
    learned = fit_weights(choices, start, config.ridge, config.smooth)
    learned = fit_head(choices, learned, seen=choices.features[PART_NAMES.index("repeat")] > 0, top=config.head,
                       ridge=config.head_ridge, smooth=config.head_smooth, share=config.head_share)
    learned[:, PART_NAMES.index("trend")] *= config.trend_share
    mean = float(log_likelihood(choices, learned)[0].mean())
    log.info("blend: %d choices, mean log-likelihood %.4f", len(choices), mean)
    return learned, {"blend": "fitted", "choices": len(choices), "log_likelihood": mean}
