"""What could not be read, and the ledger that proves nothing else is missing."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recsys_core.errors import ShopError
from recsys_core.personal import mask_text

REJECTS = {"source": pl.String, "line": pl.Int64, "reason": pl.String, "text": pl.String}
KEPT_TEXT = 200  # characters of a rejected line that are kept
Reject = tuple[str, int, str, str]


@dataclass(frozen=True)
class Reading:
    """One file as read: every delivered record is a row or a reject.

    Args:
        rows: text formats: all columns String, empty = null.
        rejects: `REJECTS`: source, line (1 is the file's first), reason, text (its beginning).
        delivered: records in the file, counted without the parser that made `rows`.
    """

    rows: pl.DataFrame
    rejects: pl.DataFrame
    delivered: int

    @property
    def balances(self) -> bool:
        """Delivered = loaded + set aside."""
        return self.delivered == self.rows.height + self.rejects.height

    def checked(self, artefact: str) -> Reading:
        """This reading, if its ledger balances.

        Raises:
            ShopError: it does not; the error names both counts.
        """
        if not self.balances:
            raise ShopError(artefact, f"holds {self.delivered} records, but {self.rows.height} were read and "
                            f"{self.rejects.height} set aside", "deliver the file as parquet or JSON Lines")
        return self


def rejects_frame(rows: list[Reject]) -> pl.DataFrame:
    """Rejected lines as a table (see `Reading`)."""
    return pl.DataFrame(rows, schema=REJECTS, orient="row")


def decode_line(raw: bytes) -> tuple[str | None, str]:
    """A line's text, or None and why it has none."""
    if b"\0" in raw:
        return None, "NUL byte"
    try:
        return raw.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        return None, f"not UTF-8: byte 0x{raw[error.start]:02x}"


def excerpt(raw: bytes) -> str:
    """The beginning of a rejected line, readable whatever its bytes are, personal data masked."""
    return mask_text(raw[:4 * KEPT_TEXT].decode("utf-8", errors="replace").replace("\0", "�"))[:KEPT_TEXT]


def empty_as_null(frame: pl.DataFrame) -> pl.DataFrame:
    """Empty texts become null."""
    return frame.with_columns(pl.all().replace("", None)) if frame.width else frame
