"""Judge many segments and families: every one in two folds, the gate window and the report window.

Folder of a segment: evaluation.json (trials, report, curve over K, members, certificate), queries.parquet (one row per question,
audience, contestant and slice).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from recsys_core.adaptation import Family, Study, check_lock
from recsys_core.artefacts import read_json, write_json
from recsys_core.errors import RecsysError
from recsys_core.evaluation.contestants import Adaptation
from recsys_core.evaluation.gate import AUDIENCES, no_trial
from recsys_core.evaluation.segments import EvaluationConfig, SegmentJudge, serves_instead
from recsys_core.fan_out import IN_PROCESS, FanOut
from recsys_core.interactions import Window

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A segment or family that can be judged.

    Args:
        name: the segment or family.
        about: what its segment.json holds.
        incumbent: what serves now, on the same shots.
    """

    name: str
    about: dict
    incumbent: Adaptation | None

    @property
    def window(self) -> Window:
        return Window(**self.about["window"])

    @property
    def adaptation(self) -> Adaptation | None:
        """Its adapter's; None where it has none."""
        return None if self.about["method"] == "base" else Adaptation.from_json(self.about)


Fold = tuple[Candidate, Literal["gate", "report"]]
Judged = tuple[dict, pl.DataFrame | None]


def judge_segments(folders: dict[str, Path], study: Study, adapters: dict[str, Path], bundle: Path,
                   config: EvaluationConfig, *, order_only: bool, fan_out: FanOut = IN_PROCESS) -> dict[str, dict]:
    """Judge many segments and families in one step.

    Args:
        folders: name → staged folder.
        study: the shop's events beside the base.
        adapters: name → its adapter's artefact.
        bundle: the published bundle, whose families are the incumbents; it may not exist yet.
        config: how they are judged.
        order_only: the shop has positions, no times.
        fan_out: where; a task per name and fold.

    Returns:
        name → what its evaluation.json holds, and its `folder`.
    """
    plan = study.base.plan
    order = sorted(folders, key=lambda name: (plan[name].support_start if name in plan else 0, name))  # a base is loaded once
    entered = {name: _enter(name, adapters[name], bundle, study.base.lock) for name in order}
    folds: list[Fold] = [(one, fold) for one in entered.values() if isinstance(one, Candidate) for fold in ("gate", "report")]
    answers, judged = fan_out.map(partial(_judge, SegmentJudge(study, config, order_only)), folds), {}
    for name, one in entered.items():
        found = _join(one, next(answers), next(answers)) if isinstance(one, Candidate) else one
        if isinstance(found, str):
            found = _unjudged(name, found, serves_instead(study, name)), None
        about, figures = found
        if figures is not None:
            figures.write_parquet(folders[name] / "queries.parquet")
        write_json(folders[name] / "evaluation.json", about)
        judged[name] = {**about, "folder": folders[name]}
    return judged


def _enter(name: str, artefact: Path, bundle: Path, lock: dict[str, str]) -> Candidate | str:
    """What is judged, or why it is not."""
    try:
        about = read_json(artefact / "segment.json")
        check_lock(f"segment {name}", about["lock"], lock)
    except RecsysError as error:
        return _blocked(name, error)
    return str(about["reason"]) if about["window"] is None else Candidate(name, about, load_incumbent(bundle, name, lock))


def _judge(judge: SegmentJudge, fold: Fold) -> Judged | RecsysError:
    """One fold; a leak blocks its own segment and no other."""
    one, asked = fold
    reason = one.about["reason"] if one.adaptation is None else ""
    try:
        if asked == "gate":
            return judge.judge_gate(one.name, one.window, one.adaptation, one.incumbent, reason)
        return judge.judge_report(one.name, one.window, one.adaptation, one.incumbent)
    except RecsysError as error:
        return error


def _join(one: Candidate, gate: Judged | RecsysError, report: Judged | RecsysError) -> Judged | str:
    """A segment's evaluation from its folds, or why there is none."""
    if isinstance(gate, RecsysError):
        return _blocked(one.name, gate)
    if isinstance(report, RecsysError):
        return _blocked(one.name, report)
    (decided, gate_rows), (published, report_rows), about = gate, report, one.about
    log.info("%s judged on %d gate and %d report questions", one.name, decided["questions"], published["questions"])
    figures = [rows for rows in (gate_rows, report_rows) if rows is not None]
    return {"segment": one.name, "by": about["by"], "method": about["method"], "shots": about["shots"],
            "member_count": about["members"], "window": about["window"],
            "audiences": {audience: {"trial": decided["trials"][audience], "report": told}
                          for audience, told in published["audiences"].items()},
            "curve": published["curve"], "members": published["members"], "certificate": decided["certificate"],
            }, pl.concat(figures, rechunk=True) if figures else None


def _blocked(name: str, error: RecsysError) -> str:
    log.error("%s is blocked: %s", name, error)
    return f"blocked: {error}"


def _unjudged(name: str, reason: str, otherwise: str) -> dict:
    """The evaluation of a segment that cannot be judged."""
    trials = {audience: {"trial": no_trial(name, audience, reason, otherwise).to_dict(), "report": None}
              for audience in AUDIENCES}
    return {"segment": name, "by": "", "method": "base", "shots": 0, "member_count": 0, "window": None,
            "audiences": trials, "curve": [], "members": [], "certificate": None}


def load_incumbent(bundle: Path, name: str, lock: dict[str, str]) -> Adaptation | None:
    """How the family that serves now was made, if it was made for this base; another base's cannot be compared."""
    place = bundle / "families" / name
    if not place.is_dir():
        return None
    try:
        family = Family.load(place, lock)
    except RecsysError as error:
        log.info("no incumbent for %s: %s", name, error)
        return None
    return Adaptation(family.strengths, np.asarray(family.trust, np.float32))
