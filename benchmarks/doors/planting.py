"""A shop whose every record is known, written to disk in the spelling that its faults ask for."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

COLUMNS = ("event_id", "user_id", "timestamp", "event_type", "item_id", "price", "query")
PACKERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@dataclass
class Truth:
    """One planted event. `None` in price or query: nothing is said."""

    event_id: str
    user_id: str
    moment: datetime
    item_id: str
    price: float | None
    query: str | None


@dataclass
class Plant:
    """A shop before it is written.

    Args:
        rng: source of every choice. truth: the planted events. zone: of the shop. spell: column → from truth to its text.
        kind: csv, jsonl, array, pretty or parquet. dirt: raw lines put among the records, each one a record.
    """

    rng: random.Random
    truth: list[Truth]
    zone: str = "UTC"
    spell: dict[str, Callable[[Truth], Any]] = field(default_factory=dict)
    kind: str = "csv"
    delimiter: str = ","
    encoding: str = "utf-8"
    line_end: str = "\n"
    quote_all: bool = False
    escape: bool = False
    pack: str = ""
    name: str = "events.csv"
    prefix: str = ""
    index: bool = False
    trailing: bool = False
    blank_lines: bool = False
    dirt: list[bytes] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    types: dict[str, Any] = field(default_factory=dict)
    stray: dict[int, str] = field(default_factory=dict)  # row → a raw text for its query field
    ids_as: Callable[[str], str] = str
    faults: list[str] = field(default_factory=list)

    @property
    def records(self) -> int:
        """Delivered records, dirt included."""
        return len(self.truth) + len(self.dirt)

    def local(self, moment: datetime) -> datetime:
        """The shop's clock."""
        return moment.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)

    def rows(self) -> list[dict[str, Any]]:
        plain: dict[str, Callable[[Truth], Any]] = {
            "event_id": lambda t: t.event_id, "user_id": lambda t: t.user_id, "item_id": lambda t: t.item_id,
            "timestamp": lambda t: self.local(t.moment).isoformat(sep=" "), "event_type": lambda t: "view",
            "price": lambda t: "" if t.price is None else f"{t.price:.2f}", "query": lambda t: t.query or ""}
        spelled = {**plain, **self.spell}
        return [{name: spelled[name](one) for name in COLUMNS} for one in self.truth]

    def write(self, folder: Path) -> None:
        """The shop's files in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        items = sorted({one.item_id for one in self.truth})
        body = "item_id,title\n" + "".join(f"{self.ids_as(item)},Thing {item}\n" for item in items)
        (folder / "items.csv").write_text(body, encoding="utf-8")
        (folder / "shop.yaml").write_text(json.dumps({"time_zone": self.zone, **self.settings}), encoding="utf-8")
        (folder / self.name).write_bytes(self._packed(self._bytes()))

    def _packed(self, data: bytes) -> bytes:
        if self.pack != "zip":
            return PACKERS[self.pack](data)
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("export.csv", data)
        return target.getvalue()

    def _bytes(self) -> bytes:
        rows = self.rows()
        if self.kind == "parquet":
            target = io.BytesIO()
            columns = {name: [row[name] if row[name] != "" else None for row in rows] for name in COLUMNS}
            frame = pl.DataFrame(columns, strict=False)
            frame.cast(self.types).write_parquet(target)
            return target.getvalue()
        if self.kind == "csv":
            return self._separated(rows)
        said = [{name: value for name, value in row.items() if value != ""} for row in rows]
        if self.kind == "jsonl":
            lines = [json.dumps(row, ensure_ascii=False).encode() for row in said]
            return b"\n".join(self._with_dirt(lines)) + b"\n"
        if self.kind == "array":
            return json.dumps(said, ensure_ascii=False, indent=self.rng.choice([None, 1])).encode()
        return "\n".join(json.dumps(row, ensure_ascii=False, indent=2) for row in said).encode()

    def _separated(self, rows: list[dict[str, Any]]) -> bytes:
        lines = []
        for number, row in enumerate(rows):
            target = io.StringIO()
            writer = csv.writer(target, delimiter=self.delimiter, lineterminator="\n", doublequote=not self.escape,
                                escapechar="\\" if self.escape else None,
                                quoting=csv.QUOTE_ALL if self.quote_all else csv.QUOTE_MINIMAL)
            values = [str(row[name]) for name in COLUMNS]
            if number in self.stray:
                writer.writerow(values[:-1])
                line = target.getvalue()[:-1] + self.delimiter + self.stray[number]
            else:
                writer.writerow(values)
                line = target.getvalue()[:-1]
            lines.append((f"{number}{self.delimiter}" if self.index else "") + line + (self.delimiter if self.trailing else ""))
        header = self.delimiter.join((*([""] if self.index else []), *COLUMNS)) + (self.delimiter if self.trailing else "")
        body = self._with_dirt([line.encode(self.encoding) if self.encoding != "utf-16" else line.encode() for line in lines])
        if self.blank_lines:
            body = [part for line in body for part in (line, b"")]
        end = self.line_end.encode()
        data = end.join([self.prefix.encode() + header.encode(), *body]) + end
        return data.decode().encode("utf-16") if self.encoding == "utf-16" else data

    def _with_dirt(self, lines: list[bytes]) -> list[bytes]:
        lines = list(lines)
        for one in self.dirt:
            lines.insert(self.rng.randint(1, len(lines)), one)
        return lines


def plant(rng: random.Random) -> Plant:
    """A clean shop of 6 to 40 events on up to 20 days."""
    start = datetime(2024, 1, rng.randint(1, 10), tzinfo=UTC)
    truth = []
    for n in range(rng.randint(6, 40)):
        moment = start + timedelta(days=rng.randint(0, 19), hours=rng.randint(7, 18),
                                   minutes=rng.randint(0, 59), seconds=rng.randint(0, 59))
        price = round(rng.uniform(1.01, 2000), 2) if rng.random() < 0.8 else None
        query = rng.choice([None, "red mug", "Größe 5", "tea, set", 'the "best"', "a\nb", "日本"])
        truth.append(Truth(f"e{n}", f"u{rng.randint(1, 9)}", moment, f"{rng.randint(1, 30):03d}", price, query))
    return Plant(rng, truth, rng.choice(["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"]))
