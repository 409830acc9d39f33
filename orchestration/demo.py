"""What `make demo` prints at its end: how good it is, where everything lies, and the bundle at work."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestration.command import told_in_one_line

with told_in_one_line(__name__):
    from assets.partitions import Home

import polars as pl

from recsys_core.artefacts import read_json
from recsys_core.evaluation import AUDIENCES, METHOD_NAMES, SLICE_NAMES, Results, SegmentResult, name_audiences
from recsys_core.features import read_features
from recsys_core.promotions import NEW_ARRIVALS
from recsys_core.serving import Bundle, Recommendation

SHOWN = 5  # items of a list
METRICS = ("ndcg@10", "recall@10", "hr@10", "mrr@10")


def summary(home: Path) -> Iterator[str]:
    """The lines of the summary.

    Raises:
        RecsysError: the report or the bundle is missing or broken.
    """
    results = Results.model_validate(read_json(home / "report" / "metrics.json"))
    bundle = Bundle.load(home / "bundle")
    yield from _table(results)
    yield ""
    yield from _places(home)
    yield ""
    yield from _segments(results)
    yield ""
    yield from _adapted(bundle, results, home)
    yield ""
    yield from _shelf(bundle, home)
    yield ""
    yield from _search(bundle)


def _table(results: Results) -> Iterator[str]:
    """Ranking metrics on the report window; repeat and first-time targets apart."""
    window = next((w for w in results.windows if w.name == "report"), None)
    if window:
        yield f"Ranking the whole catalogue, {window.first} … {window.last}, {window.queries:,} questions:"
    measured = [m for m in METRICS if any(m in row.metrics.get("all", {}) for row in results.methods)]
    slices = [name for name in ("repeat", "first_time") if any(name in row.metrics for row in results.methods)]
    heads = [*measured, *(f"{results.metric} {SLICE_NAMES[name]}" for name in slices)]
    yield f"  {'':<22}" + "".join(f"{head:>20}" for head in heads)
    for row in results.methods:
        cells = [row.metrics.get("all", {}).get(name) for name in measured]
        cells += [row.metrics.get(name, {}).get(results.metric) for name in slices]
        yield f"  {METHOD_NAMES.get(row.method, row.method):<22}" + "".join(
            f"{'–' if cell is None else format(cell.mean, '.4f'):>20}" for cell in cells)


def _places(home: Path) -> Iterator[str]:
    for name, place in {"report": home / "report" / "report.html", "bundle": home / "bundle",
                        "MLflow": home / "mlflow.db"}.items():
        yield f"{name:<8} {place}"


def _segments(results: Results) -> Iterator[str]:
    """One promoted and one refused segment: the promoted one that gained most, the refused one with most shots."""
    promoted = [s for s in results.segments if s.decision == "promoted"]
    refused = [s for s in results.segments if s.decision == "refused"]
    yield f"Segments: {len(promoted)} of {len(results.segments)} promoted."
    shown = [max(promoted, key=_gained, default=None), max(refused, key=lambda s: s.shots, default=None)]
    for segment in filter(None, shown):
        yield f"  {segment.decision}: {segment.name} ({segment.kind}, {segment.shots:,} shots): {segment.reason}"
        for audience in AUDIENCES:
            found = segment.by_audience.get(audience)
            if found and found.gain:
                yield (f"    {AUDIENCES[audience]}: {results.metric} {found.ndcg['base']:.4f} → {found.ndcg['adapted']:.4f}, "
                       f"{found.gain.mean:+.4f} [{found.gain.low:+.4f}, {found.gain.high:+.4f}]")


def _gained(segment: SegmentResult) -> float:
    return segment.gain.mean if segment.gain else 0.0


def _adapted(bundle: Bundle, results: Results, home: Path) -> Iterator[str]:
    """One list from the base and from what was promoted: a family's largest member, or the segment that gained most."""
    promoted = [s for s in results.segments if bundle.segments.get(s.name, {}).get("decision") == "promoted"]
    chosen = max(promoted, key=lambda s: (bool(s.by), _gained(s)), default=None)
    if chosen is None:
        yield "No segment was promoted: everybody's list is the base's."
        return
    known, said = _known(home, chosen)
    asked, where = _request(bundle, chosen)
    yield f"Before adaptation, {said}{where}:"
    yield from _items(bundle, bundle.recommend(known, SHOWN, **{**asked, "segment": None}))
    after = bundle.recommend(known, SHOWN, **asked)
    yield f"after adaptation to {after[0].segment or 'nothing'} ({chosen.name} pays for {name_audiences(chosen.audiences)}):"
    yield from _items(bundle, after)


def _known(home: Path, segment: SegmentResult) -> tuple[list[str], str]:
    """A history that the segment was promoted for, in words, too."""
    if "none" in segment.audiences:
        return [], "a shopper without history"
    shopper, history = _shopper(home)
    history = history if "full" in segment.audiences else history[-1:]
    return history, f"shopper {shopper}, {len(history)} known events"


def _request(bundle: Bundle, segment: SegmentResult) -> tuple[dict[str, Any], str]:
    """What a request says to be a segment's, or that of the family's member with most shots; the latter in words, too."""
    if not segment.by:
        return {"segment": segment.name, "at": bundle.segments[segment.name].get("start")}, ""  # scenes: only in their days
    family, (table, column) = bundle.parts.families[segment.name], segment.by.split(".", 1)
    member = max(family.members, key=family.shots)
    where = f", {column} {member} ({family.shots(member):,} shots)"
    return {"segment": "auto", "context" if table == "context" else "user": {column: member}}, where


def _shopper(home: Path) -> tuple[str, list[str]]:
    """The most active shopper and what they took, oldest first."""
    events = read_features(home / "features", "interactions")
    count = events.group_by("user_id").len().sort("len", "user_id", descending=[True, False])
    shopper = count.head(1).collect()["user_id"][0]
    taken = events.filter(pl.col("user_id") == shopper).sort("timestamp", "item_id").tail(100)
    return shopper, taken.collect()["item_id"].to_list()


def _shelf(bundle: Bundle, home: Path) -> Iterator[str]:
    """One shelf of the data's last day for the most active shopper: the shop's first one, or the newest items."""
    shelves, day = bundle.parts.shelves, bundle.parts.newest_day
    names = sorted(shelves.names, key=lambda name: name == NEW_ARRIVALS)
    name = next((name for name in names if shelves.allowed(name, day)[0] is not None), None)
    if name is None:
        yield f"No shelf holds anything on {day}."
        return
    shopper, history = _shopper(home)
    yield f"Shelf {name} on {day}, for shopper {shopper}:"
    yield from _items(bundle, bundle.recommend(history, SHOWN, shelf=name))


def _search(bundle: Bundle) -> Iterator[str]:
    """One search, for the category words of the most popular item."""
    items = bundle.catalogue.items
    best = items.row(int(bundle.popularity.argmax()), named=True)
    query = (best["category"] or best["title"]).split(" > ")[-1].lower()
    yield f"Search for “{query}”:"
    yield from _items(bundle, bundle.search(query, SHOWN))


def _items(bundle: Bundle, answers: list[Recommendation]) -> Iterator[str]:
    for place, answer in enumerate(answers, 1):
        text = bundle.catalogue.items["text"][bundle.catalogue.row_of[answer.item_id]]
        yield f"  {place}. {answer.item_id:<12} {answer.score:7.2f}  {text[:70]}"


def main() -> int:
    """Print the summary of RECSYS_HOME."""
    for line in summary(Home.from_environment().path):
        print(line)
    return 0


if __name__ == "__main__":
    with told_in_one_line(__name__):
        sys.exit(main())
