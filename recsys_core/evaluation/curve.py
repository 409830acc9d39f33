"""Does adapting pay, and from how many shots on? A segment's gain at growing K, its placebo beside it.

One pool of support shots is scored once by the base. From it many subsets per K are drawn, each adapted as the
product adapts it (closed form, its scale cross-validated), and all adapters are asked the same gate questions of
shoppers who gave no shots. As many shots from outside the segment, fitted at the same scale, are the placebo. K = 0 is
the base: every gain is measured from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation.adapt import AdaptationConfig, helps_lists, split_users, view_base
from recsys_core.adaptation.closed_form import Prior, Support, adapt_closed_form
from recsys_core.adaptation.segment import draw_placebo
from recsys_core.adaptation.shots import Shots, count_shots, nth_occurrence, per_user
from recsys_core.adaptation.study import Study
from recsys_core.base_model.data import Queries, make_queries
from recsys_core.base_model.ranker import Ranker
from recsys_core.evaluation.bootstrap import Interval, minimum_detectable_effect, paired_bootstrap
from recsys_core.evaluation.metrics import metrics_from_ranks, offset_ranks
from recsys_core.evaluation.windows import Window

BLOCK = 32  # questions whose catalogue scores are held at once


class CurveConfig(BaseModel, frozen=True, extra="forbid"):
    """What a curve is measured on."""

    ks: tuple[int, ...] = Field((2, 4, 16, 64, 256), description="numbers of shots; a segment with fewer stops at its own")
    seeds: int = Field(10, ge=1, description="subsets drawn per K")
    max_queries: int = Field(100, ge=10, description="gate questions asked")


@dataclass(frozen=True)
class CurvePoint:
    """What K shots are worth.

    Args:
        gain, placebo: NDCG over the base's, paired per question, the mean over the subsets (at the size of the
            pool they differ only in the folds of their vote); intervals are over users.
        adapted: share of the subsets that got an adapter; the others' votes were for the base.
        detectable: smallest true gain that these questions would find; None where nothing was adapted.
    """

    k: int
    gain: Interval
    placebo: Interval
    adapted: float
    detectable: float | None

    @property
    def pays(self) -> bool:
        """Proven better than the base, and better than the placebo."""
        return self.gain.low > 0 and self.gain.mean > self.placebo.mean

    def to_json(self) -> dict:
        return {"k": self.k, "gain": self.gain.to_json(), "placebo": self.placebo.to_json(), "adapted": self.adapted,
                "detectable": self.detectable}

    @classmethod
    def from_json(cls, value: dict) -> CurvePoint:
        """The inverse of `to_json`."""
        return cls(**{**value, "gain": Interval.from_json(value["gain"]), "placebo": Interval.from_json(value["placebo"])})


@dataclass(frozen=True)
class ShotCurve:
    """One segment's curve.

    Args:
        available: shots the support window holds, at most `cap` of one user. seeds, questions, users: what it
            was measured with. points: by ascending K; none where there are too few shots or no question.
    """

    available: int
    cap: int
    seeds: int
    questions: int
    users: int
    points: tuple[CurvePoint, ...] = ()

    @property
    def break_even(self) -> int | None:
        """The smallest K from which on every measured K pays; None where the largest does not."""
        found = None
        for point in reversed(self.points):
            if not point.pays:
                break
            found = point.k
        return found

    def adapt_from(self, *, proven: bool) -> int:
        """Shots from which the nightly job adapts this segment again: its break-even; twice those that did not pay.

        Args:
            proven: the gate, which asks more questions, found that the adapter pays: it is kept up to date.
        """
        if self.break_even is None and (proven or not self.questions):
            return 0
        return self.break_even or 2 * self.available

    def to_json(self) -> dict:
        return {"available": self.available, "cap": self.cap, "seeds": self.seeds, "questions": self.questions,
                "users": self.users, "break_even": self.break_even, "points": [point.to_json() for point in self.points]}

    @classmethod
    def from_json(cls, value: dict) -> ShotCurve:
        """The inverse of `to_json`."""
        points = tuple(CurvePoint.from_json(point) for point in value["points"])
        return cls(**{name: value[name] for name in ("available", "cap", "seeds", "questions", "users")}, points=points)


Fit = tuple[int, int]  # (K, number of the draw)


class ShotPool:
    """Shots that subsets are drawn from, with the base's distribution at each, scored once."""

    def __init__(self, prior: Prior, ranker: Ranker, shots: Shots, seed: int) -> None:
        self.prior, self.shots, self.seed, self.view = prior, shots, seed, view_base(ranker, shots)

    def subset(self, fit: Fit) -> np.ndarray:
        """Positions of a draw's shots, at most ceil(K/8) of a user; all of the pool where it has no more than K."""
        size, draw = fit
        if size >= len(self.shots):
            return np.arange(len(self.shots))
        order = np.random.default_rng([self.seed, 12, draw]).permutation(len(self.shots))
        return np.sort(order[nth_occurrence(self.shots.users[order]) < per_user(size)][:size])

    def solve(self, subsets: Sequence[np.ndarray], config: AdaptationConfig) -> np.ndarray:
        """The closed form's offsets for every subset, all solved together: float32 [S, N]."""
        weight = np.zeros((len(subsets), len(self.shots)), np.float32)
        for row, positions in enumerate(subsets):
            weight[row, positions] = 1 / len(positions)
        shares = weight @ self.view.probabilities + np.float32(1e-12)  # of all subsets in one product
        supports = {f"{row}": Support(self.shots.items[positions], self.shots.users[positions], shares[row])
                    for row, positions in enumerate(subsets)}
        solved = adapt_closed_form(self.prior, supports, config.closed_form)
        return np.array([solved[name].offsets(self.prior.catalogue) for name in supports])

    def choose_scales(self, fits: Sequence[Fit], config: AdaptationConfig) -> dict[Fit, float]:
        """How far each draw's own left-out users trust its adapter, as `adapt.choose_scale`; draws for the base are absent."""
        owner, tests, trains = [], [], []
        for fit, positions in self._large_enough(fits, config).items():
            fold = split_users(self.shots.users[positions], config.folds, np.random.default_rng([self.seed, 3, *fit]))
            for held in range(config.folds):
                if 0 < np.count_nonzero(fold == held) < len(fold):
                    owner.append(fit)
                    tests.append(positions[fold == held])
                    trains.append(positions[fold != held])
        if not owner:
            return {}
        offsets, splits = self.solve(trains, config), {}
        for row, fit in enumerate(owner):
            splits.setdefault(fit, []).append(row)
        gains = self._held_out(offsets, tests, config.scales)
        chosen = {}
        for fit, rows in splits.items():
            gain = gains[rows].sum(axis=0)
            for at in np.argsort(-gain, kind="stable")[:np.count_nonzero(gain > config.evidence)]:
                scale = config.scales[at]
                if helps_lists(self.view, self.shots, [tests[row] for row in rows], scale * offsets[rows],
                               config):
                    chosen[fit] = scale
                    break
        return chosen

    def _held_out(self, offsets: np.ndarray, tests: list[np.ndarray], scales: Iterable[float]) -> np.ndarray:
        """Log-likelihood that row r of the offsets, scaled, adds at the shots tests[r]: float64 [r, scales]."""
        asked = np.unique(np.concatenate(tests))
        base = self.view.probabilities[asked]
        gains = []
        for scale in scales:
            top = scale * offsets.max(axis=1, keepdims=True)
            mass = np.log(np.exp(scale * offsets - top) @ base.T)
            gains.append([float((scale * row[self.shots.items[test]] - peak - log_mass[np.searchsorted(asked, test)]).sum())
                          for row, test, peak, log_mass in zip(offsets, tests, top, mass, strict=True)])
        return np.array(gains).T

    def fit(self, scales: Mapping[Fit, float], config: AdaptationConfig) -> dict[Fit, np.ndarray]:
        """The offsets of each draw at the scale it was given, float32 [N]."""
        subsets = self._large_enough(scales, config)
        offsets = self.solve(list(subsets.values()), config) if subsets else ()
        return {fit: np.float32(scales[fit]) * row for fit, row in zip(subsets, offsets, strict=True)}

    def _large_enough(self, fits: Iterable[Fit], config: AdaptationConfig) -> dict[Fit, np.ndarray]:
        """The subsets of the draws that the product would adapt to; the cap per user can leave too few."""
        subsets = {fit: self.subset(fit) for fit in fits}
        return {fit: positions for fit, positions in subsets.items() if len(positions) >= config.shots.min_shots}


