"""What an experiment's logs say: users per variant, the difference so far, and whether the assignment was as declared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_core.errors import ExperimentError
from recsys_core.evaluation import OffPolicyConfig, PolicyLog, policy_value
from recsys_core.experiments.config import EXPERIMENTS_FILE, ExperimentConfig, read_experiments
from recsys_core.experiments.logs import Metric, outcomes_of, read_events, read_exposures
from recsys_core.experiments.outcomes import shown_outcomes, user_outcomes
from recsys_core.experiments.sequential import Sequential, SequentialConfig, sequential_difference, sequential_sign

ALARM = 0.001  # p of the sample ratio below which nothing else in the report may be believed


@dataclass(frozen=True)
class SampleRatio:
    """Whether the variants have the users that their shares promise (χ², Fabijan et al. 2019).

    Args:
        statistic: χ² over the variants.
        p_value: of such a deviation by chance.
    """

    statistic: float
    p_value: float

    @property
    def alarm(self) -> bool:
        """Whether assignment, logging or a filter is broken."""
        return self.p_value < ALARM


@dataclass(frozen=True)
class Report:
    """Everything `recsys experiment report` prints.

    Args:
        experiment: its configuration.
        metric: what an outcome is.
        until: newest moment that the logs cover.
        variants: per variant name, share, users, mean outcome, and its value per shown item from the logged propensities.
        pending: users whose window is still open.
        crossed: users with more than one variant, left out.
        ratio: of the users that count; None where lists were interleaved.
        differences: against the first variant, by name; for interleaved lists the share of users who prefer the second.
    """

    experiment: ExperimentConfig
    metric: Metric
    until: datetime
    variants: list[dict[str, Any]]
    pending: int
    crossed: int
    ratio: SampleRatio | None
    differences: dict[str, Sequential]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        ratio = self.ratio and {"statistic": self.ratio.statistic, "p_value": self.ratio.p_value, "alarm": self.ratio.alarm}
        return {"experiment": self.experiment.name, "method": self.experiment.method, "metric": self.metric,
                "until": self.until.isoformat(), "variants": self.variants, "pending": self.pending, "crossed": self.crossed,
                "sample_ratio": ratio, "differences": {name: one.to_json() for name, one in self.differences.items()}}

    def lines(self) -> Iterator[str]:
        """The report as text."""
        config = self.experiment
        yield f"{config.name}: {self.metric} per user within {config.window_hours:g} h of the first exposure, until {self.until}"
        for row in self.variants:
            yield f"  {row['name']:<16} share {row['share']:<6g} users {row['users']:<9,} mean {row['mean']:.5f}"
        yield f"  {self.pending:,} users are waited for; {self.crossed:,} saw more than one variant and are left out"
        if self.ratio is not None:
            fine = "as declared" if not self.ratio.alarm else "NOT as declared: look for the fault before you read on"
            yield f"sample ratio: χ² {self.ratio.statistic:.2f}, p {self.ratio.p_value:.4f}: {fine}"
        for name, found in self.differences.items():
            yield _sentence(config, name, found)
        values = [row for row in self.variants if row["off_policy"]]
        if values:
            yield "per shown item, from the logged propensities (95%, for one look):"
        for row in values:
            found = row["off_policy"]
            yield (f"  {row['name']:<16} IPS {_span(found['ips'])}  SNIPS {_span(found['snips'])}  mean weight "
                   f"{found['mean_weight']:.3f}, worth {found['effective_rows']:,.0f} rows")


def report_experiment(home: Path, name: str, collected: Path, metric: Metric = "click", until: datetime | None = None,
                      config: SequentialConfig | None = None) -> Report:
    """Read the logs and compare.

    Args:
        home: RECSYS_HOME, which holds experiments.yaml.
        name: of the experiment.
        collected: folder with `exposures` and `events`.
        metric: what counts: clicks, purchases or money.
        until: rows from then on are left out; None: all count, and the newest row says how far the logs reach.
        config: level and size.

    Raises:
        ExperimentError: an experiment that is not declared, or without exposures.
        ShopError: experiments.yaml is broken.
    """
    declared = {one.name: one for one in read_experiments(home / EXPERIMENTS_FILE)}
    if name not in declared:
        raise ExperimentError(str(home / EXPERIMENTS_FILE), f"no experiment is called {name!r}",
                              f"use one of {', '.join(declared) or '(none is declared)'}")
    return compare(declared[name], read_exposures(collected, declared[name]), read_events(collected), metric, until,
                   config or SequentialConfig())


def compare(experiment: ExperimentConfig, exposures: pl.DataFrame, events: pl.DataFrame, metric: Metric,
            until: datetime | None, config: SequentialConfig) -> Report:
    """The report over tables as `logs` reads them."""
    newest: datetime = pl.concat([exposures["timestamp"], events["timestamp"]]).max()  # type: ignore[assignment]
    until = until or newest
    exposures, events = (frame.filter(pl.col("timestamp") <= until) for frame in (exposures, events))
    outcomes = outcomes_of(events, metric)
    users = user_outcomes(experiment, exposures, outcomes)
    crossed = users["crossed"] if experiment.method == "ab" else pl.repeat(False, len(users), eager=True)
    kept = users.filter(~crossed)
    closed = kept.filter(pl.col("closes") <= until)
    shown = shown_outcomes(experiment, exposures, outcomes, until)
    rows = [_variant(experiment, at, closed, shown) for at in range(len(experiment.variants))]
    if experiment.method == "interleave":
        ratio, differences = None, {experiment.variants[1].name: _preference(closed, shown, config)}
    else:
        ratio = sample_ratio([row["users"] for row in rows], [row["share"] for row in rows])
        differences = {one.name: _difference(experiment, at, closed, config)
                       for at, one in enumerate(experiment.variants) if at}
    return Report(experiment, metric, until, rows, len(kept) - len(closed), int(crossed.sum()), ratio, differences)


def sample_ratio(users: list[int], shares: list[float]) -> SampleRatio:
    """Pearson's χ² of users against shares.

    >>> sample_ratio([500, 500], [.5, .5]).p_value, sample_ratio([600, 400], [.5, .5]).alarm
    (1.0, True)
    """
    from scipy.special import chdtrc

    observed = np.array(users, float)
    expected = observed.sum() * np.array(shares) / sum(shares)
    if not observed.sum():
        return SampleRatio(0.0, 1.0)
    statistic = float(((observed - expected) ** 2 / expected).sum())
    return SampleRatio(statistic, float(chdtrc(len(users) - 1, statistic)))


def _variant(experiment: ExperimentConfig, at: int, closed: pl.DataFrame, shown: pl.DataFrame) -> dict[str, Any]:
    variant = experiment.variants[at]
    own = closed if experiment.method == "interleave" else closed.filter(pl.col("variant") == variant.name)
    mean = float(own["value"].to_numpy().mean()) if len(own) else 0.0
    return {"name": variant.name, "share": variant.share, "users": len(own), "mean": mean,
            "off_policy": _value(experiment, variant.name, shown)}


def _value(experiment: ExperimentConfig, name: str, shown: pl.DataFrame) -> dict[str, Any] | None:
    """What a variant would earn per shown item if it answered everybody; None where the log cannot tell."""
    rows = shown.filter(pl.col("propensity") > 0, pl.col("item_propensity") > 0)
    own = (rows["variant"] == name).to_numpy()
    if experiment.method == "interleave" or not own.any():
        return None
    item = rows["item_propensity"].to_numpy()
    assigned = rows["propensity"].to_numpy() / sum(one.share for one in experiment.variants)
    log = PolicyLog(rows["value"].to_numpy(), np.minimum(assigned * item, 1.0), np.where(own, item, 0.0),
                    rows["user_id"].rank("dense").to_numpy())
    found = policy_value(log, OffPolicyConfig(), np.random.default_rng(0))
    return {"ips": found.ips.to_json(), "snips": found.snips.to_json(), "mean_weight": found.mean_weight,
            "effective_rows": found.effective_rows}


def _difference(experiment: ExperimentConfig, at: int, closed: pl.DataFrame, config: SequentialConfig) -> Sequential:
    first, other = experiment.variants[0], experiment.variants[at]
    both = closed.filter(pl.col("variant").is_in([first.name, other.name]))
    return sequential_difference(both["value"].to_numpy(), (both["variant"] == other.name).to_numpy(), both["before"].to_numpy(),
                                 other.share / (first.share + other.share), config)


def _preference(closed: pl.DataFrame, shown: pl.DataFrame, config: SequentialConfig) -> Sequential:
    """The share of users whose outcomes credit the second variant's picks more than the first's."""
    second = pl.col("team") == "b"
    lead = shown.filter(pl.col("team").is_not_null()).group_by("user_id").agg(
        (pl.col("value").filter(second).sum() - pl.col("value").filter(~second).sum()).sign().alias("lead"))
    wins = closed.join(lead, on="user_id", how="left", maintain_order="left")["lead"].fill_null(0.0)
    return sequential_sign(wins.to_numpy(), config)


def _sentence(experiment: ExperimentConfig, name: str, found: Sequential) -> str:
    first = experiment.variants[0].name
    if experiment.method == "interleave":
        what = f"users who prefer {name} to {first}, of {found.n:,} who prefer one: {found.mean:.3f}"
    else:
        what = f"{name} − {first}: {found.mean:+.5f}"
    if not np.isfinite(found.low):
        return f"{what}: too few outcomes yet for an interval"
    return f"{what} [{found.low:+.5f}, {found.high:+.5f}], p {found.p_value:.4f}: these hold at every look"


def _span(interval: dict[str, Any]) -> str:
    low, high = (format(interval[name], ".5f") if interval[name] is not None else "?" for name in ("low", "high"))
    return f"{interval['mean']:.5f} [{low}, {high}]"
