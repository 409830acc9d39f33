"""Off-policy values beside obp's own estimators, on the ZOZOTOWN samples that obp bundles: each policy by the other's log."""

from __future__ import annotations

import numpy as np

from benchmarks.rankings.movielens import run_peer
from benchmarks.rankings.questions import PLACE
from recsys_core.evaluation import OffPolicyConfig, PolicyLog, policy_value

DIRECTIONS = {"random": "bts", "bts": "random"}  # judged policy → whose log
ARRAYS = ("reward", "propensity", "probability")
NAMES = {"ips": "ipw", "snips": "snipw"}  # ours → obp's


def run() -> dict:
    """Estimates of both; they must agree to rounding, because they are given the same log."""
    place = PLACE / "logged"
    run_peer("logged.py", place)
    rows = []
    for judged, logging in DIRECTIONS.items():
        stored = np.load(place / f"{judged}.npz")
        log = PolicyLog(**{name: stored[name].astype(np.float64) for name in ARRAYS},
                        cluster=np.arange(len(stored["reward"])))  # the sample does not say who a shopper is
        found = policy_value(log, OffPolicyConfig(max_weight=1e9), np.random.default_rng(0))
        for ours, theirs in NAMES.items():
            interval = getattr(found, ours)
            rows.append({"judged": judged, "log of": logging, "estimator": ours, "this code": interval.mean,
                         "low": interval.low, "high": interval.high, "obp": float(stored[theirs]),
                         "in its own log": float(stored["truth"]), "effective rows": found.effective_rows,
                         "mean weight": found.mean_weight, "impressions": len(log.reward)})
    return {"rows": rows, "largest_difference": max(abs(row["this code"] / row["obp"] - 1) for row in rows)}