def measure_curve(study: Study, segment: str, window: Window, shots: Shots, adaptation: AdaptationConfig,
                  config: CurveConfig, *, k: int, seed: int) -> ShotCurve:
    """Measure one segment.

    Args:
        shots: the pool, of the window's support; subsets are drawn from it. adaptation: as its adapter was made.
        k: depth of the NDCG. seed: of the subsets, folds, questions and intervals.
    """
    member, cap = study.member(segment), per_user(adaptation.shots.k)
    queries = make_queries(study.events, window.gate_start, window.report_start, target=member, users=~study.support_users,
                           max_queries=config.max_queries, rng=np.random.default_rng([seed, 11]))
    facts = (count_shots(study.givers(segment, window), cap), cap, config.seeds, len(queries), len(np.unique(queries.user)))
    if len(shots) < adaptation.shots.min_shots or not len(queries):
        return ShotCurve(*facts)
    ranker, prior = study.twin(window)
    ks = sorted({min(size, len(shots)) for size in config.ks})
    pool, scales = ShotPool(prior, ranker, shots, seed), {}
    for size in ks:  # one K's offsets are held at a time
        scales |= pool.choose_scales([(size, draw) for draw in range(config.seeds)], adaptation)
    adapted, placebo = pool.fit(scales, adaptation), {}
    if adapted:
        outside = draw_placebo(study, window, member, adaptation, len(shots))
        placebo = ShotPool(prior, ranker, outside, seed).fit(scales, adaptation)
    gains = _ask(ranker, queries, [*adapted.values(), *placebo.values()], k)
    own, beside = gains[:len(adapted)], gains[len(adapted):]
    rng = np.random.default_rng([seed, 13])

    def point(size: int) -> CurvePoint:
        found = [gain.reshape(-1, len(queries))[[fit[0] == size for fit in fits]].sum(axis=0) / config.seeds
                 for gain, fits in ((own, adapted), (beside, placebo))]
        voted = sum(fit[0] == size for fit in adapted) / config.seeds
        return _point(size, *found, queries.user, voted, rng)

    return ShotCurve(*facts, tuple(point(size) for size in ks))


