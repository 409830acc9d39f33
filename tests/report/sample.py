"""A full set of planted results: a family and segments that win, lose and lack data, and every optional part."""

from recsys_core.evaluation.curve import CurvePoint, ShotCurve
from recsys_core.evaluation.leakage import Certificate, Check
from recsys_core.evaluation.results import (
    AudienceResult,
    Curve,
    ExposureMethod,
    Exposures,
    Fairness,
    Gain,
    ItemGroup,
    KnownSteps,
    MemberResult,
    MethodResult,
    PolicyResult,
    PromotionsResult,
    Results,
    SearchResult,
    SearchSlice,
    SegmentResult,
    ShopFacts,
    ShopperGroup,
    StudentResult,
    TaskResult,
    WindowFacts,
)
from recsys_core.metrics.bootstrap import Interval


def interval(mean: float, half: float, n: int = 800, clusters: int = 500) -> Interval:
    return Interval(mean, mean - half, mean + half, 0.0005 if mean > half else 0.4, n, clusters)


def method(name: str, level: float, repeat: float, first: float, **extra: object) -> MethodResult:
    return MethodResult(method=name, metrics={
        part: {"ndcg@10": interval(x, 0.012), "recall@10": interval(x * 0.9, 0.01),
               "hr@10": interval(x * 2, 0.02), "mrr@10": interval(x * 1.3, 0.015)}
        for part, x in (("all", level), ("repeat", repeat), ("first_time", first))}, **extra)


def curve(gain: float) -> ShotCurve:
    return ShotCurve(tuple(CurvePoint(k, interval(gain * share, 0.008))
                           for k, share in ((4, 0.1), (16, 0.4), (64, 0.8), (256, 1.0), (2711, 1.1))))


def audience(gain: float, promoted: bool, toughest: str = "counting") -> AudienceResult:
    return AudienceResult(
        promoted=promoted, questions=300, users=211, gain=interval(gain, 0.008),
        gain_by_slice={"all": interval(gain, 0.008), "repeat": interval(gain / 2, 0.01),
                       "first_time": interval(gain * 1.4, 0.01)},
        gate_gain=interval(gain + 0.004, 0.008), toughest=toughest, toughest_gain=interval(gain / 2, 0.006),
        p_holm=0.0041 if promoted else 0.8, minimum_detectable=0.0087,
        ndcg={"base": 0.105, "adapted": 0.105 + gain, "placebo": 0.087, "segment_popularity": 0.098, "counting": 0.101})


def segment(name: str, kind: str, gains: dict[str, float] | None, promoted: tuple[str, ...], reason: str,
            toughest: str = "counting", **extra: object) -> SegmentResult:
    """A segment with a gain per audience; None: without data."""
    if gains is None:
        return SegmentResult(name=name, kind=kind, decision="no data", reason=reason)
    return SegmentResult(
        name=name, kind=kind, decision="promoted" if promoted else "refused", reason=reason, audiences=list(promoted),
        shots=256, method="counts", support="2017-11-05 … 2017-12-02", gate="2017-12-03 … 2017-12-16",
        report="2017-12-17 … 2017-12-30", curve=curve(max(gains.values())),
        by_audience={name: audience(gain, name in promoted, toughest) for name, gain in gains.items()}, **extra)


def silent_segment(name: str, kind: str, reason: str) -> SegmentResult:
    """One that was asked, but has no adapter."""
    asked = AudienceResult(promoted=False, questions=300, users=211, ndcg={"base": 0.155, "counting": 0.152})
    return SegmentResult(name=name, kind=kind, decision="refused", reason=reason, method="base", shots=30221,
                         by_audience={"none": asked})


def known_steps() -> list[KnownSteps]:
    return [KnownSteps(steps=steps, metrics={"base": interval(base, 0.01, 300), "popularity": interval(0.085, 0.008, 300),
                                             "personal_frequency": interval(own, 0.01, 300)})
            for steps, base, own in ((0, 0.085, 0.085), (1, 0.11, 0.095), (4, 0.15, 0.12), (None, 0.23, 0.2))]


