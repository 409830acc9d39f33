"""The bundle as an MLflow model. MLflow keeps this file beside the bundle and runs it when the model is loaded: no pickle.

One row per request: `history` (ids, oldest first) or `query`, and any of `k`, `user_id`, `segment`, `at`, `shelf` and
`context` (a JSON object as text). All rows of one frame give the same columns; where a row has nothing, [] or "".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel

if TYPE_CHECKING:
    from recsys_core.serving import Recommendations

PLAIN = ("user_id", "segment", "at", "shelf")  # handed on as they are


class BundleModel(PythonModel):
    """Answers a frame of requests from a verified bundle."""

    def load_context(self, context: Any) -> None:
        """Verify and load the bundle among the model's artefacts."""
        from recsys_core.serving import Bundle

        self._bundle = Bundle.load(context.artifacts["bundle"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Answer every row.

        Returns:
            per row item_ids and scores, best first, the segment whose adapter took part, and what was not given (fallback).
        """
        found = [self._answer({name: value for name, value in row.items() if _is_given(value)})
                 for row in model_input.to_dict("records")]
        rows = [{"item_ids": [one.item_id for one in answers], "scores": [one.score for one in answers],
                 "segment": answers[0].segment or "" if answers else "", "fallback": answers.fallback or ""} for answers in found]
        return pd.DataFrame(rows, columns=["item_ids", "scores", "segment", "fallback"])

    def _answer(self, row: Mapping[str, Any]) -> Recommendations:
        said = {name: row[name] for name in PLAIN if name in row} | {"k": int(row.get("k", 10))}
        if "context" in row:
            said["context"] = json.loads(row["context"])
        history = list(row.get("history", ()))
        return self._bundle.search(row["query"], history=history, **said) if "query" in row \
            else self._bundle.recommend(history, **said)


def _is_given(value: Any) -> bool:
    """Whether a cell says anything: a frame fills what a row leaves out with None or NaN."""
    return value is not None and not (isinstance(value, float) and value != value) and not (isinstance(value, str) and not value)


mlflow.models.set_model(BundleModel())
