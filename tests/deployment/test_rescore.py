"""Champion and challenger as served in each segment, on a shop whose stores are known exactly."""

from types import SimpleNamespace

import numpy as np
import pytest

from recsys_core.adaptation.family import make_family
from recsys_core.deployment.gates import BundleGateConfig
from recsys_core.deployment.rescore import Served, adaptation_of, compare, segment_losses
from recsys_core.evaluation.segments import EvaluationConfig
from recsys_core.interactions.windows import BASE
from tests.evaluation.planted import LOCK, adaptation, planted_study

CONFIG, EVALUATION = BundleGateConfig(segment_queries=150), EvaluationConfig()


@pytest.fixture(scope="module")
def study():
    return planted_study()


@pytest.fixture(scope="module")
def adapted(study, tmp_path_factory):
    """A bundle that ships an adapter of every store, and one that ships nothing."""
    root, made = tmp_path_factory.mktemp("bundles"), adaptation(study)
    end = study.base.plan[BASE].report_end
    make_family(study, "store", end, made.strengths, made.trust).save(root / "with" / "families" / "store")
    return [Served(SimpleNamespace(folder=root / name, manifest={"lock": LOCK}), None) for name in ("with", "without")]


def losses(study, challenger, champion):
    return segment_losses(study, challenger, champion, EVALUATION, CONFIG, np.random.default_rng(0))


def test_a_challenger_without_an_adapter_that_pays_is_worse_in_that_segment_and_nowhere_else(study, adapted):
    with_it, without = adapted
    found = losses(study, without, with_it)
    assert set(found) == {f"{name} ({audience} history)" for name in ("store", "till", "north", "kitchen")
                          for audience in ("none", "full")}
    assert found["store (none history)"].low > 0.02
    assert all(one.mean == one.low == one.high == 0 for name, one in found.items() if not name.startswith("store"))
    assert losses(study, with_it, without)["store (none history)"].high < -0.02


def test_bundles_that_serve_the_same_differ_by_nothing(study, adapted):
    assert {one.mean for one in losses(study, adapted[0], adapted[0]).values()} == {0.0}


def test_a_worse_base_is_seen_in_every_segment(study, adapted):
    class Blind:
        def score(self, histories, now=None):
            return np.zeros((len(histories), len(study.base.catalogue)), np.float32)

    blind = Served(adapted[1].bundle, Blind())
    found = losses(study, adapted[1], blind)  # as champion it loses: the challenger gains
    assert all(found[f"{name} (full history)"].high < 0 for name in ("store", "north", "kitchen"))


def test_segments_without_enough_questions_say_nothing(study, adapted):
    few = CONFIG.model_copy(update={"min_users": 10_000})
    assert segment_losses(study, *adapted, EVALUATION, few, np.random.default_rng(0)) == {}


def test_a_broken_adapter_counts_as_none(study, adapted, tmp_path):
    family = tmp_path / "families" / "store"
    family.mkdir(parents=True)
    (family / "family.json").write_text("{")
    assert adaptation_of(SimpleNamespace(folder=tmp_path, manifest={"lock": LOCK}), "store", study) is None
    assert adaptation_of(adapted[0].bundle, "store", study).trust.tolist() == [1.0] * 7


def test_a_difference_that_is_no_number_has_no_interval():
    found = compare(np.array([0.1, np.nan]), np.array([1, 2]), np.random.default_rng(0))
    assert np.isnan([found.mean, found.low, found.high]).all() and found.p_value == 1