def search() -> SearchResult:
    slices = {name: SearchSlice(queries=queries, nothing=nothing, metrics={
        "ndcg@10": interval(level, 0.02), "mrr@10": interval(level * 1.1, 0.02), "recall@50": interval(0.82, 0.03)})
        for name, queries, nothing, level in (("all", 68, 0.0147, 0.62), ("head", 20, 0.0, 0.71), ("tail", 48, 0.0208, 0.58))}
    return SearchResult(source="judgments", queries=68, gained=0.0123, judged_by="judgments", slices=slices,
                        weights={"text": 18.5, "words": 50.2, "least_meaning": 0.31, "popularity": 0.1, "taste": 0.5})


def tasks() -> list[TaskResult]:
    return [TaskResult(name="intent", kind="classes", examples=216, proven=True, reason="0.91 beats words alone 0.72", score=0.91,
                       measure="share of texts whose likeliest class is right", groups=216, unsure_below=0.44,
                       rivals={"words alone": 0.72, "the largest class": 0.04},
                       gains={"words alone": interval(0.19, 0.05), "the largest class": interval(0.87, 0.04)},
                       test={"macro_f1": 0.9}),
            TaskResult(name="material", kind="spans", examples=30, proven=False, reason="0.50 is not proven better", score=0.5,
                       measure="F1 of a text's attributes, values as exact words", groups=30,
                       rivals={"the examples' values found as words": 0.48},
                       gains={"the examples' values found as words": interval(0.02, 0.1)}),
            TaskResult(name="odd", kind="none", examples=0, proven=False, reason="rows of several kinds")]


def sample_results() -> Results:
    pays, fails = "pays (+0.0660 [+0.0580, +0.0740] ndcg@10 over the base)", "not proven better than counting its shots"
    members = [MemberResult(value=value, questions=questions, shots=shots, gain=gain) for value, questions, shots, gain in (
        ("367", 9, 5120, 0.08), ("12", 7, 311, -0.02), ("99", 6, 40, 0.01), ("3", 2, 9, 0.5))]
    certificate = Certificate("base", "certified", (
        Check("training before report", True, "newest training 2017-10-19, oldest report 2017-12-01"),
        Check("rows of training and report", True, "0 in common")))
    return Results(
        shop=ShopFacts(name="Corner & Sons", first_day="2017-01-01",
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
        fairness=Fairness(
            shoppers=[ShopperGroup(column="age", group="19-24", users=200, questions=300, quality=interval(0.12, 0.02),
                                   gap=interval(-0.11, 0.02), lacks=0.478),
                      ShopperGroup(column="age", group="65+", users=4, questions=9, quality=interval(0.2, 0.1))],
            items=[ItemGroup(column="brand_tier", group="private", items=900, exposure=interval(0.3, 0.01), taken=0.2,
                             gap=interval(0.1, 0.01), lacks=-0.5)]),
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
        known_steps=known_steps(),
        promotions=PromotionsResult(audiences=["little", "full"], reason="", placements=["display", "mailer"],
                                    gate={"none": interval(-0.0012, 0.002), "little": interval(0.004, 0.002),
                                          "full": interval(0.0032, 0.002)},
                                    report={"little": interval(0.0035, 0.002), "full": interval(0.0029, 0.002)}),
        segments=[segment("store", "family", {"none": 0.062, "little": 0.011, "full": -0.012}, ("none", "little"),
                          f"shoppers without history and with little history: {pays}; shoppers with full history: {fails}",
                          by="context.store", members=457, by_member=members),
                  segment("new households", "new_users", {"none": -0.009, "full": 0.001}, ("none",), pays),
                  segment("easter|scene", "scene", {"none": 0.001, "full": -0.002}, (), fails),
                  segment("parents <45", "custom", {"none": -0.013}, (), "not proven better than the base", "base"),
                  silent_segment("deli", "domain", "no adapter; the base filtered to the page serves"),
                  segment("christmas", "scene", None, (), "3 shots, needs 4")],
        certificates=[certificate],
        curves=[Curve(title="Text encoder", series={
                    "train": [(i, 3 / (1 + i / 40)) for i in range(0, 200, 5)],
                    "held out": [(i, 3.1 / (1 + i / 45)) for i in range(0, 200, 40)]}),
                Curve(title="Student", series={"train": [(i, 1.2 / (1 + i / 30)) for i in range(0, 90, 3)]})],
        student=StudentResult(top10_overlap=0.912, cosine=0.981, megabytes=11.4,
                              facts={"latency": "0.9 ms for one query, one thread"}),
        search=search(), tasks=tasks())
