"""The gate: does an adapter earn its place? Judged per segment and audience, on questions it has never seen.

An *audience* is how much a request knows of its shopper: nothing, a little, or all there is. An adapter is promoted
for an audience only if it beats *every* rival there on the gate window: the base as fresh as its shots, a placebo
(another member's adapter, or as many shots from outside), the popularity among its shots, and counting them. Against the
incumbent, which it mostly equals from night to night, it must be shown not to lose more than a tolerance. Passing all
of them is an intersection–union test, so its p-value is the largest of the single ones (Berger 1982); these are
Holm-corrected over segments × audiences. Missing, NaN or too few rows: refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.interactions import Audience
from recsys_core.metrics import holm, minimum_detectable_effect, paired_bootstrap

AUDIENCES: dict[Audience, str] = {"none": "shoppers without history", "little": "shoppers with little history",
                                  "full": "shoppers with full history"}
REQUIRED = ("base", "placebo", "segment_popularity", "counting")
RIVALS = (*REQUIRED, "incumbent")  # the first time a segment is judged it has no incumbent
RIVAL_WORDS = {"base": "the base", "placebo": "a placebo", "segment_popularity": "the popularity among its shots",
               "counting": "counting its shots", "incumbent": "the adapter that serves now"}
BASE_SERVES, PAGE_SERVES = "the base serves", "the base filtered to the page serves"


class GateConfig(BaseModel, frozen=True, extra="forbid"):
    """What an adapter must show."""

    metric: str = Field("ndcg@10", description="the metric judged")
    level: float = Field(0.05, gt=0, lt=0.5, description="family-wise error over all segments and audiences")
    min_queries: int = Field(30, ge=1, description="fewer gate questions of an audience than this is no evidence")
    min_users: int = Field(10, ge=2)
    tolerance: float = Field(0.05, ge=0, lt=1, description="share of the incumbent's metric that may be lost against it")


@dataclass(frozen=True)
class Trial:
    """The evidence on one segment and audience; `p_value` is uncorrected, 1.0 where unproven.

    Args:
        segment: the segment or family.
        audience: who asked: none, little or full history.
        p_value: the largest over the rivals, uncorrected; 1 where there is no evidence.
        toughest: the rival with the largest p.
        gains: rival → mean, bounds and p of adapted minus rival.
        n: gate questions.
        users: shoppers who asked them.
        minimum_detectable: smallest true gain over the base that these rows find with 80% power; None where unknown.
        reason: why there is no evidence; empty where there is.
        otherwise: what serves where it is refused.
    """

    segment: str
    audience: Audience
    p_value: float
    toughest: str
    gains: dict[str, dict]
    n: int
    users: int
    minimum_detectable: float | None
    reason: str
    otherwise: str = BASE_SERVES

    def to_dict(self) -> dict:
        return asdict(self)


def no_trial(segment: str, audience: Audience, reason: str, otherwise: str = BASE_SERVES) -> Trial:
    """A segment that cannot be judged for an audience, and why."""
    return Trial(segment, audience, 1.0, "", {}, 0, 0, None, reason, otherwise)


def try_adapter(segment: str, audience: Audience, scores: dict[str, np.ndarray], users: np.ndarray, config: GateConfig,
                rng: np.random.Generator, otherwise: str = BASE_SERVES) -> Trial:
    """Compare the adapter with each rival on the same questions.

    Args:
        scores: per-query metric float64 [n] of "adapted" and of every rival; only the incumbent may be absent.
        users: int [n], the clusters of the bootstrap.
    """
    n, distinct = len(users), len(np.unique(users))
    if n < config.min_queries or distinct < config.min_users:
        return no_trial(segment, audience, f"no evidence: {n} gate questions of {distinct} shoppers "
                        f"(needs {config.min_queries} of {config.min_users})", otherwise)
    missing = [name for name in ("adapted", *REQUIRED) if name not in scores]
    if missing:
        return no_trial(segment, audience, f"no {missing[0].replace('_', ' ')} to compare with: the gate fails closed",
                        otherwise)
    gains, worst, toughest = {}, 0.0, ""
    for rival in [r for r in RIVALS if r in scores]:
        difference = scores["adapted"] - scores[rival]
        if not np.isfinite(difference).all():
            return no_trial(segment, audience, f"a metric of {rival} is not finite: the gate fails closed", otherwise)
        interval = paired_bootstrap(difference, users, rng)
        gains[rival] = interval.to_json()
        allowed = config.tolerance * float(scores[rival].mean()) if rival == "incumbent" else 0.0
        p_value = paired_bootstrap(difference + allowed, users, rng).p_value if allowed else interval.p_value
        if p_value >= worst:
            worst, toughest = p_value, rival
    detectable = minimum_detectable_effect(scores["adapted"] - scores["base"], users)
    return Trial(segment, audience, float(worst), toughest, gains, n, distinct,
                 float(detectable) if math.isfinite(detectable) else None, "", otherwise)


def decide(trials: Sequence[Trial], config: GateConfig) -> dict[str, dict]:
    """Promote or refuse each segment for each audience; one segment's failure moves no other one's evidence.

    Returns:
        segment → {decision: "promoted" if any audience is, else "refused"; audiences: those promoted; reason;
        p_holm: audience → corrected p-value}.
    """
    judged = {_key(t): t.p_value for t in trials if not t.reason}
    adjusted = holm(judged) if judged else {}
    decisions = {}
    for segment in dict.fromkeys(trial.segment for trial in trials):
        own = [trial for trial in trials if trial.segment == segment]
        p_holm = {trial.audience: float(adjusted.get(_key(trial), 1.0)) for trial in own}
        promoted = [t.audience for t in own if not t.reason and p_holm[t.audience] <= config.level]
        decisions[segment] = {"decision": "promoted" if promoted else "refused", "audiences": promoted,
                              "reason": _reason(own, p_holm, promoted, config), "p_holm": p_holm}
    return decisions


def _key(trial: Trial) -> str:
    return f"{trial.audience} {trial.segment}"


def _reason(trials: Iterable[Trial], p_holm: dict[Audience, float], promoted: list[Audience], config: GateConfig) -> str:
    """What was found for each audience, promoted ones first; audiences with the same finding share a clause."""
    found: dict[str, list[Audience]] = {}
    ordered = sorted(trials, key=lambda trial: trial.audience not in promoted)
    for trial in ordered:
        found.setdefault(_finding(trial, p_holm[trial.audience], trial.audience in promoted, config),
                         []).append(trial.audience)
    if len(found) == 1:
        (finding, audiences), = found.items()
        clauses = [finding if len(audiences) == len(AUDIENCES) else f"{name_audiences(audiences)}: {finding}"]
    else:
        clauses = [f"{name_audiences(audiences)}: {finding}" for finding, audiences in found.items()]
    text = "; ".join(clauses)
    return text if len(promoted) == len(ordered) else f"{text}; {'otherwise ' if promoted else ''}{ordered[-1].otherwise}"


def _finding(trial: Trial, p: float, promoted: bool, config: GateConfig) -> str:
    if trial.reason:
        return trial.reason
    rival = "base" if promoted else trial.toughest
    verdict = "pays" if promoted else f"may lose too much against {RIVAL_WORDS[rival]}" if rival == "incumbent" else \
        f"not proven better than {RIVAL_WORDS[rival]}"
    return f"{verdict} ({_signed(trial.gains[rival])} {config.metric}{' over the base' if promoted else ''}, Holm p = {p:.3g})"


def _signed(gain: dict) -> str:
    low, high = ("unbounded" if bound is None else f"{bound:+.4f}" for bound in (gain["low"], gain["high"]))
    return f"{gain['mean']:+.4f} [{low}, {high}]"


def name_audiences(audiences: Sequence[Audience]) -> str:
    """Audiences in words.

    >>> name_audiences(["none", "little"]), name_audiences(["none", "little", "full"])
    ('shoppers without history and with little history', 'all shoppers')
    """
    if len(audiences) == len(AUDIENCES):
        return "all shoppers"
    first, *others = (AUDIENCES[name] for name in audiences)
    return " and ".join([first, *(words.removeprefix("shoppers ") for words in others)])
