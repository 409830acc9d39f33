"""Whether the ids of two tables meet, and if they do not, what it is that keeps them apart."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

ROUNDED = r"^\d(?:\.\d+)?[eE]\+\d+$"  # 1.23457E+12: what a spreadsheet shows of a long number
EXPLAINS = 0.5  # a cause must bring this share of the strangers home
MOST_IDS = 200_000  # ids looked at for a cause
# What may have happened to one side's ids → the form in which both sides are alike again.
CAUSES = (
    ("one side has white space around its ids", pl.first().str.strip_chars()),
    ("one side's ids were read as decimal numbers", pl.first().str.replace(r"\.0+$", "")),
    ("one side lost its leading zeros", pl.first().str.replace(r"\.0+$", "").str.strip_chars_start("0")),
    ("upper and lower case differ", pl.first().str.to_lowercase()),
    ("one side's ids have a prefix or other signs", pl.first().str.replace_all(r"\D", "").str.strip_chars_start("0")),
)


@dataclass(frozen=True)
class Meeting:
    """Ids that are asked for beside those that are known.

    Args:
        asked: rows with an id.
        strangers: how many of them name an id that is not known.
        stranger: an example of each, of the same thing where the cause tells.
        known: an example of each, of the same thing where the cause tells.
        cause: why they differ, "" if unclear.
    """

    asked: int
    strangers: int
    stranger: str = ""
    known: str = ""
    cause: str = ""

    @property
    def share(self) -> float:
        """Strangers among the rows."""
        return self.strangers / self.asked if self.asked else 0.0

    def __str__(self) -> str:
        likely = self.cause or "another column may be meant: the ids have nothing in common"
        return f"e.g. {self.stranger!r}, where the other table has {self.known!r} ({likely})"


def meet(asked: pl.Series, known: pl.Series) -> Meeting:
    """Look every id up.

    Args:
        asked: String, one id a row, null where a row has none.
        known: String, the other table's ids.

    >>> print(meet(pl.Series(["1", "2", "2"]), pl.Series(["001", "002"])))
    e.g. '1', where the other table has '001' (one side lost its leading zeros)
    """
    given, known = asked.drop_nulls(), known.drop_nulls()
    strangers = given.filter(~given.is_in(known.implode()))
    if strangers.is_empty() or known.is_empty():
        return Meeting(len(given), len(strangers), *([strangers[0]] if len(strangers) else []))
    unique = strangers.unique(maintain_order=True).head(MOST_IDS).alias("id")
    if unique.str.contains(ROUNDED).mean() > EXPLAINS:  # type: ignore[operator]
        return Meeting(len(given), len(strangers), unique[0], known[0], "a spreadsheet rounded one side's ids")
    home = known.unique(maintain_order=True).alias("known").to_frame()
    for cause, form in CAUSES:
        alike = home.with_columns(form.alias("form")).filter(pl.col("form").str.len_bytes() > 0).unique("form", keep="first",
                                                                                                   maintain_order=True)
        found = unique.to_frame().with_columns(form.alias("form")).join(alike, on="form", how="inner", maintain_order="left")
        if found.height > EXPLAINS * len(unique):
            return Meeting(len(given), len(strangers), found["id"][0], found["known"][0], cause)
    return Meeting(len(given), len(strangers), unique[0], known[0])
