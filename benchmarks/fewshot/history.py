"""How well the base ranks when 0, 1, 2, 4, 8, 16 or all steps of a shopper are known, and whether full histories lost anything.

The same questions are asked with histories cut to so many steps. Rivals: the best of popularity, personal frequency, item-kNN
and last item at that length, and on ml-100k SASRec. The base as it was before had one set of weights for everybody, fitted
on histories as they are.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.fewshot.ask import Score, ask, difference
from benchmarks.fewshot.logs import CHOICES, Log, embedded, ml100k, online_retail
from benchmarks.fewshot.new_shop import hand_set
from benchmarks.rankings import amazon
from benchmarks.rankings.movielens import peer_scores, run_peer
from benchmarks.rankings.questions import PLACE, order_only_histories
from benchmarks.record import RESULTS, Bar
from recsys_core.base_model import PART_NAMES, Ranker, RankerConfig, fit_head, fit_ranker, fit_weights, join_situations
from recsys_core.interactions import KNOTS, Queries, cut_histories, make_queries
from recsys_core.metrics import fit_item_knn, fit_last_item, fit_personal_frequency, fit_popularity

log = logging.getLogger(__name__)

LENGTHS: tuple[int | None, ...] = (0, 1, 2, 4, 8, 16, None)
QUESTIONS = 3000
SASREC = PLACE / "sasrec"


def run() -> dict:
    """Every shop at every length, the comparisons of lengths and of the base before, and the plot."""
    shops = {shop.name: measure_shop(shop) for shop in (embedded(), online_retail(), ml100k())}
    deltas = {name: found.pop("full_delta") for name, found in shops.items() if name != "ml-100k"}
    deltas["Amazon Industrial"] = amazon_delta()
    plot({name: found["rows"] for name, found in shops.items()}, RESULTS / "fewshot.png")
    return {"shops": shops, "deltas": deltas}


def measure_shop(shop: Log) -> dict:
    """NDCG@10 of every system at every length, the margin over the best rival, and which lengths hurt."""
    ranker, size, questions = shop.ranker(), len(shop.catalogue), shop.questions(QUESTIONS)
    now = int(np.median(questions.timestamp))
    systems: dict[str, Score] = {"this ranker": lambda past: ranker.score(past, now)}
    for name, fit in (("popularity", fit_popularity), ("personal frequency", fit_personal_frequency),
                      ("item-kNN", fit_item_knn), ("last item", fit_last_item)):
        systems[name] = fit(shop.train, size).score
    values: dict[int | None, dict[str, np.ndarray]] = {}
    for length in LENGTHS:
        asked = questions if length is None else cut_histories(questions, length)
        values[length] = _ask(systems, asked, questions, shop)
        log.info("%s, %s known: %s", shop.name, length, {n: round(float(v.mean()), 4) for n, v in values[length].items()})
    if shop.masked and (SASREC / "sasrec.json").is_file():
        _add_sasrec(values, questions, shop)
    ours = {length: found["this ranker"] for length, found in values.items()}
    rows, user = [], questions.user
    for length, found in values.items():
        best = max((name for name in found if name not in ("this ranker", "SASRec")), key=lambda name: found[name].mean())
        margin = difference(ours[length], found[best], user)
        rows.append({"shop": shop.name, "known steps": "all" if length is None else length, "questions": len(user),
                     **{name: float(found[name].mean()) if name in found else None for name in (*systems, "SASRec")},
                     "best rival": best, "margin": margin.mean, "low": margin.low, "high": margin.high})
    hurts = [(str(less), str(more)) for at, less in enumerate(LENGTHS) for more in LENGTHS[at + 1:]
             if difference(ours[more], ours[less], user).high < 0]
    first = difference(ours[1], ours[0], user)
    before = base_before(shop)
    old = _ask({"before": lambda past: before.score(past, now)}, questions, questions, shop)["before"]
    return {"rows": rows, "hurts": hurts, "one_over_none": first.to_json(),
            "full_delta": difference(ours[None], old, user).to_json()}


def _ask(systems: dict[str, Score], asked: Queries, whole: Queries, shop: Log) -> dict[str, np.ndarray]:
    """Where seen items are not offered, those of the whole history are not, however little of it is known."""
    if not shop.masked:
        return ask(systems, asked)
    found: dict[str, list[np.ndarray]] = {name: [] for name in systems}
    from recsys_core.metrics import ranking_metrics

    for row in range(len(asked)):
        seen = whole.histories[row:row + 1]
        targets = asked.targets[asked.target_indptr[row]:asked.target_indptr[row + 1]]
        for name, score in systems.items():
            found[name].append(ranking_metrics(score(asked.histories[row:row + 1]), np.array([0, len(targets)]), targets,
                                               exclude=(seen.indptr, seen.items))["ndcg@10"])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _add_sasrec(values: dict[int | None, dict[str, np.ndarray]], questions: Queries, shop: Log) -> None:
    from recsys_core.metrics import ranking_metrics

    if not (SASREC / "steps.npz").is_file():
        run_peer("sasrec_steps.py", SASREC)
    steps = dict(np.load(SASREC / "steps.npz"))
    for length in LENGTHS[1:]:
        if length is None:
            scores = peer_scores(SASREC / "sasrec.npz", shop.events, shop.catalogue)
        else:
            path = SASREC / f"scores_{length}.npz"
            np.savez(path, user=steps["user"], item=steps["item"], scores=steps[f"scores_{length}"])
            scores = peer_scores(path, shop.events, shop.catalogue)
        values[length]["SASRec"] = ranking_metrics(
            scores[questions.user], questions.target_indptr, questions.targets,
            exclude=(questions.histories.indptr, questions.histories.items))["ndcg@10"]


def one_for_all(ranker: Ranker, choices: Queries) -> np.ndarray:
    """The weights as they were chosen before: one set, on histories as they are, from weights set by hand."""
    config = ranker.config
    start = Ranker(config, ranker.catalogue, ranker.counts, hand_set(), {})
    situations = [(*situation[:3], KNOTS[-1]) for situation in start.situations(choices, np.random.default_rng(config.seed))]
    found = join_situations(situations)
    weights = fit_weights(found, hand_set(), config.ridge, 1e-9)
    seen = found.features[PART_NAMES.index("repeat")] > 0
    weights = fit_head(found, weights, seen=seen, top=config.head, ridge=config.head_ridge, smooth=1e-9,
                       share=config.head_share)
    return np.tile(weights[-1], (len(KNOTS), 1))


def base_before(shop: Log) -> Ranker:
    counted = fit_ranker(shop.events.before(shop.chosen_from), shop.catalogue, RankerConfig(), weights=hand_set())
    weights = one_for_all(counted, shop.choices())
    return fit_ranker(shop.train, shop.catalogue, RankerConfig(), weights=weights)


def amazon_delta() -> dict:
    """The published test rows, counts of the train period, blend chosen on the valid period: now against before."""
    catalogue, events, train = amazon.read_events()
    choices = make_queries(events, 0, 2**40, target=~train, max_history=amazon.HISTORY)
    now = fit_ranker(events.where(train), catalogue, RankerConfig(), validation=choices)
    before = Ranker(now.config, catalogue, now.counts, one_for_all(now, choices), {})
    test = pl.read_parquet(amazon.folder() / "test.parquet")
    past = order_only_histories([[catalogue.row_of[str(i)] for i in history] for history in test["history"]])
    targets = np.array([catalogue.row_of[str(i)] for i in test["target"]], np.int32)
    questions = Queries(np.arange(len(targets)), np.zeros(len(targets), np.int64), past, np.arange(len(targets) + 1), targets)
    found = ask({"now": now.score, "before": before.score}, questions)
    return difference(found["now"], found["before"], test["user_id"].to_numpy()).to_json()


def plot(tables: dict[str, list[dict]], path: Path) -> None:
    """NDCG@10 by known steps, a panel a shop, a line a system."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(tables), figsize=(4.2 * len(tables), 3.4), constrained_layout=True)
    for axis, (name, rows) in zip(axes, tables.items(), strict=True):
        labels = [str(row["known steps"]) for row in rows]
        for system in ("this ranker", "popularity", "personal frequency", "item-kNN", "last item", "SASRec"):
            line = [row[system] for row in rows]
            if any(value is not None for value in line):
                axis.plot(labels, [np.nan if v is None else v for v in line], marker="o", markersize=3,
                          linewidth=2 if system == "this ranker" else 1, label=system)
        axis.set(title=name, xlabel="known steps", ylabel="NDCG@10")
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def bars(part: dict) -> list[Bar]:
    """What little history is worth, that more never hurts, and that full histories lost nothing."""
    shops, deltas = part["shops"], part["deltas"]
    rows = [row for found in shops.values() for row in found["rows"]]
    worst, first = min(rows, key=lambda row: row["low"]), shops["embedded shop"]["one_over_none"]
    hurts = {name: found["hurts"] for name, found in shops.items() if found["hurts"]}
    lost = min(deltas, key=lambda name: deltas[name]["low"])
    return [
        Bar("fewshot.history_never_hurts", float(not hurts), "==", 1, n=len(rows),
            note=f"pairs of lengths in {len(shops)} shops where the longer is significantly worse: {json.dumps(hurts)}"),
        Bar("fewshot.one_step_over_none_low", first["low"], ">", 0, first["low"], first["high"], first["clusters"],
            f"embedded shop, NDCG@10 with one known step over none, mean {first['mean']:+.4f}; the value is the lower end"),
        Bar("fewshot.worst_margin_low", worst["low"], ">=", -0.002, worst["low"], worst["high"], worst["questions"],
            f"{worst['shop']}, {worst['known steps']} known steps, over {worst['best rival']}: mean {worst['margin']:+.4f}; the "
            f"lowest lower end of {len(rows)} lengths and shops"),
        Bar("fewshot.full_history_delta_low", deltas[lost]["low"], ">=", -0.002, deltas[lost]["low"], deltas[lost]["high"],
            deltas[lost]["clusters"], f"{lost}; against one set of weights chosen on histories as they are; means "
            + ", ".join(f"{name} {delta['mean']:+.4f}" for name, delta in deltas.items())
            + f"; blends chosen on at most {CHOICES} steps; the value is the lowest lower end")]
