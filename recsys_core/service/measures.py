"""What Prometheus reads: requests, latency, fallbacks, segments and scores, over all workers."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from recsys_core.monitoring import Drift, DriftConfig, Observer, Reference, drift, read_observed

if TYPE_CHECKING:
    from recsys_core.serving import Bundle, Recommendations

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # set before the client is imported: then all workers' values are added up
DRIFT_READ_S = 60.0  # seconds between two readings of what all workers counted
SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LOGITS = (-20.0, -15.0, -12.5, -10.0, -7.5, -5.0, -2.5, 0.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 40.0)


class Measures:
    """The counters of one worker.

    Args:
        bundle: what is served, for its version and its reference profile.
        observed: folder of the counts that drift is told from.
    """

    def __init__(self, bundle: Bundle, observed: Path) -> None:
        self.observer, self._drift = Observer(bundle, observed), _DriftGauges(bundle, observed)
        self.registry = CollectorRegistry()
        self.requests = Counter("recsys_requests", "Requests by endpoint and status", ["endpoint", "status"],
                                registry=self.registry)
        self.seconds = Histogram("recsys_request_seconds", "Time to answer", ["endpoint"], buckets=SECONDS,
                                 registry=self.registry)
        self.fallbacks = Counter("recsys_fallbacks", "Answers that a part of the model could not give", ["endpoint", "reason"],
                                 registry=self.registry)
        self.answers = Counter("recsys_answers", "Lists by the segment whose adapter took part", ["endpoint", "segment"],
                               registry=self.registry)
        self.scores = Histogram("recsys_best_score", "Score of a list's first item, a logit", ["endpoint"], buckets=LOGITS,
                                registry=self.registry)
        self.events = Counter("recsys_events", "Events collected by type", ["event_type"], registry=self.registry)
        served = Gauge("recsys_bundle", "The bundle that is served", ["cycle", "items"], registry=self.registry,
                       multiprocess_mode="livemax")
        served.labels(str(bundle.manifest["lineage"].get("cycle", "")), str(len(bundle.catalogue))).set(1)

    def count_list(self, endpoint: str, answers: Recommendations, known: int) -> None:
        """Count one answered list; `known` events of its shopper were known."""
        if endpoint == "recommend":  # what the reference was made of
            self.observer.observe(answers, known, answers.fallback is not None)
        self.answers.labels(endpoint, (answers[0].segment if answers else None) or "base").inc()
        if answers:
            self.scores.labels(endpoint).observe(answers[0].score)

    def text(self) -> bytes:
        """Everything in Prometheus' text form; of all workers where there are several."""
        drifted = CollectorRegistry()
        drifted.register(self._drift)
        if FOLDER not in os.environ:
            return generate_latest(self.registry) + generate_latest(drifted)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together) + generate_latest(drifted)


class _DriftGauges(Collector):
    """How far the answers of all workers are from what the bundle was judged with, read again every minute."""

    def __init__(self, bundle: Bundle, observed: Path) -> None:
        self._observed, self._newest = observed, float(bundle.parts.ranker.counts.newest)
        self._reference = Reference.of(bundle.manifest, bundle.parts.reference)
        self._read_at, self._found = -math.inf, list[Drift]()

    def collect(self) -> Iterable[Metric]:
        """PSI by segment and feature, where enough was seen, and the time of the newest event that the bundle knows."""
        if time.monotonic() - self._read_at > DRIFT_READ_S:
            config, self._read_at = DriftConfig(), time.monotonic()
            self._found = drift(self._reference, read_observed(self._observed, self._reference, config.days), config)
        told = GaugeMetricFamily("recsys_drift_psi", "Population stability index of answers", labels=["segment", "feature"])
        for one in self._found:
            if one.psi is not None:
                told.add_metric([one.segment, one.feature], one.psi)
        newest = GaugeMetricFamily("recsys_bundle_newest_event_seconds", "Time of the newest event that the bundle knows")
        newest.add_metric([], self._newest)
        return [told, newest]
