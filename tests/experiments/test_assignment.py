from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from recsys_core.experiments import Experiments
from recsys_core.experiments.assignment import assign
from recsys_core.experiments.config import ExperimentConfig

START = datetime(2024, 3, 1, tzinfo=UTC)


def make(name: str = "adapters", shares: tuple[float, ...] = (0.5, 0.5), **fields) -> ExperimentConfig:
    variants = [{"name": f"v{n}", "share": share} for n, share in enumerate(shares)]
    return ExperimentConfig.model_validate({"name": name, "variants": variants, "start": START,
                                            "end": START + timedelta(days=30), **fields})


def variants_of(config: ExperimentConfig, users: int = 20_000) -> list[str]:
    found = [assign(config, f"u{n}") for n in range(users)]
    return ["" if one is None else one.variant.name for one in found]


def test_a_user_s_variant_never_moves():
    # Written down: a release that hashes otherwise would move every user of a running experiment.
    assert [assign(make(), user).variant.name for user in ("ann", "bob", "elsa", "木")] == ["v0", "v0", "v1", "v0"]


def test_shares_are_met_and_are_the_propensities():
    config = make(shares=(0.6, 0.3))
    names, counts = np.unique(variants_of(config), return_counts=True)
    assert dict(zip(names.tolist(), (counts / counts.sum()).round(2).tolist(), strict=True)) == {"": 0.1, "v0": 0.6, "v1": 0.3}
    assert {assign(config, f"u{n}").propensity for n in range(50) if assign(config, f"u{n}")} == {0.6, 0.3}


def test_experiments_are_independent_of_each_other():
    one, other = variants_of(make("one")), variants_of(make("two"))
    together = np.mean([a == b for a, b in zip(one, other, strict=True)])
    assert abs(together - 0.5) < 0.02


def test_ten_tenths_leave_nobody_out():
    assert "" not in variants_of(make(shares=(0.1,) * 10))


def test_only_running_experiments_of_the_audience_are_assigned():
    everybody, north = make("all"), make("north", audience={"region": ("north",), "store": ("1", "2")})
    experiments = Experiments((everybody, north))

    def names(attributes=None, at=START, user="ann"):
        return [one.experiment.name for one in experiments.assign(user, attributes, at)]

    assert names() == ["all"] and names({"region": "north", "store": 2}) == ["all", "north"]
    assert names({"region": "north"}) == ["all"]
    assert names(at=START - timedelta(seconds=1)) == [] and names(at=START + timedelta(days=30)) == []
    assert names(user=None) == []


def test_other_experiments_that_come_and_go_move_nobody():
    [alone] = Experiments((make("one"),)).assign("ann", at=START)
    beside = Experiments((make("two"), make("one"))).assign("ann", at=START)
    assert beside[1] == alone


def test_a_home_without_the_file_has_no_experiments(tmp_path):
    assert Experiments.load(tmp_path).assign("ann") == ()


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.01, 0.02)])
def test_ids_in_a_row_do_not_cluster(shares):
    # 100 ids in a row get about their share: the hash of a name and a number has no runs.
    marks = np.array([name == "v1" for name in variants_of(make(shares=shares))], float).reshape(-1, 100).mean(1)
    assert abs(marks.std() - np.sqrt(shares[1] * (1 - shares[1]) / 100)) < 0.01
