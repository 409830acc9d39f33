"""The service's own eyes: what it answers is counted for drift, and Prometheus is told how far it has moved."""

import re
from importlib.resources import files

from recsys_core.monitoring import DriftConfig, Reference, read_observed
from recsys_core.service import measures
from recsys_core.service.measures import Measures


def test_lists_are_counted_where_drift_is_read(client, bundle, tmp_path):
    for history in (["k0"], ["k0", "g0"], []):
        client.post("/v1/recommend", json={"history": history})
    client.post("/v1/search", json={"query": "steel mug"})  # a query's scores are on another scale
    client.app.measures.observer.write()
    seen = read_observed(tmp_path / "collected" / "monitor", Reference.read(bundle.folder), 1)
    assert seen["all"]["history"].sum() == 3 and seen["all"]["fallback"].tolist() == [2, 1]


def test_the_metrics_name_what_the_alert_rules_ask_for(client):
    client.post("/v1/recommend", json={"history": ["k0"]})
    told = client.get("/metrics").text
    asked = set(re.findall(r"recsys_\w+", files("recsys_core.monitoring").joinpath("alerts.yaml").read_text()))
    assert len(asked) >= 5 and all(re.search(rf"^# TYPE {name.removesuffix('_bucket')}", told, re.M) or
                                   re.search(rf"^# TYPE {name.removesuffix('_total')}", told, re.M) for name in asked)
    assert re.search(r"^recsys_bundle_newest_event_seconds 1\.7", told, re.M)


def test_the_gauge_of_drift_says_nothing_of_few_and_shows_a_shift_of_many(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(measures, "DriftConfig", lambda: DriftConfig(least=2))
    watched = Measures(bundle, tmp_path)
    assert "recsys_drift_psi{" not in watched.text().decode()
    for _ in range(50):
        watched.count_list("recommend", bundle.recommend(["t1"] * 40), 40)
    watched.observer.write()
    fresh = Measures(bundle, tmp_path).text().decode()
    line = next(row for row in fresh.splitlines() if row.startswith('recsys_drift_psi{feature="history",segment="all"}')
                or row.startswith('recsys_drift_psi{segment="all",feature="history"}'))
    assert float(line.split()[-1]) > 0.2
