"""The registered model answers as the bundle does, through MLflow's own loader, and holds no pickle."""

import json
from importlib.metadata import version

import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from recsys_core.deployment.registry import save_model
from recsys_core.errors import BundleError
from tests.serving.tiny import use_word_encoder


@pytest.fixture(scope="module")
def model(bundle_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry") / "model"
    save_model(bundle_folder, folder)
    return folder


def test_it_answers_as_the_bundle(bundle, model):
    loaded = mlflow.pyfunc.load_model(str(model))
    answered = loaded.predict(pd.DataFrame({"history": [["k0"], []], "k": [3, 2]}))
    for row, history, k in ((0, ["k0"], 3), (1, [], 2)):
        expected = bundle.recommend(history, k=k)
        assert answered["item_ids"][row] == [answer.item_id for answer in expected]
        assert answered["scores"][row] == [answer.score for answer in expected]
    assert answered["fallback"].tolist() == ["", bundle.recommend([]).fallback]


def test_segments_contexts_and_queries_are_handed_on(bundle, model):
    loaded = mlflow.pyfunc.load_model(str(model))
    asked = pd.DataFrame({"history": [[], []], "segment": ["auto", ""], "context": [json.dumps({"store": "367"}), ""]})
    assert loaded.predict(asked)["segment"].tolist() == ["store", ""]
    found = loaded.predict(pd.DataFrame({"query": ["glass teapot"], "k": [2]}))
    assert found["item_ids"][0] == [answer.item_id for answer in bundle.search("glass teapot", k=2)]


def test_its_signature_refuses_what_is_no_history(bundle, model):
    with pytest.raises(MlflowException):
        mlflow.pyfunc.load_model(str(model)).predict(pd.DataFrame({"history": ["k0"]}))


def test_the_example_can_be_asked_and_what_it_needs_is_listed(bundle, model):
    loaded = mlflow.pyfunc.load_model(str(model))
    example = loaded.input_example
    assert len(loaded.predict(example)["item_ids"][0]) == 5
    asked = (model / "requirements.txt").read_text().split()
    assert f"polars=={version('polars')}" in asked and f"fewshot-recsys=={version('fewshot-recsys')}" in asked
    assert f"onnxruntime=={version('onnxruntime')}" in asked and not any(line.startswith("torch") for line in asked)


def test_nothing_in_it_is_a_pickle_and_the_bundle_in_it_is_verified(model, monkeypatch):
    assert [path.name for path in model.rglob("*") if path.suffix in (".pkl", ".pickle", ".cloudpickle")] == []
    extra = model / "artifacts" / "bundle" / "extra.json"
    extra.write_text("{}")
    use_word_encoder(monkeypatch)
    with pytest.raises(BundleError, match=r"extra\.json"):
        mlflow.pyfunc.load_model(str(model))
    extra.unlink()
