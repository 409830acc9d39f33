"""obp's off-policy estimates on the ZOZOTOWN samples it bundles, and the logs they were made from. Runs among the peers.

Usage: python logged.py OUT. For each of two policies judged by the other's log writes JUDGED.npz: reward, propensity,
probability (the judged policy's, of the item shown at its slot), `truth`, the click rate in the judged policy's own log,
and obp's ipw and snipw.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from obp.dataset import OpenBanditDataset
from obp.ope import InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting
from obp.policy import BernoulliTS, Random

CAMPAIGN = "all"


class Log(OpenBanditDataset):
    """The sample with its user features; obp's own preparation needs a pandas of before 2.0."""

    def pre_process(self) -> None:
        users = self.data.columns.str.contains("user_feature")
        self.context = pd.get_dummies(self.data.loc[:, users], drop_first=True).to_numpy(float)
        codes = self.item_context.drop(columns="item_feature_0").apply(lambda column: pd.factorize(column, sort=True)[0])
        self.action_context = pd.concat([codes, self.item_context["item_feature_0"]], axis=1).to_numpy(float)


def main(out: Path) -> None:
    logs = {name: Log(behavior_policy=name, campaign=CAMPAIGN).obtain_batch_bandit_feedback()
            for name in ("bts", "random")}
    for judged, logging in (("random", "bts"), ("bts", "random")):
        log = logs[logging]
        settings = {"n_actions": log["n_actions"], "len_list": 3, "random_state": 0}
        policy = (BernoulliTS(**settings, is_zozotown_prior=True, campaign=CAMPAIGN) if judged == "bts"
                  else Random(**settings))
        shown = policy.compute_batch_action_dist(n_rounds=log["n_rounds"])
        facts = {name: log[name] for name in ("reward", "action", "position", "pscore")}
        rows = np.arange(log["n_rounds"])
        at = rows, log["action"], log["position"]
        facts["action_dist"] = shown
        np.savez(out / f"{judged}.npz", reward=log["reward"], propensity=log["pscore"], probability=shown[at],
                 truth=logs[judged]["reward"].mean(),
                 ipw=InverseProbabilityWeighting().estimate_policy_value(**facts),
                 snipw=SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
