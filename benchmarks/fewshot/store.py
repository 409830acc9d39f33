"""Shoppers without history in a store: what the store's earlier shots add to the freshest base.

Every step of the report window is asked as if nothing were known of its shopper; the shopper's own earlier purchases are
left out of the store's counts. Strengths and trust are learned before the window, once, as the chain learns them; then all
shots of a store are counted, or 64 or 256 random ones. On Online Retail the members are countries and the questions are new
customers' first orders.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.adaptations.shops import clean_shop, retail_shop
from benchmarks.fewshot.ask import CHUNK, difference
from benchmarks.fewshot.studies import open_study
from benchmarks.record import Bar
from recsys_core.adaptation import AdaptationConfig, Strengths, Study, leave_own_out, make_segment_adapter
from recsys_core.evaluation import Adaptation
from recsys_core.interactions import KNOTS, Queries, cut_histories, knot_shares, known_steps, take_queries
from recsys_core.metrics import fit_popularity, ranking_metrics

log = logging.getLogger(__name__)

QUESTIONS = 3000
SIZES: tuple[int | None, ...] = (64, 256, None)
KNOWN: tuple[int | None, ...] = (0, 1, 4, None)
GOALS = {None: ("fewshot.cold_store_gain_low", ">=", 0.02), 64: ("fewshot.cold_store_gain_low@64", ">", 0.0),
         256: ("fewshot.cold_store_gain_low@256", ">", 0.0)}


def run() -> dict:
    """Stores of the embedded shop at every number of shots and known steps; countries of Online Retail."""
    study = open_study(clean_shop(None))
    learned = learn(study, "store")
    rows = [measure(study, "store", learned, size, known) for size in SIZES for known in KNOWN]
    retail = open_study(retail_shop())
    rows.append(measure(retail, "country", learn(retail, "country"), None, 0, first_orders=True))
    return {"rows": rows, "trust": learned.trust.tolist(), "strengths": learned.strengths.to_json()}


def learn(study: Study, family: str) -> Adaptation:
    """A family's strengths and trust, as the chain learns them before the gate window."""
    with tempfile.TemporaryDirectory() as folder:
        about = make_segment_adapter(Path(folder), study, family, AdaptationConfig())
    log.info("%s: %s", family, {name: about[name] for name in ("method", "reason", "strengths", "trust")})
    if about["method"] == "base":
        nothing = (None,) * len(study.base.catalogue.groups)
        return Adaptation(Strengths(nothing), np.zeros(len(KNOTS), np.float32))
    return Adaptation.from_json(about)


def measure(study: Study, family: str, learned: Adaptation, size: int | None, known: int | None, *,
            first_orders: bool = False) -> dict:
    """One line of the table: NDCG@10 of the freshest base and with the family's counts, and the gain with its interval."""
    window = study.window(family)
    rng = np.random.default_rng([3, 0])
    asked = study.questions(family, window.report_start, window.report_end, QUESTIONS, rng)
    if first_orders:
        asked = take_queries(asked, np.flatnonzero(known_steps(asked.histories) == 0))
    found = ask_family(study, family, asked, known, window.report_start, learned, size)
    gain = difference(found["adapted"], found["base"], asked.user)
    row = {"shop": study.base.shop.config.name, "family": family, "shots per member": size or "all",
           "known steps": "all" if known is None else known, "questions": gain.n, "shoppers": gain.clusters,
           **{name: float(values.mean()) for name, values in found.items()},
           "gain": gain.mean, "low": gain.low, "high": gain.high}
    log.info("%s", row)
    return row


def ask_family(study: Study, family: str, asked: Queries, known: int | None, cutoff: int, learned: Adaptation,
               size: int | None) -> dict[str, np.ndarray]:
    """NDCG@10 of popularity, of the base and of the base with the family's counts, without the asker's own."""
    offsets = leave_own_out(study, family, asked, cutoff, learned.strengths, k=size)
    cut = asked if known is None else cut_histories(asked, known)
    weights = knot_shares(known_steps(cut.histories)) @ learned.trust
    ranker, now = study.base_at(cutoff)[0], int(np.median(asked.timestamp))
    popularity = fit_popularity(study.events.before(cutoff), len(study.base.catalogue))
    found: dict[str, list[np.ndarray]] = {"popularity": [], "base": [], "adapted": []}
    for low in range(0, len(cut), CHUNK):
        past = cut.histories[low:low + CHUNK]
        indptr = cut.target_indptr[low:low + len(past) + 1]
        targets, scores = cut.targets[indptr[0]:indptr[-1]], ranker.score(past, now)
        tilted = scores + np.array([weights[low + row] * offsets[low + row] for row in range(len(past))])
        for name, values in (("popularity", popularity.score(past)), ("base", scores), ("adapted", tilted)):
            found[name].append(ranking_metrics(values, indptr - indptr[0], targets)["ndcg@10"])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def bars(part: dict) -> list[Bar]:
    """The gains of shoppers without history, by shots per store."""
    found = []
    for size, (name, op, goal) in GOALS.items():
        row = next(r for r in part["rows"] if r["family"] == "store" and r["known steps"] == 0
                   and r["shots per member"] == (size or "all"))
        found.append(Bar(name, row["low"], op, goal, row["low"], row["high"], row["shoppers"],
                         f"NDCG@10 over the freshest base, {row['questions']} steps asked as if nothing were known, own events "
                         f"left out, {row['shots per member']} shots per store: {row['base']:.4f} → {row['adapted']:.4f}, mean "
                         f" {row['gain']:+.4f}; the value is the lower end"))
    return found
