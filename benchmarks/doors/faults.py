"""Faults that can be laid over a planted shop, by the part they touch; at most one of each part is laid over one shop.

A fault either changes a spelling and leaves the truth, or changes the truth with it (a value that is missing), or adds records
that cannot be read. So whatever a shop loads as can be held against what was planted.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta, timezone

import polars as pl

from benchmarks.doors.planting import Plant, Truth, plant

Fault = Callable[[Plant], None]
TIMES: dict[str, Fault] = {}
IDS: dict[str, Fault] = {}
PRICES: dict[str, Fault] = {}
FORMATS: dict[str, Fault] = {}
DIRT: dict[str, Fault] = {}
PARTS = {"times": TIMES, "ids": IDS, "prices": PRICES, "formats": FORMATS, "dirt": DIRT}


def _spelling(column: str, write: Callable[[Plant, Truth], object]) -> Fault:
    def lay(shop: Plant) -> None:
        shop.spell[column] = lambda one: write(shop, one)
    return lay


def _time(text: str, **settings: str) -> Fault:
    """Local time in a strftime format."""
    def lay(shop: Plant) -> None:
        shop.spell["timestamp"] = lambda one: shop.local(one.moment).strftime(text)
        shop.settings.update(settings)
    return lay


def _whole_minutes(fault: Fault) -> Fault:
    def lay(shop: Plant) -> None:
        shop.truth = [replace(one, moment=one.moment.replace(second=0)) for one in shop.truth]
        fault(shop)
    return lay


def _whole_hours(fault: Fault) -> Fault:
    def lay(shop: Plant) -> None:
        shop.truth = [replace(one, moment=one.moment.replace(minute=0, second=0)) for one in shop.truth]
        fault(shop)
    return lay


def _local_midnights(shop: Plant) -> None:
    shop.zone = "UTC"
    shop.truth = [replace(one, moment=one.moment.replace(hour=0, minute=0, second=0)) for one in shop.truth]


def _dates(text: str) -> Fault:
    def lay(shop: Plant) -> None:
        _local_midnights(shop)
        _time(text)(shop)
    return lay


def _decided(text: str) -> Fault:
    """Day and month in an order that a value above 12 decides."""
    def lay(shop: Plant) -> None:
        first = shop.truth[0]
        shop.truth[0] = replace(first, moment=first.moment.replace(day=25))
        _time(text)(shop)
    return lay


def _epoch(factor: int, form: str = "{}") -> Fault:
    return _spelling("timestamp", lambda _, one: form.format(int(one.moment.timestamp()) * factor))


TIMES.update({
    "iso_t": _time("%Y-%m-%dT%H:%M:%S"), "no_seconds": _whole_minutes(_time("%Y-%m-%d %H:%M")),
    "unpadded_hour": _time("%Y-%m-%d %-H:%M:%S"), "unpadded_day": _time("%Y-%-m-%-d %H:%M:%S"),
    "slash_year_first": _time("%Y/%m/%d %H:%M:%S"), "dots_year_first": _time("%Y.%m.%d %H:%M:%S"),
    "half_days": _time("%Y-%m-%d %I:%M:%S %p"), "day_first": _decided("%d/%m/%Y %H:%M:%S"),
    "month_first": _decided("%m/%d/%Y %H:%M:%S"),
    "day_first_dots": _decided("%d.%m.%Y %-H:%M:%S"), "date_alone": _dates("%Y-%m-%d"), "compact_date": _dates("%Y%m%d"),
    "compact_clock": _time("%Y%m%d%H%M%S"), "compact_iso": _time("%Y%m%dT%H%M%S"), "epoch_s": _epoch(1), "epoch_ms": _epoch(1000),
    "epoch_us": _epoch(10**6), "epoch_ns": _epoch(10**9), "epoch_float": _epoch(1, "{}.0"),
    "fraction": _time("%Y-%m-%dT%H:%M:%S.000"),
    "z": _spelling("timestamp", lambda _, one: f"{one.moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
    "offset": _spelling("timestamp", lambda _, one: one.moment.astimezone(timezone(timedelta(hours=-3,
    minutes=-30))).isoformat()),
    "slash_offset": _spelling("timestamp", lambda _, one:
                              f"{one.moment.astimezone(timezone(timedelta(hours=2))):%Y/%m/%d %H:%M:%S}+02:00"),
    "format": _time("%d %b %Y %H:%M:%S", timestamp_format="%d %b %Y %H:%M:%S"),
    "hour_format": _whole_hours(_time("%Y-%m-%d %H", timestamp_format="%Y-%m-%d %H")),
})


def _zoned_format(shop: Plant) -> None:
    shop.spell["timestamp"] = lambda one: f"{one.moment.astimezone(timezone(timedelta(hours=5))):%d/%b/%Y:%H:%M:%S %z}"
    shop.settings["timestamp_format"] = "%d/%b/%Y:%H:%M:%S %z"


def _z_format(shop: Plant) -> None:
    shop.spell["timestamp"] = lambda one: f"{one.moment:%d-%m-%Y %H:%M:%SZ}"
    shop.settings["timestamp_format"] = "%d-%m-%Y %H:%M:%SZ"


TIMES.update({"zoned_format": _zoned_format, "z_format": _z_format})


def _typed(column: str, dtype: object, first: Callable[[Truth], object] | None = None) -> Fault:
    """A parquet column of another type."""
    def lay(shop: Plant) -> None:
        shop.kind, shop.name = "parquet", "events.parquet"
        shop.types[column] = dtype
        if first:
            shop.spell[column] = first
    return lay


def _integers(shop: Plant) -> None:
    shop.ids_as = lambda item: str(int(item))


def _both(*faults: Fault) -> Fault:
    def lay(shop: Plant) -> None:
        for fault in faults:
            fault(shop)
    return lay


def _missing_among(word: str, column: str) -> Fault:
    """A word for nothing among numbers."""
    def lay(shop: Plant) -> None:
        shop.truth = [replace(one, user_id=str(n)) for n, one in enumerate(shop.truth)]
        shop.truth[-1] = replace(shop.truth[-1], **{column: ""})
        shop.spell[column] = lambda one: getattr(one, column) or word
    return lay


IDS.update({
    "spaces": _spelling("item_id", lambda _, one: f" {one.item_id} "), "nan_user": _missing_among("NaN", "user_id"),
    "null_user": _missing_among("null", "user_id"), "text_floats": _both(_integers, _spelling("item_id", lambda _,
    o: f"{int(o.item_id)}.0")),
    "parquet_floats": _both(_integers, _typed("item_id", pl.Float64, lambda one: float(one.item_id))),
    "parquet_integers": _both(_integers, _typed("item_id", pl.Int32, lambda one: int(one.item_id))),
    "binary": _typed("item_id", pl.Binary), "categorical": _typed("item_id", pl.Categorical),
    "unsigned": _both(_integers, _typed("item_id", pl.UInt64, lambda one: int(one.item_id))),
})
PRICES.update({
    "comma": _spelling("price", lambda _, o: "" if o.price is None else f"{o.price:.2f}".replace(".", ",")),
    "comma_groups": _spelling("price", lambda _, o: "" if o.price is None else f"{o.price:_.2f}".replace(".",
    ",").replace("_", ".")),
    "point_groups": _spelling("price", lambda _, o: "" if o.price is None else f"{o.price:,.2f}"),
    "currency": _spelling("price", lambda _, o: "" if o.price is None else f"$ {o.price:.2f}"),
    "currency_behind": _spelling("price", lambda _, o: "" if o.price is None else f"{o.price:.2f} €"),
    "space_groups": _spelling("price", lambda _, o: "" if o.price is None else f"{o.price:_.2f}".replace("_", " ")),
})
for _word in ("NaN", "NA", "N/A", "NULL", "None", "-", "nan", "null"):
    PRICES[f"word_{_word}"] = _spelling("price", lambda _, one, word=_word: word if one.price is None else f"{one.price:.2f}")


def _range(shop: Plant) -> None:
    shop.truth[0] = replace(shop.truth[0], price=None)
    shop.spell["price"] = lambda one: "12.50-15.00" if one is shop.truth[0] else "" if one.price is None else f"{one.price:.2f}"


PRICES["range"] = _range


def _csv(**changes: object) -> Fault:
    def lay(shop: Plant) -> None:
        for name, value in changes.items():
            setattr(shop, name, value)
    return lay


def _western(shop: Plant) -> None:
    shop.truth = [replace(one, query="Größe 5" if one.query in ("日本", None) else one.query) for one in shop.truth]
    shop.encoding = "cp1252"


def _one_line(fault: Fault) -> Fault:
    """Without texts over several lines."""
    def lay(shop: Plant) -> None:
        shop.truth = [replace(one, query=None if one.query == "a\nb" else one.query) for one in shop.truth]
        fault(shop)
    return lay


FORMATS.update({
    "semicolon": _csv(delimiter=";"), "tab": _csv(delimiter="\t"), "pipe": _csv(delimiter="|"),
    "sep_line": _csv(delimiter=";", prefix="sep=;\n"), "utf16": _csv(encoding="utf-16"), "bom": _csv(prefix="\ufeff"),
    "cp1252": _western, "cr": _one_line(_csv(line_end="\r")), "crlf": _csv(line_end="\r\n"),
    "gz": _csv(pack="gz", name="events.csv.gz"),
    "zip": _csv(pack="zip", name="events.csv.zip"), "bz2": _csv(pack="bz2", name="events.csv.bz2"),
    "xz": _csv(pack="xz", name="events.csv.xz"),
    "gz_as_csv": _csv(pack="gz"), "csv_as_gz": _csv(name="events.csv.gz"), "zip_as_csv": _csv(pack="zip"),
    "upper": _csv(name="EVENTS.CSV"),
    "txt": _csv(name="events.txt"), "csv_as_jsonl": _csv(name="events.jsonl"), "index": _csv(index=True),
    "trailing": _csv(trailing=True),
    "blank_lines": _one_line(_csv(blank_lines=True)), "quoted": _csv(quote_all=True),
    "backslashes": _one_line(_csv(escape=True, quote_all=True)),
    "tsv": _csv(name="events.tsv", delimiter="\t"), "csv_as_tsv": _csv(name="events.tsv"),
    "jsonl": _csv(kind="jsonl", name="events.jsonl"),
    "array": _csv(kind="array", name="events.json"), "array_as_jsonl": _csv(kind="array", name="events.jsonl"),
    "pretty": _csv(kind="pretty", name="events.jsonl"), "jsonl_as_csv": _csv(kind="jsonl"),
    "parquet": _csv(kind="parquet", name="events.parquet"),
    "parquet_as_csv": _csv(kind="parquet"), "parquet_gz": _csv(kind="parquet", pack="gz", name="events.parquet.gz"),
})


def _stray(text: str) -> Fault:
    """An unescaped quote in the query of some rows."""
    def lay(shop: Plant) -> None:
        for at in shop.rng.sample(range(len(shop.truth)), shop.rng.randint(1, 4)):
            shop.truth[at] = replace(shop.truth[at], query=text)
            shop.stray[at] = text
    return lay


def _lost(text: str) -> Fault:
    """A quote that opens a field and never closes, in the query of some rows: those rows cannot be read for certain."""
    def lay(shop: Plant) -> None:
        for at in shop.rng.sample(range(len(shop.truth)), shop.rng.randint(1, 3)):
            shop.stray[at] = text
            shop.truth[at] = replace(shop.truth[at], query=text)
    return lay


def _line(*lines: bytes) -> Fault:
    def lay(shop: Plant) -> None:
        shop.dirt += [shop.rng.choice(lines) for _ in range(shop.rng.randint(1, 3))]
    return lay


DIRT.update({
    "inch_inside": _stray('15" screen'), "inch_at_end": _stray('pipe 5"'), "quoted_inch": _stray('5" x 7" frame'),
    "opening": _lost('"5 pipe'), "short": _line(b"x,y"), "long": _line(b"a,b,c,d,e,f,g,h,i,j"),
    "nul": _line(b"e\0,u1,,view,001,,"),
    "bad_bytes": _line(b"\xff\xfe,u1,,view,001,,"), "half_row": _line(b'x9,u1,"2024'),
    "words": _line(b"-- end of export --", b"(3 rows)"),
})
BY_LINES = ("short", "long", "nul", "bad_bytes", "half_row", "words", "inch_inside", "inch_at_end", "quoted_inch", "opening")
JSON_DIRT: dict[str, bytes] = {"broken": b'{"user_id": "u1", "ti', "no_object": b"[1, 2]", "bad_utf8": b'{"user_id": "\xff"}',
                               "nul_line": b'{"user_id": "\0"}', "surrogate": b'{"user_id": "\\ud83d"}',
                               "text_line": b"end of export"}


def dirty_shop(seed: int) -> Plant:
    """A planted shop with one to four faults."""
    rng = random.Random(seed)
    shop = plant(rng)
    parts = rng.sample(list(PARTS), rng.randint(1, 4))
    for part in sorted(parts, key=list(PARTS).index):
        name = rng.choice(list(PARTS[part]))
        if part == "formats" and shop.kind != "csv":
            continue  # the ids made it parquet
        if part == "dirt" and not _takes_lines(shop):
            if shop.kind != "jsonl":
                continue
            name = rng.choice(list(JSON_DIRT))
            _line(JSON_DIRT[name])(shop)
        else:
            PARTS[part][name](shop)
        shop.faults.append(name)
    return shop


def _takes_lines(shop: Plant) -> bool:
    """Dirt is written as lines of comma-separated UTF-8."""
    return shop.kind == "csv" and shop.delimiter == "," and shop.encoding == "utf-8" and shop.line_end != "\r" and not (
        shop.escape or shop.index or shop.trailing or shop.blank_lines)


def number_of_faults() -> int:
    """Distinct faults."""
    return sum(map(len, PARTS.values())) + len(JSON_DIRT)
