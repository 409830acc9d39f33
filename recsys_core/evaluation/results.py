"""Everything the evaluation report shows, as plain frozen records that survive JSON.

The stages fill these in; the report and its plots only read them. A number that could not be measured is None (NaN becomes None
on the way in), never zero. Methods are named as in `METHOD_NAMES` (others are shown as they are), slices as in `SLICE_NAMES`.

`Results.model_dump(mode="json")` gives the content of `metrics.json`; `Results.model_validate` reads it.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Literal

from pydantic import BaseModel, Field

from recsys_core.evaluation.stored import Measured, NextDays, StoredCertificate, StoredCurve, StoredInterval
from recsys_core.interactions import Audience
from recsys_core.metrics import Interval

METHOD_NAMES = {
    "base": "base ranker", "adapted": "adapted", "placebo": "placebo adapter", "incumbent": "incumbent adapter",
    "segment_popularity": "segment popularity", "counting": "counting", "personal_frequency": "personal frequency",
    "item_knn": "item-kNN", "last_item": "last item", "popularity": "popularity", "like_ratio": "like ratio",
    "base_rate": "base rate", "item_rate": "item rate", "click_model": "click model", "served": "what was served",
}
SLICE_NAMES = {"all": "all targets", "repeat": "repeats", "first_time": "first-time"}


class Record(BaseModel, frozen=True, extra="forbid"):
    """Base of all records below."""


class ShopFacts(Record):
    """What was evaluated on. Counts are of clean data over all days."""

    name: str
    profile: str = Field("full", description="full or quick")
    first_day: str
    last_day: str
    users: int
    items: int
    distinct_texts: int | None = None
    events: int
    exposures: int = 0
    quarantined: dict[str, int] = Field({}, description="reason → rows set aside")
    order_only: bool = False


class WindowFacts(Record):
    """One window of time, first and last inclusive as the shop's days (or positions)."""

    name: str
    first: str
    last: str
    queries: int
    users: int
    targets: int | None = None
    repeat_share: Measured = Field(None, description="share of targets that the history already holds")


class MethodResult(Record):
    """How one ranker does on the report window."""

    method: str
    ours: bool = False
    metrics: dict[str, dict[str, StoredInterval]] = Field(description="slice → metric → mean with its interval over users")
    coverage: Measured = Field(None, description="share of the catalogue in anybody's top 10")
    novelty: Measured = Field(None, description="mean self-information of the top 10, bits")
    long_tail_recall: Measured = Field(None, description="recall@10 of the least popular 80% of items")


class Gain(Record):
    """Paired difference of one metric: the base ranker minus `over`, on the same queries."""

    over: str
    slice: str = "all"
    metric: str = "ndcg@10"
    interval: StoredInterval


class KnownSteps(Record):
    """Every ranker's metric with no more than `steps` of each shopper's steps known (None: all), on the same questions."""

    steps: int | None
    metrics: dict[str, StoredInterval]


class PromotionsResult(Record):
    """What the shop's promotions add as parts of the score: the base with them minus without, NDCG@10, same questions."""

    audiences: list[Audience] = Field(description="where the gate window proved it, so that they serve")
    reason: str
    placements: list[str]
    gate: dict[Audience, StoredInterval] = Field(description="by audience, where it was asked on the gate window")
    report: dict[Audience, StoredInterval] = Field(description="the same on the report window, where they serve")


class ExposureMethod(Record):
    """How well one model predicts which exposures turn positive."""

    method: str
    ours: bool = False
    auc: Measured = None
    uauc: Measured = None
    log_loss: Measured = None
    calibration_error: Measured = Field(None, description="expected calibration error, equal-mass bins")


class PolicyResult(Record):
    """What the base would earn per impression, from a log with propensities."""

    logged: StoredInterval = Field(description="mean outcome of what was shown")
    ips: StoredInterval
    snips: StoredInterval
    effective_rows: float = Field(description="rows of the base's own that the log is worth")
    mean_weight: float = Field(description="near 1 where the propensities are right and cover the base's choices")
    clipped: float


class Exposures(Record):
    """Click or purchase probability on impressions."""

    first: str
    last: str
    rows: int
    users: int
    base_rate: float
    methods: list[ExposureMethod]
    uauc_gains: dict[str, StoredInterval] = Field({}, description="baseline → our UAUC minus its, per user")
    reliability: list[tuple[float, float, float]] = Field([], description="bins of (mean p, observed rate, rows)")
    policy: PolicyResult | None = Field(None, description="where the shop logs propensities")


class AudienceResult(Record):
    """What an adapter bought one audience: `gate_…` is what decided, everything else the later report window."""

    promoted: bool
    questions: int = 0
    users: int = 0
    ndcg: dict[str, Measured] = Field({}, description="contestant → NDCG@10 within the segment's candidates")
    gain: StoredInterval | None = Field(None, description="adapted minus base on the same questions")
    gain_by_slice: dict[str, StoredInterval] = Field({}, description="the same by kind of target")
    gate_gain: StoredInterval | None = None
    toughest: str = Field("", description="the rival with the largest p-value at the gate")
    toughest_gain: StoredInterval | None = Field(None, description="adapted minus the toughest rival, at the gate")
    p_holm: Measured = Field(None, description="of the gate, Holm-corrected over segments and audiences")
    minimum_detectable: Measured = Field(None, description="NDCG@10 difference that the gate finds with 80% power")


