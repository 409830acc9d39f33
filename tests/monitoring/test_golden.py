from dataclasses import replace

import numpy as np
import pytest

from recsys_core.artefacts import read_json, write_json
from recsys_core.monitoring.golden import self_test
from recsys_core.serving import Bundle
from tests.serving.tiny import FAVOURITES


@pytest.fixture
def elsewhere(bundle, tmp_path):
    """The same bundle, reading golden.json from a folder where a test may change it."""
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "student.json").touch()
    return Bundle(replace(bundle.parts, folder=tmp_path))


def test_golden_requests_cover_every_path_and_hold(bundle):
    golden = read_json(bundle.folder / "golden.json")
    requests = [g["request"] for g in golden]
    assert {"history": []} in requests and any("query" in r for r in requests)
    assert {r["segment"] for r in requests if "segment" in r} == set(FAVOURITES)
    assert self_test(bundle) == []


def test_another_model_does_not_pass_as_this_one(bundle, elsewhere):
    lexical = bundle.parts.lexical
    other = Bundle(replace(bundle.parts, lexical=replace(lexical, weights=lexical.weights * 0)))
    assert any("golden request" in fault for fault in self_test(other))
    golden = read_json(bundle.folder / "golden.json")
    golden[0]["items"][0] = "k1"
    write_json(elsewhere.folder / "golden.json", golden)
    assert self_test(elsewhere)[0].startswith("golden request 0")


def test_last_digits_do_not_matter(bundle, elsewhere):
    golden = read_json(bundle.folder / "golden.json")
    for g in golden:
        g["scores"] = [float(np.float32(s) * (1 + 1e-5)) for s in g["scores"]]
    write_json(elsewhere.folder / "golden.json", golden)
    assert self_test(elsewhere) == []
