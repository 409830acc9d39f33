"""What `make demo` prints at its end: how good it is, where everything lies, and the bundle at work."""

import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from assets.partitions import Home
from recsys_core.artefacts import read_json
from recsys_core.errors import RecsysError
from recsys_core.evaluation.results import METHOD_NAMES, SLICE_NAMES, Results, SegmentResult
from recsys_core.serving.bundle import Bundle, Recommendation

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
    yield from _lists(bundle, results, home)
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
    if promoted:
        yield "  " + _segment_line(max(promoted, key=_gained))
    if refused:
        yield "  " + _segment_line(max(refused, key=lambda s: s.shots))


def _segment_line(segment: SegmentResult) -> str:
    gain, curve = segment.gain, segment.curve
    measured = f", NDCG@10 {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]" if gain else ""
    pays = f", {f'pays from K = {segment.break_even} on' if segment.break_even else 'pays at no K'}" \
        if curve and curve.points else ""
    return (f"{segment.decision}: {segment.name} (K = {segment.shots}, {segment.method or 'none'}{measured}{pays}): "
            f"{segment.reason}")


def _gained(segment: SegmentResult) -> float:
    return segment.gain.mean if segment.gain else 0.0


def _lists(bundle: Bundle, results: Results, home: Path) -> Iterator[str]:
    """One shopper's list from the base and from the promoted segment that gained most."""
    promoted = [s for s in results.segments if bundle.segments.get(s.name, {}).get("decision") == "promoted"]
    segment = max(promoted, key=_gained).name if promoted else None
    shopper, history = _shopper(home, segment)
    yield f"Shopper {shopper}, {len(history)} events; before adaptation:"
    yield from _items(bundle, bundle.recommend(history, SHOWN))
    if segment is None:
        yield "No segment was promoted: after adaptation the list is the same."
        return
    yield f"after adaptation to {segment}:"
    at = bundle.segments[segment]["start"]  # a scene answers only in its own days
    yield from _items(bundle, bundle.recommend(history, SHOWN, segment=segment, at=at))


def _shopper(home: Path, segment: str | None) -> tuple[str, list[str]]:
    """The segment's (or the shop's) most active shopper and what they took, oldest first."""
    events = pl.scan_parquet(home / "features" / "interactions.parquet")
    if segment is not None:
        mine = pl.scan_parquet(home / "features" / "segment_events.parquet").filter(pl.col("segment") == segment)
        counted = events.join(mine, on="event_id", how="semi")
    else:
        counted = events
    count = counted.group_by("user_id").len().sort("len", "user_id", descending=[True, False])
    shopper = count.head(1).collect()["user_id"][0]
    taken = events.filter(pl.col("user_id") == shopper).sort("timestamp", "item_id").tail(100)
    return shopper, taken.collect()["item_id"].to_list()


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
    try:
        for line in summary(Home.from_environment().path):
            print(line)
    except RecsysError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
