"""Types of figures in records: they survive JSON, and what could not be measured is None."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer

from recsys_core.evaluation.curve import ShotCurve
from recsys_core.evaluation.leakage import Certificate
from recsys_core.metrics import Interval


def _none_if_nan(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_by(from_json: Callable[[Any], Any]) -> BeforeValidator:
    return BeforeValidator(lambda value: from_json(value) if isinstance(value, dict | list) else value)


Measured = Annotated[float | None, BeforeValidator(_none_if_nan)]
StoredInterval = Annotated[Interval, _read_by(Interval.from_json), PlainSerializer(Interval.to_json)]
StoredCurve = Annotated[ShotCurve, _read_by(ShotCurve.from_json), PlainSerializer(ShotCurve.to_json)]
StoredCertificate = Annotated[Certificate, _read_by(Certificate.from_json), PlainSerializer(Certificate.to_json)]


class NextDays(BaseModel, frozen=True, extra="forbid"):
    """What was served, judged on the day after: means over days, each day weighing the same."""

    days: int
    first_day: str
    last_day: str
    questions: int
    ndcg: dict[str, StoredInterval]
    gains: dict[str, StoredInterval] = Field(description="what was served minus each rival, on the same days")
