"""Business rules: what must be in a list, what may never be, how often a brand may repeat, what is lifted.

A boost is a part of the score, so reasons still add up. The other rules only choose among scored items, so a list that
they changed need not fall in its scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from recsys_core.errors import RecsysError, RequestError

RULES_FILE = "rules.yaml"
MORE_ROWS = 4  # rows looked at, in lists, before caps are known to need more


class ItemRule(BaseModel, frozen=True, extra="forbid"):
    """Which items a rule is about: those that meet every filter, and those listed."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    filters: dict[str, Any] = Field(default_factory=dict, description="as those of `Bundle.recommend`")
    items: tuple[str, ...] = Field((), description="item ids")

    @model_validator(mode="after")
    def _says_which(self) -> ItemRule:
        if not self.filters and not self.items:
            raise ValueError(f"rule {self.name!r} names neither filters nor items")
        return self


class Must(ItemRule, frozen=True):
    """At least `count` of the items are among the first `among`, as far as the request allows so many."""

    among: int = Field(10, ge=1)
    count: int = Field(1, ge=1)


class Boost(ItemRule, frozen=True):
    """The items' scores rise, or fall, by so many logits."""

    logits: float = Field(allow_inf_nan=False)


class Rules(BaseModel, frozen=True, extra="forbid"):
    """The business rules of a shop, as a YAML file holds them."""

    must: tuple[Must, ...] = ()
    must_not: tuple[ItemRule, ...] = ()
    caps: dict[str, int] = Field(default_factory=dict, description="column → most items of one value in a list")
    boosts: tuple[Boost, ...] = ()

    @model_validator(mode="after")
    def _makes_sense(self) -> Rules:
        names = Counter(rule.name for rule in (*self.must, *self.must_not, *self.boosts))
        if twice := [name for name, times in names.items() if times > 1]:
            raise ValueError(f"the name {twice[0]!r} is taken twice")
        if low := [column for column, most in self.caps.items() if most < 1]:
            raise ValueError(f"the cap of {low[0]!r} is below 1")
        return self


def read_rules(path: Path) -> Rules:
    """Read a rules file.

    Args:
        path: a YAML file with the fields of `Rules`.

    Raises:
        RequestError: it cannot be read, or breaks the form; the first fault is named.
    """
    fix = "correct the rules file: must, must_not, caps, boosts"
    try:
        return Rules(**(yaml.safe_load(path.read_text(encoding="utf-8")) or {}))
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(str(path), f"{'.'.join(map(str, first['loc'])) or 'rules'}: {first['msg']}", fix) from None
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise RequestError(str(path), f"cannot be read ({' '.join(str(error).split())[:200]})", fix) from None


def shop_rules(home: Path | None, named: Path | None = None) -> Rules | None:
    """The rules that hold for every list: those of RECSYS_HOME/rules.yaml, or of the file that is named in its place.

    Args:
        home: RECSYS_HOME; None, or one without the file: there are none.
        named: a rules file that must exist.

    Raises:
        RequestError: as `read_rules`.
    """
    if named is None and home is not None and (home / RULES_FILE).exists():
        named = home / RULES_FILE
    return None if named is None else read_rules(named)


@dataclass(frozen=True)
class BoundRules:
    """Rules on one catalogue; see `bind_rules`.

    Args:
        must: the rule → bool [N], in the order of the file.
        banned: bool [N]; None: no item is.
        caps: most items of one value → code int32 [N] of the column, −1 where an item has none.
        boosts: "rule:NAME" → logits float32 [N].
    """

    must: tuple[tuple[Must, np.ndarray], ...]
    banned: np.ndarray | None
    caps: tuple[tuple[int, np.ndarray], ...]
    boosts: dict[str, np.ndarray]

    def choose(self, ranked: Callable[[int], np.ndarray], scores: np.ndarray, k: int) -> tuple[np.ndarray, dict[int, str]]:
        """The list that keeps the rules.

        Args:
            ranked: how many → so many best rows, best first; fewer where no more may be answered.
            scores: float32 [N], −inf where an item may not be answered.
            k: length of the list.

        Returns:
            rows int64 [≤ k], and of those that only a rule placed, row → the rule's name.
        """
        if not self.must and not self.caps:
            return ranked(k), {}
        placing = _Placing(self, scores, k)
        asked = k
        while True:
            asked = min(asked * MORE_ROWS, len(scores))
            found = ranked(asked)
            chosen, placed = placing.fill(found)
            if len(chosen) == k or len(found) < asked or asked == len(scores):
                return np.array(chosen, np.int64), placed