class MemberResult(Record):
    """One member of a family on the report window, nothing known of its shoppers: mean gain over its questions."""

    value: str
    questions: int
    shots: int
    gain: float


class SegmentResult(Record):
    """One segment or family: for whom its adapter pays, and what it bought."""

    name: str
    kind: str
    decision: Literal["promoted", "refused", "no data"]
    reason: str
    by: str = Field("", description="family: what tells its members apart, such as context.store")
    audiences: list[str] = Field([], description="those it was promoted for")
    shots: int = 0
    members: int = Field(1, description="how many a family has")
    method: str = ""
    support: str = Field("", description="support window as shown, such as 2017-11-05 … 2017-12-02")
    gate: str = ""
    report: str = ""
    by_audience: dict[str, AudienceResult] = Field({}, description="what was found for each of none, little, full")
    by_member: list[MemberResult] = Field([], description="those that were asked; empty for a plain segment")
    curve: StoredCurve | None = Field(None, description="gain by K on the report window, nothing known of shoppers")

    @property
    def best(self) -> AudienceResult | None:
        """The audience that gained most on the report window, among those it was promoted for if there are any."""
        found = [self.by_audience[name] for name in self.audiences] or list(self.by_audience.values())
        gained = [(one.gain.mean, one) for one in found if one.gain]
        return max(gained, key=itemgetter(0))[1] if gained else None

    @property
    def gain(self) -> Interval | None:
        """The best audience's gain."""
        return self.best.gain if self.best else None

    @property
    def break_even(self) -> int | None:
        """Shots per member from which on adapting pays, where measured."""
        return self.curve.break_even if self.curve else None


class Curve(Record):
    """One training run."""

    title: str
    x_label: str = "step"
    y_label: str = "loss"
    series: dict[str, list[tuple[float, float]]] = Field(description="name → points (x, y)")


class StudentResult(Record):
    """The student beside its teacher."""

    top10_overlap: Measured = Field(None, description="mean share of the teacher's top 10 kept")
    cosine: Measured = Field(None, description="mean cosine between the two encoders' vectors")
    megabytes: Measured = None
    facts: dict[str, str] = Field({}, description="anything more, name → shown value")


class SearchSlice(Record):
    """How well some judged queries are answered."""

    queries: int
    nothing: float = Field(description="share of them that nothing in the catalogue fits")
    metrics: dict[str, StoredInterval]


class SearchResult(Record):
    """What the weights of a search were learned from, and how good it is on queries that did not teach them."""

    source: str
    queries: int = Field(description="that taught")
    gained: Measured = Field(None, description="NDCG@10 over the given weights, within lists of held-out queries")
    weights: dict[str, float]
    judged_by: str | None = None
    slices: dict[str, SearchSlice] = Field({}, description="all queries, and by how often they are asked")


class TaskResult(Record):
    """A labelled task beside its rivals, on texts (queries) that no fold learned from."""

    name: str
    kind: str
    examples: int
    proven: bool
    reason: str
    measure: str = Field("", description="what the score is, in words")
    groups: int = Field(0, description="texts (queries) that were answered")
    score: Measured = None
    rivals: dict[str, Measured] = {}
    gains: dict[str, StoredInterval] = Field({}, description="the task's score minus the rival's")
    unsure_below: Measured = Field(None, description="probability below which no class is named")
    test: dict[str, Measured] = Field({}, description="what was measured on rows that took no part")


class ShopperGroup(Record):
    """How well the base ranks for the shoppers of one group, beside all others who were asked."""

    column: str
    group: str
    users: int
    questions: int
    quality: StoredInterval
    gap: StoredInterval | None = Field(None, description="the group minus everybody else; None where it is too small to say")
    lacks: Measured = Field(None, description="the gap as a share of everybody else's metric; negative where the group is ahead")


class ItemGroup(Record):
    """How much of the lists' attention one group of items gets, beside what is taken of it."""

    column: str
    group: str
    items: int
    exposure: StoredInterval = Field(description="share of attention, each place counted by its discount in NDCG")
    taken: float = Field(description="share of the same questions' targets")
    gap: StoredInterval = Field(description="exposure minus taken, per question")
    lacks: Measured = Field(None, description="the gap as a share of what is taken; negative where the group is shown more")


class Fairness(Record):
    """Whether groups of shoppers are ranked for, and groups of items shown, alike."""

    shoppers: list[ShopperGroup] = []
    items: list[ItemGroup] = []


class Results(Record):
    """The whole report. The first window named "report" is the one that `methods` were measured on."""

    shop: ShopFacts
    metric: str = Field("ndcg@10", description="the metric that decides")
    windows: list[WindowFacts]
    methods: list[MethodResult]
    next_days: NextDays | None = Field(None, description="once enough nights were judged")
    gains: list[Gain] = []
    known_steps: list[KnownSteps] = []
    promotions: PromotionsResult | None = Field(None, description="in shops that say what they promote")
    exposures: Exposures | None = None
    fairness: Fairness | None = None
    segments: list[SegmentResult] = []
    certificates: list[StoredCertificate] = []
    curves: list[Curve] = []
    student: StudentResult | None = None
    search: SearchResult | None = None
    tasks: list[TaskResult] = []
    notes: list[str] = Field([], description="what a reader must know, one sentence each")
