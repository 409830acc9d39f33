"""A bundle in the form that MLflow's registry and `mlflow models serve` read."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from recsys_core.artefacts import read_json
from recsys_core.serving import GOLDEN

SCRIPT = Path(__file__).with_name("pyfunc.py")
EXTRA = 'extra == "serve"'


def save_model(bundle: Path, folder: Path) -> None:
    """Write an MLflow pyfunc model around a copy of a bundle: `MLmodel`, `pyfunc.py`, requirements and `artifacts/bundle`.

    Args:
        bundle: its folder.
        folder: an empty place for the model.
    """
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import Array, DataType

    text = DataType.string
    inputs: list[Any] = [ColSpec(Array(text), "history", required=False), ColSpec(DataType.long, "k", required=False),
              *(ColSpec(text, name, required=False) for name in ("query", "user_id", "segment", "at", "shelf", "context"))]
    outputs: list[Any] = [ColSpec(Array(text), "item_ids"), ColSpec(Array(DataType.double), "scores"), ColSpec(text, "segment"),
               ColSpec(text, "fallback")]
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it warns that this file's types are not in its own list
    mlflow.pyfunc.save_model(str(folder), python_model=str(SCRIPT), artifacts={"bundle": str(bundle)},
                             signature=ModelSignature(Schema(inputs), Schema(outputs)), input_example=_example(bundle),
                             pip_requirements=_requirements())


def _example(bundle: Path) -> object:
    """One real request, with a known history."""
    import pandas as pd

    histories = [golden["request"].get("history") or [] for golden in read_json(bundle / GOLDEN)]
    known = [[event if isinstance(event, str) else event["item_id"] for event in history] for history in histories]
    return pd.DataFrame({"history": [max(known, key=len, default=[])[:8]], "k": [5]})


def _requirements() -> list[str]:
    """What serving asks for, in the versions that are here."""
    asked = [line.partition(";") for line in requires("fewshot-recsys") or ()]
    names = [line[0].split("[")[0].strip(" ") for line in asked if not line[2] or EXTRA in line[2]]
    plain = sorted({name.split(">")[0].split("=")[0].split("<")[0].strip() for name in names})
    found = ["fewshot-recsys", *plain, "pandas"]
    pinned = []
    for name in dict.fromkeys(found):
        try:
            pinned.append(f"{name}=={version(name)}")
        except PackageNotFoundError:  # an extra that this machine does without
            continue
    return pinned
