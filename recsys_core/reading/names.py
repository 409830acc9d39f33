"""What a file's name says: its stem, the format it claims and the compression around it."""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple

SEPARATED = {"csv": ",", "tsv": "\t", "inter": "\t", "item": "\t", "user": "\t", "txt": ",", "dat": ",", "tab": "\t"}
TYPED_HEADERS = ("inter", "item", "user")  # RecBole atomic files: `user_id:token`
JSON_NAMES = ("jsonl", "json", "ndjson")
PARQUET_NAMES = ("parquet", "pq")
COMPRESSIONS = ("gz", "zip", "bz2", "xz")
KNOWN = ("parquet", "csv", "csv.gz", "jsonl", "jsonl.gz", "tsv", "tsv.gz")  # the order in which a table is looked for


class Name(NamedTuple):
    """A file name in parts: `2024-03-01.CSV.gz` is ("2024-03-01", "csv", "gz").

    Attributes:
        stem: what stands before the known endings.
        kind: the format named, "" if none is.
        packed: the compression named.
    """

    stem: str
    kind: str
    packed: str

    @property
    def is_data(self) -> bool:
        """The name says that rows are inside."""
        return bool(self.kind or self.packed == "zip")


def split_name(path: PurePath) -> Name:
    """Take the known endings off a file's name, in whatever case they are written.

    >>> split_name(PurePath("2024-03-01.CSV.GZ")), split_name(PurePath("notes.md"))
    (Name(stem='2024-03-01', kind='csv', packed='gz'), Name(stem='notes.md', kind='', packed=''))
    """
    stem, packed, kind = path.name, "", ""
    head, _, ending = stem.rpartition(".")
    if head and ending.lower() in COMPRESSIONS:
        stem, packed = head, ending.lower()
        head, _, ending = stem.rpartition(".")
    if head and ending.lower() in (*SEPARATED, *JSON_NAMES, *PARQUET_NAMES):
        stem, kind = head, ending.lower()
    return Name(stem, kind, packed)


def file_format(path: PurePath) -> str | None:
    """`.parquet`, `.csv`, `.jsonl`, … of a file under the names that a shop's tables have, None for any other file.

    >>> file_format(PurePath("2024-03-01.jsonl.gz")), file_format(PurePath("2024-03-01.CSV")), file_format(PurePath("a.md"))
    ('.jsonl', '.csv', None)
    """
    name = split_name(path)
    return f".{name.kind}" if name.kind else ".zip" if name.is_data else None
