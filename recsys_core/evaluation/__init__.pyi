from .base import answer_all
from .contest import run_contest
from .contestants import Adaptation
from .curve import ShotCurve
from .fairness import measure_fairness, too_far
from .gate import AUDIENCES, RIVAL_WORDS, GateConfig, Trial, decide, name_audiences
from .judging import judge_segments
from .off_policy import OffPolicyConfig, PolicyLog, policy_value
from .offers import PROMOTIONS, OffersConfig, judge_promotions, read_judged
from .results import (
    METHOD_NAMES,
    SLICE_NAMES,
    AudienceResult,
    Gain,
    MemberResult,
    MethodResult,
    Results,
    SegmentResult,
    TaskResult,
)
from .segments import EvaluationConfig, Rivals, SegmentJudge, summarise
from .summary import JUDGED_NIGHTLY, NIGHTS, Evidence, make_results, trials_of

__all__ = [
    "AUDIENCES", "JUDGED_NIGHTLY", "METHOD_NAMES", "NIGHTS", "PROMOTIONS", "RIVAL_WORDS", "SLICE_NAMES", "Adaptation",
    "AudienceResult", "EvaluationConfig", "Evidence", "Gain", "GateConfig", "MemberResult", "MethodResult", "OffPolicyConfig",
    "OffersConfig", "PolicyLog", "Results", "Rivals", "SegmentJudge", "SegmentResult", "ShotCurve", "TaskResult", "Trial",
    "answer_all", "decide", "judge_promotions", "judge_segments", "make_results", "measure_fairness", "name_audiences",
    "policy_value", "read_judged", "run_contest", "summarise", "too_far", "trials_of",
]
