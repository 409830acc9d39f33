"""Explanations: do they add up, what is left over, and does the item fall without the source that is said to bring most?

Requests are a shop's own: a step of a shopper, asked with the newest 1, 2, 4, 8 or all steps before it, and two to four words of
an item's title, half of them with such a history. Of every answer the first item and another one are asked again without the
largest source that a request can leave out: a past item's events, a word, the segment. Popularity, trend and promotions cannot
be left out. An answer without such a source is skipped and counted.

The bar asks whether the score falls, for that is what contributions add up to. An item's share of the softmax over the catalogue
depends on what the source does to all other items as well: a word that others match better lowers it. The table has both.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.record import Bar
from recsys_core.features import read_features
from recsys_core.serving import Bundle

REQUESTS, SEARCHES, REPEATS = 800, 200, 7
KNOWN = (1, 2, 4, 8, 1000)
K = 10
Asked = tuple[str, dict[str, Any]]  # the method of Bundle, and its arguments


def measure(folder: Path, requests: int = REQUESTS, searches: int = SEARCHES
            ) -> tuple[list[Bar], dict[str, list[dict[str, Any]]]]:
    """Ask a bundle as its shop's shoppers would have.

    Args:
        folder: the bundle, beside the chain's features, whose steps are asked.
        requests: how many recommendations are asked for.
        searches: how many searches.
    """
    events = read_features(folder.parent / "features", "interactions").collect()
    rng, asked = np.random.default_rng(0), Bundle.load(folder)
    shares = Bundle(replace(asked.parts, click=None))  # so that it answers shares of the catalogue
    errors, rest, mass, found, skipped = [], 0.0, 0.0, [], 0
    for method, given in _requests(asked, events, requests, searches, rng):
        answers = getattr(asked, method)(**given, k=K, explain=True)
        for answer in answers:
            values = np.array([one["value"] for one in answer.contributions])
            errors.append(abs(float(values.sum()) - answer.score))
            mass += float(np.abs(values).sum())
            rest += sum(abs(one["value"]) for one in answer.contributions if one["source"] == "rest")
        for place in {0, int(rng.integers(len(answers)))}:
            outcome = _deletion(asked, shares, method, given, answers[place])
            skipped += outcome is None
            if outcome is not None:
                found.append(outcome)
    agreement = [row["score_falls"] for row in found]
    bars = [
        Bar("explain.max_sum_error", max(errors), "<=", 1e-5, n=requests + searches,
            note="logits; contributions summed in float64 beside the answered float32 score"),
        Bar("explain.residual_share", rest / mass, "<=", 0.05, n=requests + searches,
            note="of all logits in absolute value, what no named source explains: the mean item's in a shopper's taste"),
        Bar("explain.deletion_agreement", float(np.mean(agreement)), ">=", 0.95, *_interval(agreement), n=len(agreement),
            note=f"the score falls without the largest source that can be left out; {skipped} answers have none; the share of "
                 f"the catalogue falls in {np.mean([row['share_falls'] for row in found]):.4f}")]
    return bars, {"Without the largest source": _by_source(found),
                  "What explaining costs": _cost(asked, events)}


def _requests(bundle: Bundle, events: pl.DataFrame, requests: int, searches: int, rng: np.random.Generator) -> Iterator[Asked]:
    """Requests of real shoppers, and searches for words of titles."""
    shoppers = [rows.sort("timestamp") for _, rows in sorted(events.partition_by("user_id", as_dict=True).items())]
    titles = [title for title in bundle.catalogue.items["title"].to_list() if title and len(title.split()) > 1]
    for _ in range(requests):
        yield "recommend", _asked(bundle, shoppers, rng)
    for at in range(searches):
        words = titles[int(rng.integers(len(titles)))].split()
        start = int(rng.integers(len(words) - 1))
        query = " ".join(words[start:start + int(rng.integers(2, 5))])
        yield "search", {"query": query} | (_asked(bundle, shoppers, rng) if at % 2 else {})


def _asked(bundle: Bundle, shoppers: list[pl.DataFrame], rng: np.random.Generator) -> dict[str, Any]:
    """One step of one shopper, as it would have been asked."""
    while True:
        rows = shoppers[int(rng.integers(len(shoppers)))]
        times = rows["timestamp"].unique().sort()
        if len(times) > 1:
            break
    place, known = int(rng.integers(1, len(times))), int(rng.choice(KNOWN))
    past = rows.filter((pl.col("timestamp") < times[place]) & (pl.col("timestamp") >= times[max(place - known, 0)]))
    context = json.loads(rows.filter(pl.col("timestamp") == times[place])["context"][0] or "{}")
    return {"history": past.select("item_id", "event_type", "timestamp").to_dicts(), "at": times[place], "segment": "auto",
            "context": {name: value for name, value in context.items() if name in bundle.manifest["context"]}}


def _deletion(bundle: Bundle, shares: Bundle, method: str, given: dict[str, Any], answer: Any) -> dict[str, Any] | None:
    """The answered item before and after its largest removable source is left out; None: there is no such source."""
    for one in answer.contributions:  # largest first
        if one["value"] > 0 and (without := _without(given, one)) is not None:
            break
    else:
        return None
    scores, logs = [], []
    for arguments in (given, without):
        scores.append(getattr(bundle, method)(**arguments, k=1, candidates=[answer.item_id])[0].score)
        logs.append(np.log(shares.click_probability([answer.item_id], **arguments)[0]))
    return {"method": method, "source": "itself" if one["name"] == answer.item_id else one["source"],
            "steps": len({event["timestamp"] for event in given.get("history", [])}),
            "score_falls": scores[1] < scores[0], "share_falls": bool(logs[1] < logs[0]), "value": one["value"],
            "score_loss": scores[0] - scores[1]}


def _without(given: dict[str, Any], source: Any) -> dict[str, Any] | None:
    """The request without a source; None where a request cannot leave it out."""
    if source["source"] == "item":
        return given | {"history": [event for event in given["history"] if event["item_id"] != source["name"]]}
    if source["source"] == "segment":
        return given | {"segment": None}
    if source["source"] == "word":
        left = [word for word in given["query"].split() if word not in source["name"].split()]
        return given | {"query": " ".join(left)} if left else None
    return None


def _by_source(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for method, source in sorted({(row["method"], row["source"]) for row in found}):
        mine = [row for row in found if (row["method"], row["source"]) == (method, source)]
        rows.append({"asked": method, "left out": source, "answers": len(mine),
                     "share falls": statistics.fmean(row["share_falls"] for row in mine),
                     "score falls": statistics.fmean(row["score_falls"] for row in mine),
                     "mean contribution": statistics.fmean(row["value"] for row in mine),
                     "mean loss of score": statistics.fmean(row["score_loss"] for row in mine)})
    return rows


def _interval(agreement: list[bool]) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    n, share, z = len(agreement), float(np.mean(agreement)), 1.96
    middle, half = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float((middle - half) / (1 + z * z / n)), float((middle + half) / (1 + z * z / n))


def _cost(bundle: Bundle, events: pl.DataFrame) -> list[dict[str, Any]]:
    """Milliseconds with and without explanations, asked in turns."""
    rows = []
    for method, given in _requests(bundle, events, 3, 2, np.random.default_rng(1)):
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(REPEATS):
            for explain, taken in times.items():
                started = time.perf_counter()
                getattr(bundle, method)(**given, k=K, explain=explain)
                taken.append(1000 * (time.perf_counter() - started))
        plain, told = (statistics.median(taken) for taken in times.values())
        rows.append({"asked": method, "events": len(given.get("history", [])), "ms": plain, "ms with reasons told": told,
                     "ratio": told / plain})
    return rows
