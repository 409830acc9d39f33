"""`recsys check-shop`: read the beginning of every file, say what it is, and propose a `shop.yaml`; nothing is written."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from recsys_core.cleaning import REASONS, CleaningConfig, clean_events, clean_items
from recsys_core.errors import RecsysError, ShopError
from recsys_core.ingestion import Shop, open_settings, open_shop
from recsys_core.inspection.proposal import Proposal, Sample, propose
from recsys_core.reading import file_format, meet, read_head

SHOP_FILE = "shop.yaml"
DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.")
LARGE = 400 << 20  # bytes of a file that is not read whole
MOST_ROWS = 20_000  # of a sample of events, which are cleaned on trial


@dataclass
class ShopInspection:
    """What a folder holds.

    Args:
        folder: the shop.
        files: one line for each file.
        findings: what was seen, one sentence each.
        settings: the
            proposed fields of shop.yaml, {} where the folder opens as it is.
        error: why it does not open, "" if it does.
        large: a file is too large to be read whole in a minute.
    """

    folder: Path
    files: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    large: bool = False

    @property
    def shop_yaml(self) -> str:
        """The proposed file, "" where none is needed."""
        return yaml.safe_dump(self.settings, sort_keys=False, allow_unicode=True, width=110) if self.settings else ""

    def __str__(self) -> str:
        parts = [f"{self.folder}", *(f"  {line}" for line in self.files)]
        parts += ["", "What was seen", *(f"- {line}" for line in self.findings)]
        if self.error:
            parts += ["", f"Does not open yet: {self.error}"]
        if self.settings:
            parts += ["", f"{SHOP_FILE} to start from", "", self.shop_yaml.rstrip()]
        return "\n".join(parts)


def inspect_shop(folder: str | Path) -> ShopInspection:
    """Look into a folder of files and say how it can be read as a shop.

    Args:
        folder: with or without a shop.yaml; one that opens is only reported on.

    Raises:
        ShopError: it is no folder, or no file in it can be read.
    """
    base = Path(folder).expanduser()
    if not base.is_dir():
        raise ShopError(str(base), "is not a folder", "name the folder that holds the shop's files")
    found = ShopInspection(base)
    with _listening(found):
        _inspect(base, found)
    found.findings = list(dict.fromkeys(found.findings))
    return found


class _Listener(logging.Handler):
    """Keeps what reading has to say about a file."""

    def __init__(self, found: ShopInspection) -> None:
        super().__init__(logging.INFO)
        self.found = found

    def emit(self, record: logging.LogRecord) -> None:
        self.found.findings.append(record.getMessage().replace(f"{self.found.folder}/", ""))


@contextmanager
def _listening(found: ShopInspection) -> Iterator[None]:
    """What the reading of files logs becomes findings, and stays off the console."""
    loggers = [logging.getLogger(f"recsys_core.{room}") for room in ("reading", "ingestion", "cleaning")]
    before = [(one, one.level, one.propagate) for one in loggers]
    listener = _Listener(found)
    for one in loggers:
        one.addHandler(listener)
        one.setLevel(logging.INFO)
        one.propagate = False
    try:
        yield
    finally:
        for one, level, propagate in before:
            one.removeHandler(listener)
            one.setLevel(level)
            one.propagate = propagate


def _inspect(base: Path, found: ShopInspection) -> None:
    samples = [sample for sample in _samples(base, found) if sample.rows.width]
    if not samples:
        raise ShopError(str(base), "holds no file that can be read", "deliver CSV, JSON Lines or parquet")
    found.large = max(sample.path.stat().st_size for sample in samples) > LARGE
    shop = _opened(base, found)
    if shop is None:
        proposal = propose(samples)
        found.findings += proposal.notes
        shop = _with_proposal(base, proposal, found)
    if shop is not None and not found.large:
        _describe(shop, found)
    elif shop is not None:
        found.findings.append("A file is too large to be read whole here: days, ids and reasons are left to the first night.")


def _samples(base: Path, found: ShopInspection) -> Iterator[Sample]:
    """The beginning of every file; of day drops the first one speaks for all."""
    for place in (base, *sorted(path for path in base.iterdir() if path.is_dir() and path.name[0] not in "._")):
        drops = 0
        for path in sorted(place.iterdir()):
            if not path.is_file() or file_format(path) is None or path.name[0] in "._":
                continue
            drops += bool(DAY.match(path.name))
            if drops > 1 and DAY.match(path.name):
                continue
            try:
                rows = read_head(path)
            except ShopError as error:
                found.files.append(f"{path.relative_to(base)}: {error.culprit}")
                continue
            found.files.append(f"{path.relative_to(base)}: {path.stat().st_size:,} bytes; {', '.join(rows.columns)}")
            folder = "" if not DAY.match(path.name) else "." if place == base else place.name
            if place == base or folder:
                yield Sample(path, rows, folder)
        if drops > 1:
            found.files.append(f"{place.name if place != base else '.'}/: {drops} files named by their day")


def _opened(base: Path, found: ShopInspection) -> Shop | None:
    """The shop as it is, if its headers fit."""
    try:
        shop = open_shop(base)
        if not found.large:
            shop.days()
        return shop
    except RecsysError as error:
        found.error = str(error)
        return None


def _with_proposal(base: Path, proposal: Proposal, found: ShopInspection) -> Shop | None:
    if "events" not in proposal.tables:
        return None
    found.settings = {"name": base.resolve().name, **proposal.settings}
    try:
        shop = open_settings(found.settings, base)
        if not found.large:
            shop.days()
    except RecsysError as error:
        found.error = str(error)
        return None
    found.error = ""
    return shop


def _describe(shop: Shop, found: ShopInspection) -> None:
    """Days, event types, prices, whether tables meet, and what a first day's cleaning would set aside."""
    try:
        days = shop.days()
        found.findings.append(f"{len(days)} days, {days[0]} to {days[-1]}." if days else "No day has events.")
        drop = next(shop.events(days[0], days[0]), None) if days else None
        items = shop.items()
        if drop is None:
            return
        events = drop.events.head(MOST_ROWS)
        counts = events["event_type"].value_counts(sort=True)
        found.findings.append(f"The first day has {drop.events.height:,} events: "
                              + ", ".join(f"{count:,} {name}" for name, count in counts.iter_rows()) + ".")
        prices = events["price"].drop_nulls().drop_nans()
        if len(prices):
            found.findings.append(f"Prices from {min(prices):g} to {max(prices):g}, as in {prices.head(3).to_list()}.")
        if drop.rejects.height:
            line, reason = drop.rejects.select("line", "reason").row(0)
            found.findings.append(f"{drop.rejects.height:,} lines cannot be read, e.g. line {line}: {reason}.")
        _describe_categories(items["category"], found)
        _describe_meeting("items", events["item_id"], items["item_id"], found)
        if (users := shop.users()) is not None:
            _describe_meeting("users", events["user_id"], users["user_id"], found)
        config = CleaningConfig(time_zone=shop.config.time_zone, lateness_days=shop.config.lateness_days,
                                order_only=shop.config.order_only)
        reasons = clean_events(events, clean_items(items)["item_id"], config, drop.day).quarantined["reason"]
        for reason, count in reasons.value_counts(sort=True).iter_rows():
            found.findings.append(f"{count:,} of {events.height:,} events of the first day would be set aside: {reason} "
                                  f"({REASONS[reason]}).")
    except RecsysError as error:
        found.error = str(error)


def _describe_meeting(table: str, asked: pl.Series, known: pl.Series, found: ShopInspection) -> None:
    meeting = meet(asked.str.strip_chars(), known.str.strip_chars())
    if meeting.asked:
        words = f", {meeting}" if meeting.strangers else ""
        found.findings.append(f"{1 - meeting.share:.0%} of the events meet the {table} table{words}.")


def _describe_categories(categories: pl.Series, found: ShopInspection) -> None:
    """A sign that may separate levels, or only words: only the shop knows."""
    for sign in ("|", "/", ".", ";"):
        holding = categories.filter(categories.str.contains(sign, literal=True).fill_null(False))
        if len(holding) > 0.5 * categories.count():
            found.findings.append(f"Categories such as {holding[0]!r} are one level each. If {sign!r} separates levels, broadest "
                                  f"first, say category_separator: {sign!r}.")
            return