def _ask(ranker: Ranker, queries: Queries, offsets: Sequence[np.ndarray], k: int) -> np.ndarray:
    """What each offset vector [N] adds to the base's NDCG@k of each question: float64 [V, n]."""
    if not offsets:
        return np.zeros((0, len(queries)))
    place: dict[bytes, int] = {}  # draws of the whole pool differ in nothing but their scale
    row_of = [place.setdefault(row.tobytes(), len(place)) for row in offsets]
    table = np.array([np.zeros_like(offsets[0]), *(np.frombuffer(row, np.float32) for row in place)])
    counted, now, indptr = [], int(np.median(queries.timestamp)), queries.target_indptr
    for low in range(0, len(queries), BLOCK):
        part = indptr[low:low + BLOCK + 1]
        scores = ranker.score(queries.histories[low:low + BLOCK], now)
        counted.append(offset_ranks(scores, table, part - part[0], queries.targets[part[0]:part[-1]], k))
    greater, tied = (np.concatenate(found, axis=1) for found in zip(*counted, strict=True))
    every = np.r_[0, np.tile(np.diff(indptr), len(table)).cumsum()]
    ndcg = metrics_from_ranks(greater.ravel(), tied.ravel(), every, k)[f"ndcg@{k}"].reshape(len(table), -1)
    return ndcg[1:][row_of] - ndcg[0]


def _point(size: int, gain: np.ndarray, placebo: np.ndarray, users: np.ndarray, adapted: float,
           rng: np.random.Generator) -> CurvePoint:
    detectable = minimum_detectable_effect(gain, users) if adapted else math.inf
    return CurvePoint(size, paired_bootstrap(gain, users, rng), paired_bootstrap(placebo, users, rng), adapted,
                      detectable if math.isfinite(detectable) else None)
