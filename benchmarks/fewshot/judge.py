"""The judge judged: segments that are nothing, segments with a planted effect, and what it promotes asked again later.

- Null segments (Online Retail): random halves of the shoppers, and steps drawn by lot. Almost none may be promoted.
- Planted segments (embedded shop): twenty channels; each carries one step in twenty, and one in `PLANTED_SHARE` of its steps
  also takes the channel's own item. Asked at most 300 questions, the gate must find the effect; its size is measured on later
  ones, with little known of the shopper: to strangers, counting the channel's shots offers its item as well.
- Both shops' own segments and families: whatever is promoted is asked again on the report window.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.adaptations.shops import CleanShop, clean_shop, retail_shop
from benchmarks.fewshot.studies import FrozenBase, open_study
from benchmarks.record import Bar
from recsys_core.adaptation import AdaptationConfig, Study, make_segment_adapter
from recsys_core.evaluation import AUDIENCES, Adaptation, EvaluationConfig, GateConfig, SegmentJudge, Trial, decide, summarise
from recsys_core.ingestion import SegmentSpec

log = logging.getLogger(__name__)

HALVES, LOTS = 100, 100
CHANNELS, PLANTED_SHARE = 20, 7
EFFECT, AUDIENCE = 0.02, "little"


@dataclass(frozen=True)
class Judged:
    """One segment: its trials by audience, and what the adapter did later."""

    name: str
    trials: dict[str, Trial]
    later: dict[str, dict]


def judge(study: Study, name: str, config: EvaluationConfig, *, later: bool) -> Judged:
    """Adapt and judge one segment as the chain does, without writing anything that stays."""
    with tempfile.TemporaryDirectory() as folder:
        about = make_segment_adapter(Path(folder), study, name, AdaptationConfig())
    window, judging = study.window(name), SegmentJudge(study, config, order_only=False)
    if about["method"] == "base":
        nothing = judging.contest(name, window.gate_start, window.gate_start, None) if window else None
        return Judged(name, judging.try_audiences(name, nothing, about["reason"]) if nothing else {}, {})
    adaptation = Adaptation.from_json(about)
    trials = judging.try_audiences(name, judging.contest(name, window.gate_start, window.report_start, adaptation))
    if not later:
        return Judged(name, trials, {})
    report = judging.contest(name, window.report_start, window.report_end, adaptation)
    rng = np.random.default_rng(0)
    return Judged(name, trials, {audience: summarise(report.questions, contest, config.gate.metric, rng)
                                 for audience, contest in report.contests.items()})


def promotions(judged: Sequence[Judged], *, together: bool) -> dict[str, dict]:
    """The decisions, corrected over all that were judged together, or each segment alone as in a shop of one segment."""
    config = GateConfig()
    if together:
        return decide([trial for found in judged for trial in found.trials.values()], config)
    return {found.name: decide(list(found.trials.values()), config)[found.name] for found in judged if found.trials}


def null_segments() -> dict:
    """Every null segment judged alone: the share that is promoted, without any correction over segments."""
    shop = retail_shop()
    users, table, rng = np.array(shop.events.user_ids), shop.interactions, np.random.default_rng(7)
    step = table.select(pl.struct("user_id", "timestamp").rle_id()).to_series().to_numpy()
    members = {}
    for at in range(HALVES):
        half = set(users[rng.permutation(len(users))[:len(users) // 2]])
        members[f"half-{at}"] = table["user_id"].is_in(list(half)).to_numpy()
    for at in range(LOTS):
        members[f"lot-{at}"] = (rng.random(step.max() + 1) < rng.uniform(0.1, 0.5))[step]
    study = _with_segments(shop, members)
    judged = []
    for name in members:
        judged.append(judge(study, name, EvaluationConfig(), later=False))
    decisions = promotions(judged, together=False)
    return {"segments": len(judged), "promoted": [name for name, found in decisions.items() if found["decision"] == "promoted"],
            "adapted": sum(any(not trial.reason for trial in found.trials.values()) for found in judged)}


def _with_segments(shop: CleanShop, members: dict[str, np.ndarray]) -> Study:
    """A study of the shop with segments given by masks over its interactions."""
    events = pl.concat([pl.DataFrame({"segment": [name] * int(mask.sum()), "event_id": shop.interactions["event_id"].filter(
        pl.Series(mask))}) for name, mask in members.items()])
    specs = tuple(SegmentSpec(name=name, kind="custom", where="users.user_id <> ''") for name in members)
    own = replace(shop, segments=specs, segment_events=events)
    return Study(FrozenBase(own), own.interactions, own.segment_events, specs, (), own.users)


def planted_segments() -> dict:
    """Channels of the embedded shop with a taste of their own."""
    shop = clean_shop(None)
    table, rng = shop.interactions, np.random.default_rng(11)
    step = table.select(pl.struct("user_id", "timestamp").rle_id()).to_series().to_numpy()
    first = np.flatnonzero(np.r_[True, step[1:] != step[:-1]])
    channel = rng.integers(0, CHANNELS, len(first))
    popular = table["item_id"].value_counts().sort("count", "item_id", descending=True)["item_id"].to_list()[200:2000]
    own = rng.permutation(popular)[:CHANNELS]
    chosen = np.flatnonzero(rng.random(len(first)) < 1 / PLANTED_SHARE)
    taken = table[first[chosen]].with_columns(pl.Series("item_id", own[channel[chosen]].astype(str)),
                                              event_id=pl.lit("planted-") + pl.col("event_id"))
    whole = pl.concat([table.with_columns(channel=pl.Series(channel[step])),
                       taken.with_columns(channel=pl.Series(channel[chosen]))])
    whole = whole.sort("user_id", "timestamp", "item_id", "event_id")
    members = {f"channel-{at}": (whole["channel"] == at).to_numpy() for at in range(CHANNELS)}
    study = _with_segments(replace(shop, interactions=whole.drop("channel")), members)
    judged = []
    for name in members:
        judged.append(judge(study, name, EvaluationConfig(), later=True))
        log.info("%s: %s", name, judged[-1].trials[AUDIENCE].gains.get("base"))
    decisions = promotions(judged, together=False)
    effects = [found.later[AUDIENCE]["gain"]["mean"] for found in judged if found.later]
    return {"segments": len(judged), "promoted": sum(found["decision"] == "promoted" for found in decisions.values()),
            "effect": float(np.mean(effects)) if effects else 0.0,
            "questions": [found.trials[AUDIENCE].n for found in judged if found.trials]}


def own_segments() -> dict:
    """Every segment and family of both shops, and what is promoted asked again on the report window."""
    rows = []
    for shop in (clean_shop(None), retail_shop()):
        study = open_study(shop)
        names = [name for name in study.specs if study.window(name) is not None]
        judged = [judge(study, name, EvaluationConfig(), later=True) for name in names]
        decisions = promotions(judged, together=True)
        for found in judged:
            for audience in AUDIENCES:
                if audience not in found.trials:
                    continue
                later = found.later.get(audience, {}).get("gain")
                rows.append({"shop": shop.config.name, "segment": found.name, "audience": audience,
                             "promoted": audience in decisions[found.name].get("audiences", []),
                             "gate": found.trials[audience].gains.get("base", {}).get("mean"),
                             "toughest": found.trials[audience].toughest or None, "p": found.trials[audience].p_value,
                             **{name: later[name] if later else None for name in ("mean", "low", "high")}})
                log.info("%s", rows[-1])
    return {"rows": rows}


def null_bars(nulls: dict) -> list[Bar]:
    """Nothing is found where nothing is."""
    return [Bar("fewshot.null_promoted_share", len(nulls["promoted"]) / nulls["segments"], "<=", 0.05, n=nulls["segments"],
                note=f"Online Retail, random halves of the shoppers and steps drawn by lot, each judged alone at its level; "
                     f"{nulls['adapted']} of them got as far as the gate; promoted: {nulls['promoted'] or 'none'}")]


def planted_bars(planted: dict) -> list[Bar]:
    """What is planted is found."""
    fewest, most = min(planted["questions"]), max(planted["questions"])
    return [Bar("fewshot.planted_power", planted["promoted"] / planted["segments"], ">=", 0.8, n=planted["segments"],
                note=f"embedded shop, {CHANNELS} channels, planted effect {planted['effect']:+.4f} NDCG@10 for shoppers with "
                     f"little history (planned {EFFECT:+.2f}), {fewest} to {most} gate questions each, judged alone; share "
                     f"promoted")]


def own_bars(own: dict) -> list[Bar]:
    """Nothing that was promoted loses later."""
    promoted = [row for row in own["rows"] if row["promoted"]]
    worse = [row for row in promoted if row["high"] is not None and row["high"] < 0]
    paying = sorted({(row["shop"], row["segment"]) for row in promoted})
    judged = {(row["shop"], row["segment"]) for row in own["rows"]}
    return [Bar("fewshot.promoted_worse_later", float(len(worse)), "==", 0, n=len(promoted),
                note=f"promoted segment × audience pairs of both shops that lose significantly on the report window; "
                     f"{len(paying)} of {len(judged)} segments and families pay: "
                     + (", ".join(f"{segment} ({shop})" for shop, segment in paying) or "none"))]