class _Placing:
    """One list in the making: the rows that rules ask for, each with the place by which it must stand."""

    def __init__(self, rules: BoundRules, scores: np.ndarray, k: int) -> None:
        self._caps, self._k = rules.caps, k
        self._due: dict[int, tuple[int, str]] = {}
        taken = self._counts()
        for rule, mask in sorted(rules.must, key=lambda one: one[0].among):
            rows = np.flatnonzero(mask & np.isfinite(scores))
            have = sum(bool(mask[row]) for row in self._due)
            for row in rows[np.argsort(-scores[rows], kind="stable")].tolist():
                if have >= min(rule.count, rule.among, k) or len(self._due) >= k:
                    break
                if row not in self._due and self._fits(row, taken):
                    self._due[row] = min(rule.among, k), rule.name
                    self._take(row, taken)
                    have += 1

    def fill(self, ranked: np.ndarray) -> tuple[list[int], dict[int, str]]:
        """The list by score, but a row that is due stands where it is due at the latest."""
        due, taken = dict(self._due), self._counts()
        for row in due:
            self._take(row, taken)
        chosen: list[int] = []
        placed: dict[int, str] = {}
        rows: Iterator[int] = iter(ranked.tolist())
        while len(chosen) < self._k:
            pressing = self._pressing(due, len(chosen))
            row = next(rows, next(iter(due), -1)) if pressing is None else pressing
            if row < 0:
                break
            if row in due:
                if row == pressing:
                    placed[row] = due[row][1]
                del due[row]
                chosen.append(row)
            elif row not in chosen and self._fits(row, taken):
                self._take(row, taken)
                chosen.append(row)
        return chosen, placed

    def _pressing(self, due: Mapping[int, tuple[int, str]], place: int) -> int | None:
        """The row that must stand at this place, because those due by some place would not fit behind it."""
        order = sorted(due, key=lambda row: due[row][0])
        for count, row in enumerate(order, start=1):
            if due[row][0] - place <= count:
                return order[0]
        return None

    def _counts(self) -> list[Counter[int]]:
        return [Counter() for _ in self._caps]

    def _fits(self, row: int, taken: list[Counter[int]]) -> bool:
        return all(codes[row] < 0 or count[int(codes[row])] < most
                   for (most, codes), count in zip(self._caps, taken, strict=True))

    def _take(self, row: int, taken: list[Counter[int]]) -> None:
        for (_, codes), count in zip(self._caps, taken, strict=True):
            count[int(codes[row])] += 1


def bind_rules(rules: Rules, matching: Callable[[Mapping[str, Any]], np.ndarray],
               codes: Callable[[str], np.ndarray], row_of: Mapping[str, int]) -> BoundRules:
    """Look up a catalogue's items for every rule, once.

    Args:
        rules: of the shop.
        matching: filters → bool [N], see `serving.filters.ItemColumns.matching`.
        codes: column → int32 [N], the code of each item's value, −1 where it has none.
        row_of: item id → catalogue row; ids that are not in it match nothing.

    Raises:
        RequestError: a rule names a column that the items do not have, or a value of another type.
    """
    def mask(rule: ItemRule) -> np.ndarray:
        try:
            found = matching(rule.filters) if rule.filters else np.zeros(len(row_of), bool)
        except RecsysError as error:
            raise RequestError(f"rule {rule.name!r}", error.culprit, error.fix) from None
        found[[row_of[item] for item in rule.items if item in row_of]] = True
        return found

    try:
        caps = tuple((most, codes(column)) for column, most in rules.caps.items())
    except RecsysError as error:
        raise RequestError("rules, caps", error.culprit, error.fix) from None
    banned = [mask(rule) for rule in rules.must_not]
    return BoundRules(
        tuple((rule, mask(rule)) for rule in rules.must), np.logical_or.reduce(banned) if banned else None, caps,
        {f"rule:{rule.name}": np.float32(rule.logits) * mask(rule).astype(np.float32) for rule in rules.boosts})
