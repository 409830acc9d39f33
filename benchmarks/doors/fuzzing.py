"""Shops with pieces of other files put anywhere: whatever loading them raises must be an error of the project's own."""

from __future__ import annotations

import gzip
import io
import logging
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from recsys_core.cleaning import CleaningConfig, clean_days, clean_items
from recsys_core.errors import RecsysError
from recsys_core.ingestion import open_shop

PIECES = (b'"', b"\n", b",", b";", b"\r", b"\0", b"\xff", b"\xe9", b"{", b"[", b"}", b"\\", b"NaN", b"1e999", b"\xff\xfe",
          b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"2024-02-30", b"13/13/2024", b"9" * 20, b"item_id", b"-", b"1,5", b"9999-12-31",
          b"0001-01-01",
          b"20240201", b"-1e18", b"9223372036854775807", b"null", b"[]", b'{"a":1}', b"\t", b"|", b"\xf0\x9f\x98\x80", b": ",
          b"- ",
          b"&a", b"*a", b"!!python/object:os.system", b"? ", b"on", b"\xc3", b"%Y", b"'")
EVENTS = (b"user_id,timestamp,event_type,item_id,price\nu1,2024-02-01T10:00:00,view,001,1\nu2,2024-02-02 9:05,click,002,2.5\n"
          b'u3,2024-02-02,search,,"3,5"\n')
LINES = b'{"user_id": "u", "timestamp": 1706781600, "event_type": "view", "item_id": 1}\n' * 3
ITEMS = b'item_id,title,price,category\n001,Mug,1.5,a > b\n002,"Cup, red",2,\n'
OTHERS = {"users.csv": b"user_id,age\nu1,3\nu2,4\n", "shelves.csv": b"shelf,item_id,first_day\ns,001,2024-01-01\n",
          "labels.csv": b"task,label\na,b\n", "promotions.csv": b"item_id,first_day\n001,2024-01-01\n",
          "judgments.jsonl": b'{"query": "q", "item_id": "001", "gain": 1}\n'}
SETTINGS = (
    b"time_zone: Europe/Berlin\ncolumns: {events: {price: [price]}}\n", b"items_from_events: {title: item_id}\n",
    b"event_types: {view: click}\nnull_words: [x]\ndecimal: ','\n", b"timestamp_format: '%Y-%m-%d'\n",
    b"order_only: true\nevent_type: view\n",
    b"segments: [{name: a, kind: custom, where: \"items.title = 'x'\"}]\n", b"files: {events: 'events*'}\nlateness_days: 3\n",
    b"delimiter: ','\nencoding: utf-8\nmax_set_aside: 0.5\n", b"context: [store]\ncolumns: {events: {store: price}}\n",
    b"first_day: 2024-01-01\nlast_day: 2024-12-31\nname: x\n", b"preset: rees46\n", b"joins: [{file: users.csv, on: user_id}]\n")
PLACES = ("events.csv", "events.jsonl", "events/2024-02-01.csv", "events/2024-02-02.parquet", "events.txt", "events.csv.gz")


def _parquet() -> bytes:
    target = io.BytesIO()
    pl.read_csv(EVENTS).write_parquet(target)
    return target.getvalue()


def fuzzed(rng: random.Random) -> dict[str, bytes]:
    """The files of one damaged shop."""
    def damaged(data: bytes) -> bytes:
        data = bytearray(data)
        for _ in range(rng.choice([0, 0, 0, 0, 1, 1, 2, 5])):
            start = rng.choice([0, data.find(b"\n") + 1, data.find(b"\n") + 1])
            at = rng.randint(min(start, len(data)), len(data))
            data[at:at + rng.choice([0, 0, 1, 3, 20])] = rng.choice(PIECES)
        return bytes(data)

    events = rng.choice([EVENTS, EVENTS, LINES, _parquet(), gzip.compress(EVENTS), EVENTS.decode().encode("utf-16")])
    files = {"items.csv": damaged(ITEMS), rng.choice(PLACES): damaged(events)}
    files |= {name: damaged(content) for name, content in OTHERS.items() if rng.random() < 0.2}
    return files | ({"shop.yaml": damaged(rng.choice(SETTINGS))} if rng.random() < 0.6 else {})


def load(folder: Path) -> None:
    """Everything that a night reads of a shop, and its cleaning."""
    shop = open_shop(folder)
    drops = list(shop.events())
    items = shop.items()
    for read in (shop.users, shop.judgments, shop.labels, shop.shelves):
        read()
    if shop.days():
        shop.promotions(shop.first_day, shop.last_day)
    raw = {drop.day.isoformat(): drop.events.lazy() for drop in drops}
    config = CleaningConfig(time_zone=shop.config.time_zone, lateness_days=shop.config.lateness_days, max_set_aside=1)
    list(clean_days(raw, sorted(raw), clean_items(items)["item_id"], config))


def foreign_exceptions(inputs: int, seed: int) -> tuple[list[str], int, int]:
    """Try `inputs` damaged shops.

    Returns:
        what came out that is no error of ours; how many shops loaded; how many were refused without a sentence of their own.
    """
    rng, foreign, loaded, wrapped = random.Random(seed), [], 0, 0
    logging.disable(logging.CRITICAL)
    try:
        for _ in range(inputs):
            with TemporaryDirectory() as folder:
                for name, content in fuzzed(rng).items():
                    (path := Path(folder, name)).parent.mkdir(exist_ok=True)
                    path.write_bytes(content)
                try:
                    load(Path(folder))
                    loaded += 1
                except RecsysError as error:
                    wrapped += error.__cause__ is not None
                except BaseException as error:  # a panic of Polars is none of Exception
                    if isinstance(error, KeyboardInterrupt | SystemExit):
                        raise
                    foreign.append(f"{type(error).__name__}: {error}")
    finally:
        logging.disable(logging.NOTSET)
    return foreign, loaded, wrapped
