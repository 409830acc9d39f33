"""Champion and challenger as they are served in every segment, on the same questions of the gate window."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recsys_core.adaptation import Family, Study, leave_own_out
from recsys_core.base_model import Ranker, fit_ranker
from recsys_core.deployment.gates import BundleGateConfig
from recsys_core.errors import RecsysError
from recsys_core.evaluation import Adaptation, EvaluationConfig, run_contest
from recsys_core.interactions import BASE, Audience, Catalogue, Queries, for_audience, knot_shares, known_steps
from recsys_core.metrics import Interval, paired_bootstrap
from recsys_core.serving import Bundle, family_folder

log = logging.getLogger(__name__)
ASKED: tuple[Audience, ...] = ("none", "full")  # what lies between is interpolated from both


@dataclass(frozen=True)
class Served:
    """A bundle as it would have served at the gate window.

    Args:
        bundle: whose adapters answer.
        ranker: its base, refitted at the window's beginning; None: the study's own base.
    """

    bundle: Bundle
    ranker: Ranker | None

    def scores(self, study: Study, name: str, queries: Queries, cutoff: int, now: int
               ) -> Callable[[slice, np.ndarray], np.ndarray]:
        """Its scores [n, N] of some rows of a segment's questions, from the study's base's; the askers' own shots left out."""
        made = adaptation_of(self.bundle, name, study)
        offsets = None if made is None else leave_own_out(study, name, queries, cutoff, made.strengths)
        weight = None if made is None else knot_shares(known_steps(queries.histories)) @ made.trust

        def blend(rows: slice, base: np.ndarray) -> np.ndarray:
            own = base if self.ranker is None else self.ranker.score(queries.histories[rows], now)
            if offsets is None or weight is None:
                return own
            return own + weight[rows, None] * np.array([offsets[row] for row in range(rows.start, rows.stop)])

        return blend


def segment_losses(study: Study, challenger: Served, champion: Served, evaluation: EvaluationConfig, config: BundleGateConfig,
                   rng: np.random.Generator) -> dict[str, Interval]:
    """The paired difference champion − challenger by segment and audience, where enough was asked to tell.

    A scene is left out: it is judged in its own days, and the gate window's rows are not its.
    """
    window, found = study.base.plan[BASE], {}
    for name in sorted(study.specs):
        own = study.window(name)
        if own is None or own.bounds != window.bounds:
            continue
        asked = study.questions(name, window.gate_start, window.report_start, config.segment_queries, rng)
        if len(asked) < config.min_queries or len(np.unique(asked.user)) < config.min_users:
            continue
        now = int(np.median(asked.timestamp))
        for audience in ASKED:
            queries = for_audience(asked, audience)
            blends = {role: one.scores(study, name, queries, window.gate_start, now)
                      for role, one in (("challenger", challenger), ("champion", champion))}
            contest = run_contest(study.base_at(window.gate_start)[0], queries, blends=blends, now=now, k=evaluation.k,
                                  candidates=study.candidates(name))
            loss = contest["champion"]["all"][config.metric] - contest["challenger"]["all"][config.metric]
            found[f"{name} ({audience} history)"] = compare(loss, queries.user, rng)
    return found


def compare(difference: np.ndarray, users: np.ndarray, rng: np.random.Generator, coverage: float = 0.95) -> Interval:
    """The interval of paired differences; not a number, which no gate lets pass, where one of them is not finite."""
    if not np.isfinite(difference).all():
        return Interval(np.nan, np.nan, np.nan, 1.0, len(users), len(np.unique(users)))
    return paired_bootstrap(difference, users, rng, level=coverage)


def adaptation_of(bundle: Bundle, name: str, study: Study) -> Adaptation | None:
    """How a bundle's adapter of a segment was made; None where it ships none, or one of another kind of catalogue."""
    folder = bundle.folder / family_folder(name)
    if not folder.is_dir():
        return None
    try:
        family = Family.load(folder, bundle.manifest["lock"])
    except RecsysError as error:
        log.warning("%s counts as without an adapter: %s", name, error)
        return None
    fits = len(family.strengths.groups) == len(study.base.catalogue.groups)
    return Adaptation(family.strengths, np.asarray(family.trust, np.float32)) if fits else None


def refitted(study: Study, bundle: Bundle, cutoff: int) -> Ranker:
    """What a bundle's settings and text vectors make of the events before a cut-off: the fair way to re-score it.

    The shipped champion has counted the gate rows; a refit with its frozen weights has not. Texts it
    has never seen get a zero vector.
    """
    old = {text: row for row, text in enumerate(bundle.catalogue.items["text"].to_list())}
    items, vectors = study.base.catalogue.items, bundle.catalogue.item_vectors
    known = np.array([old.get(text, -1) for text in items["text"].to_list()])
    own = np.zeros((study.base.catalogue.vectors.shape[0], vectors.shape[1]), np.float32)
    own[study.base.catalogue.text_of_item[known >= 0]] = vectors[known[known >= 0]]
    catalogue = Catalogue(items, study.base.catalogue.text_of_item, own)
    ranker = bundle.parts.ranker
    return fit_ranker(study.events.before(cutoff), catalogue, ranker.config, weights=ranker.weights)
