"""The leakage certificate: proof that nothing later than a cut-off reached training or support rows.

Every evaluated number carries one. It compares times, event rows, sessions and the as-of dates of
derived features, counts what overlaps, and blocks when anything does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, Literal

import numpy as np

from recsys_core.errors import LeakageError

SHOWN_ROWS = 5  # culprits named per check


@dataclass(frozen=True)
class WindowRows:
    """The events of one window: support, gate, report, …

    Args:
        rows: int64 [E], rows of the interactions table. timestamps: int64 [E], seconds since the
            epoch. sessions: [E] session labels, None where the shop has none.
    """

    rows: np.ndarray
    timestamps: np.ndarray
    sessions: np.ndarray | None = None


@dataclass(frozen=True)
class Check:
    """One comparison. detail: what was compared or counted. culprits: the first few rows or labels.

    A check that does not hold breaks the certificate, unless it only informs (`blocks` is False).
    """

    name: str
    holds: bool
    detail: str
    culprits: tuple[str, ...] = ()
    blocks: bool = True


@dataclass(frozen=True)
class Certificate:
    """All checks of one evaluated model.

    Args:
        name: what was evaluated. temporal: "certified" if every time check holds, "broken" if one
            does not, "not certifiable" where the shop has order but no times (positions, rows and
            sessions are still checked). checks: in the order they were made.
    """

    name: str
    temporal: Literal["certified", "broken", "not certifiable"]
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        return all(check.holds or not check.blocks for check in self.checks)

    def raise_if_broken(self) -> None:
        """Raise `LeakageError` naming every broken check and the rows behind it."""
        broken = [check for check in self.checks if check.blocks and not check.holds]
        if broken:
            raise LeakageError(
                f"evaluation of {self.name}",
                "; ".join(f"{c.name}: {c.detail}" + (f" ({', '.join(c.culprits)})" if c.culprits else "")
                          for c in broken),
                "rebuild the training, support and query rows from the window's cut-offs")

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the verdict beside the checks."""
        return {"name": self.name, "temporal": self.temporal, "holds": self.holds,
                "checks": [{**asdict(check), "culprits": list(check.culprits)} for check in self.checks]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Certificate:
        """The inverse of `to_json`."""
        return cls(value["name"], value["temporal"], tuple(
            Check(**{**check, "culprits": tuple(check["culprits"])}) for check in value["checks"]))


def leakage_certificate(name: str, train_max: int, windows: dict[str, WindowRows], *,
                        train_rows: np.ndarray | None = None, train_sessions: np.ndarray | None = None,
                        feature_dates: dict[str, int] | None = None, trained_on: tuple[str, ...] = (),
                        block_on_sessions: bool = True, order_only: bool = False) -> Certificate:
    """Check one evaluated model: training, then each window, strictly in that order of time.

    Args:
        name: the model or segment. train_max: time of the newest training event, in seconds.
        windows: in order of time, such as {"support": …, "gate": …, "report": …}; empty ones are
            skipped. All but "support" are only evaluated on.
        train_rows, train_sessions: [E], the training events' rows and session labels.
        feature_dates: derived feature → time of the newest event in it; each must be earlier than
            the first window that is evaluated on.
        trained_on: windows the model may have seen ("support" for a base that is no twin); training
            has to be earlier than the first of the others.
        block_on_sessions: whether a session on both sides of a cut-off breaks the certificate; shops
            that are busy at midnight may rather count them.
        order_only: times are positions on a pseudo-day: still compared, but the temporal verdict is
            "not certifiable". Sessions mean nothing there and are not compared.
    """
    windows = {window: rows for window, rows in windows.items() if len(rows.rows)}
    unseen = {window: rows for window, rows in windows.items() if window not in trained_on}
    show = (lambda at: f"position {at}") if order_only else _show_time
    checks = []
    if unseen:
        first = next(iter(unseen))
        checks.append(_time_check("training", train_max, None, first, unseen[first], show))
    for (before, early), (after, late) in zip(windows.items(), list(windows.items())[1:], strict=False):
        checks.append(_time_check(before, int(early.timestamps.max()), early, after, late, show))
    asked = next((window for window in unseen if window != "support"), None)
    for feature, newest in sorted((feature_dates or {}).items()) if asked else ():
        checks.append(_time_check(f"feature {feature}", newest, None, asked, unseen[asked], show))
    temporal = "not certifiable" if order_only else "certified" if all(c.holds for c in checks) else "broken"

    rows = {window: held.rows for window, held in windows.items()}
    sessions = {window: held.sessions for window, held in windows.items()
                if held.sessions is not None and not order_only}
    for kind, training, labels, blocks in (("rows", train_rows, rows, True),
                                           ("sessions", train_sessions, sessions, block_on_sessions)):
        pairs = list(combinations(labels, 2))
        if training is not None:
            pairs = [("training", window) for window in labels if window not in trained_on] + pairs
            labels = {"training": training, **labels}
        checks += [_overlap_check(kind, a, labels[a], b, labels[b], blocks) for a, b in pairs]
    return Certificate(name, temporal, tuple(checks))


def _time_check(before: str, newest: int, early: WindowRows | None, after: str, late: WindowRows,
                show: Callable[[int], str]) -> Check:
    """Everything in `before` is strictly earlier than everything in `after`.

    The culprits are the early side's rows that are too late; where those are not known, the others.
    """
    oldest = int(late.timestamps.min())
    if early is not None:
        side, wrong = before, early.rows[early.timestamps >= oldest]
    else:
        side, wrong = after, late.rows[late.timestamps <= newest]
    return Check(f"{before} before {after}", newest < oldest,
                 f"newest {before} {show(newest)}, oldest {after} {show(oldest)}"
                 + (f", {len(wrong)} {side} rows out of order" if len(wrong) else ""),
                 tuple(f"{side} row {row}" for row in np.sort(wrong)[:SHOWN_ROWS].tolist()))


def _overlap_check(kind: str, a: str, left: np.ndarray, b: str, right: np.ndarray, blocks: bool) -> Check:
    """No event row, or no session, is on both sides."""
    few, many = (left, right) if len(left) <= len(right) else (right, left)
    shared = np.unique(few[np.isin(few, many)])  # far faster than sorting a million training rows
    return Check(f"{kind} of {a} and {b}", not len(shared), f"{len(shared)} in common",
                 tuple(f"{kind[:-1]} {label}" for label in shared[:SHOWN_ROWS].tolist()), blocks)


def _show_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
