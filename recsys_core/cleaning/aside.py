"""What a run sets aside, in words: how much of which day or file, why, and one example; too much stops the run."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict

import polars as pl

from recsys_core.errors import DataError
from recsys_core.reading import Meeting, meet

log = logging.getLogger(__name__)

# A shop's daily business: guests, and scripts that only look. They say nothing about how well its files were read.
USUAL = ("missing_user", "bot_burst", "click_flood")
# Rows without a day of their own come with a file's first day, so only the file's records are their measure.
WITHOUT_DAY = ("missing_timestamp", "before_1971", "future", "late")
TOLD_BY = {  # reason → the column that shows it
    "missing_timestamp": "source", "unknown_event_type": "event_type", "missing_query": "source", "query_too_long": "query",
    "missing_item": "source", "unknown_item": "item_id", "before_1971": "timestamp", "future": "timestamp",
    "late": "timestamp", "bad_price": "price", "bad_quantity": "quantity", "conflicting_event_id": "event_id",
    "missing_user": "source", "bot_burst": "timestamp", "click_flood": "item_id",
}
WORTH_A_WARNING = 0.01
FEW = 5  # fewer records stop nothing unless they are all that the run has
STRANGERS = 0.5  # a larger share of unknown items means that two tables do not meet
FIXES = {
    "unknown_item": "write the ids of items and events alike, as text, or map another column in shop.yaml",
    "unknown_event_type": "translate the types in shop.yaml: event_types: {theirs: ours}",
    "missing_timestamp": "say timestamp_format in shop.yaml",
}


class SetAside:
    """The tally of a run: records and reasons by day and by file.

    Args:
        limit: largest share of a day's or a file's records that may be set aside, guests and bots not counted.
        known_items: String, the ids of the clean catalogue.
    """

    def __init__(self, limit: float, known_items: pl.Series) -> None:
        self.limit, self.known_items = limit, known_items
        self.records: Counter[str] = Counter()
        self.reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.days: set[str] = set()
        self.rows = self.lost = 0
        self.examples: dict[tuple[str, str], str] = {}
        self.strangers: dict[str, Meeting] = {}

    def add(self, day: str, rows: pl.DataFrame, quarantined: pl.DataFrame) -> None:
        """Count a day: the raw rows it was made of, and those of them that were set aside."""
        self.days.add(day)
        self.rows += rows.height
        self.lost += quarantined.filter(~pl.col("reason").is_in(USUAL)).height
        self._count(day, rows.height, quarantined)
        for (source,), part in rows.select("source").group_by("source"):
            if source != day:
                self._count(str(source), part.height, quarantined.filter(pl.col("source").eq_missing(pl.lit(source))))
        unknown = quarantined.filter(pl.col("reason") == "unknown_item")
        if unknown.height > STRANGERS * rows["item_id"].count():
            self.strangers[day] = meet(unknown["item_id"], self.known_items)

    def _count(self, place: str, records: int, quarantined: pl.DataFrame) -> None:
        self.records[place] += records
        for reason, count in quarantined["reason"].value_counts().iter_rows():
            self.reasons[place][reason] += count
            if (place, reason) not in self.examples:
                first = quarantined.filter(pl.col("reason") == reason)[TOLD_BY[reason]][0]
                self.examples[place, reason] = f"{TOLD_BY[reason]} {str(first)[:60]!r}"

    def check(self) -> None:
        """Say what was set aside, and stop if it is too much.

        Raises:
            DataError: most events of a day name items that the catalogue lacks, or a day or a file is over the limit.
        """
        for day, meeting in self.strangers.items():
            count = self.reasons[day]["unknown_item"]
            if count >= FEW or self.lost == self.rows:
                raise DataError("clean_events", f"{count:,} of {self.records[day]:,} events of {day} name an item_id that the "
                                f"catalogue lacks (unknown_item), {meeting}", FIXES["unknown_item"])
        shares = {place: self._counted(place).total() / records for place, records in self.records.items() if records}
        for place, share in sorted(shares.items(), key=lambda pair: -pair[1]):
            counted = self._counted(place).total()
            if share > self.limit and (counted >= FEW or self.lost == self.rows):
                top = self._counted(place).most_common(1)[0][0]
                fix = FIXES.get(top, "deliver the records again")
                raise DataError("clean_events", self._words(place, share, self._counted(place)),
                                f"{fix}, or raise max_set_aside ({self.limit:g}) in shop.yaml")
        days = [day for day in self.days if self.reasons[day].total() > WORTH_A_WARNING * self.records[day]]
        if days:
            worst = max(days, key=lambda place: self.reasons[place].total() / self.records[place])
            more = f"; {len(days) - 1} other days have more than {WORTH_A_WARNING:.0%}" if len(days) > 1 else ""
            log.warning("%s%s", self._words(worst, self.reasons[worst].total() / self.records[worst], self.reasons[worst]), more)

    def _counted(self, place: str) -> Counter[str]:
        left_out = (*USUAL, *WITHOUT_DAY) if place in self.days else USUAL
        return Counter({reason: count for reason, count in self.reasons[place].items() if reason not in left_out})

    def _words(self, place: str, share: float, reasons: Counter[str]) -> str:
        counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
        return (f"{reasons.total():,} of {self.records[place]:,} events of {place} are set aside ({share:.1%}: {counts}), "
                f"e.g. {self.examples[place, reasons.most_common(1)[0][0]]}")
