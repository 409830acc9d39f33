"""A full set of planted results: 5 segments that win, lose and lack data, and every optional part."""

from recsys_core.evaluation.bootstrap import Interval
from recsys_core.evaluation.curve import CurvePoint, ShotCurve
from recsys_core.evaluation.leakage import Certificate, Check
from recsys_core.evaluation.results import (
    ClassificationResult,
    Curve,
    ExposureMethod,
    Exposures,
    Gain,
    MethodResult,
    PolicyResult,
    Results,
    SegmentResult,
    ShopFacts,
    StudentResult,
    WindowFacts,
)


def interval(mean: float, half: float, n: int = 800, clusters: int = 500) -> Interval:
    return Interval(mean, mean - half, mean + half, 0.0005 if mean > half else 0.4, n, clusters)


def method(name: str, level: float, repeat: float, first: float, **extra: object) -> MethodResult:
    return MethodResult(method=name, metrics={
        part: {"ndcg@10": interval(x, 0.012), "recall@10": interval(x * 0.9, 0.01),
               "hr@10": interval(x * 2, 0.02), "mrr@10": interval(x * 1.3, 0.015)}
        for part, x in (("all", level), ("repeat", repeat), ("first_time", first))}, **extra)


def curve(gain: float) -> ShotCurve:
    points = [CurvePoint(k, interval(gain * share, 0.008), interval(gain * share * 0.1, 0.006), share, 0.0087)
              for k, share in ((4, 0.1), (16, 0.4), (64, 0.8), (256, 1.0))]
    return ShotCurve(412, 32, 10, 100, 80, tuple(points))


def segment(name: str, kind: str, decision: str, gain: float | None, reason: str) -> SegmentResult:
    if gain is None:
        return SegmentResult(name=name, kind=kind, decision=decision, reason=reason)
    return SegmentResult(
        name=name, kind=kind, decision=decision, reason=reason, shots=256, method="closed form", available=412,
        curve=curve(gain), rests="" if gain > 0.002 else "adapting did not pay with 412 shots: not again before it has 824",
        support="2017-10-20 … 2017-11-16", gate="2017-11-17 … 2017-11-30", report="2017-12-01 … 2017-12-14",
        queries=300, users=211, gain=interval(gain, 0.008), placebo_gain=interval(gain * 0.1, 0.006),
        gain_by_slice={"repeat": interval(gain / 2, 0.01), "first_time": interval(gain * 1.4, 0.01)},
        gate_gain=interval(gain + 0.004, 0.008), minimum_detectable=0.0087,
        p_holm=0.0041 if gain > 0 else 0.8,
        ndcg={"base": 0.105, "adapted": 0.105 + gain, "placebo": 0.107, "from_scratch": 0.081,
              "segment_popularity": 0.098, "popularity": 0.052, "personal_frequency": 0.099,
              "item_knn": 0.061},
        in_domain={"base": 0.214, "adapted": 0.214 + 2 * gain, "placebo": float("nan")})


def sample_results() -> Results:
    pays = "ndcg@10 over the base on the gate window, Holm p = 0.004"
    fails = "does not pay: not proven better than placebo"
    certificate = Certificate("base", "certified", (
        Check("training before report", True, "newest training 2017-10-19, oldest report 2017-12-01"),
        Check("rows of training and report", True, "0 in common")))
    return Results(
        shop=ShopFacts(name="Corner & Sons", source="Made up for the tests.", first_day="2017-01-01",
                       last_day="2017-12-14", users=2469, items=92331, distinct_texts=20770, events=1460438,
                       exposures=812345, quarantined={"quantity not positive": 8869, "duplicate": 12}),
        windows=[WindowFacts(name="report", first="2017-12-01", last="2017-12-14", queries=800, users=500,
                             targets=7204, repeat_share=0.481)],
        methods=[method("base", 0.231, 0.316, 0.0141, ours=True, coverage=0.031, novelty=12.31,
                        long_tail_recall=0.052),
                 method("personal_frequency", 0.206, 0.289, 0.0005),
                 method("popularity", 0.078, 0.103, 0.0069),
                 method("item_knn", 0.067, 0.089, 0.0073), method("last_item", 0.027, 0.037, 0.0019)],
        gains=[Gain(over=over, slice=part, interval=interval(gain, 0.008))
               for over, gains in (("personal_frequency", (0.025, 0.027, 0.0136)),
                                   ("popularity", (0.153, 0.213, 0.0072)),
                                   ("item_knn", (0.164, 0.227, 0.0068)))
               for part, gain in zip(("all", "repeat", "first_time"), gains, strict=True)],
        exposures=Exposures(
            first="2017-12-01", last="2017-12-14", rows=40231, users=611, base_rate=0.0231,
            methods=[ExposureMethod(method="click_model", ours=True, auc=0.843, uauc=0.712, log_loss=0.0931,
                                    calibration_error=0.0011),
                     ExposureMethod(method="like_ratio", auc=0.622, uauc=0.5, log_loss=0.107,
                                    calibration_error=0.0042)],
            uauc_gains={"like_ratio": interval(0.212, 0.02), "item_rate": interval(0.004, 0.01)},
            reliability=[(0.002 * 1.8**i, 0.0021 * 1.78**i, 4023) for i in range(8)],
            policy=PolicyResult(logged=interval(0.0231, 0.001), ips=interval(0.0262, 0.004), snips=interval(0.0258, 0.003),
                                effective_rows=1412.4, mean_weight=1.013, clipped=0.002)),
        segments=[segment("floral", "domain", "promoted", 0.062, pays),
                  segment("new households", "new_users", "promoted", 0.011, pays),
                  segment("deli", "domain", "promoted", -0.009, pays),
                  segment("easter|scene", "scene", "refused", 0.001, fails),
                  segment("parents <45", "custom", "refused", -0.013, fails),
                  segment("christmas", "scene", "no data", None, "3 shots, needs 4")],
        certificates=[certificate],
        curves=[Curve(title="Text encoder", series={
                    "train": [(i, 3 / (1 + i / 40)) for i in range(0, 200, 5)],
                    "validation": [(i, 3.1 / (1 + i / 45)) for i in range(0, 200, 40)]}),
                Curve(title="Student", series={"train": [(i, 1.2 / (1 + i / 30)) for i in range(0, 90, 3)]})],
        student=StudentResult(teacher_ndcg=interval(0.231, 0.012), student_ndcg=interval(0.226, 0.012),
                              top10_overlap=0.912, cosine=0.981, teacher_megabytes=91.0,
                              student_megabytes=11.4,
                              facts={"latency": "0.9 ms for one query, one thread"}),
        classification=[ClassificationResult(task="intent", method="prototype head", rows=810, metrics={
            "accuracy": 0.93, "f1_macro": 0.912, "f1_micro": 0.93})],
        environment={"commit": "0123abc", "seed": "0"})
