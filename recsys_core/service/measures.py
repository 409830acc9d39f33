"""What Prometheus reads: requests, latency, fallbacks, segments and scores, over all workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from recsys_core.serving import Bundle, Recommendations

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # set before the client is imported: then all workers' values are added up
SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LOGITS = (-20.0, -15.0, -12.5, -10.0, -7.5, -5.0, -2.5, 0.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 40.0)


class Measures:
    """The counters of one worker.

    Args:
        bundle: what is served, for its version.
    """

    def __init__(self, bundle: Bundle) -> None:
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

    def count_list(self, endpoint: str, answers: Recommendations) -> None:
        """Count one answered list."""
        self.answers.labels(endpoint, (answers[0].segment if answers else None) or "base").inc()
        if answers:
            self.scores.labels(endpoint).observe(answers[0].score)

    def text(self) -> bytes:
        """Everything in Prometheus' text form; of all workers where there are several."""
        if FOLDER not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
