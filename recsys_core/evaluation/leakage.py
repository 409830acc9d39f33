"""The leakage certificate: proof that nothing later than a cut-off reached training or support rows.

Every evaluated number carries one. It compares times, event rows and the as-of dates of derived features, and blocks
when anything overlaps. Sessions on both sides of a cut-off are counted; whether they block, too, is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations, pairwise
from typing import Any, Literal

import numpy as np

from recsys_core.errors import LeakageError

SHOWN_ROWS = 5  # culprits named per check

Temporal = Literal["certified", "broken", "not certifiable"]


@dataclass(frozen=True)
class WindowRows:
    """The events that are asked in one window: trust, gate, report.

    Args:
        rows: int64 [E], rows of the interactions table.
        timestamps: int64 [E], seconds since the epoch.
        sessions: [E] session labels, None where the shop has none.
    """

    rows: np.ndarray
    timestamps: np.ndarray
    sessions: np.ndarray | None = None


@dataclass(frozen=True)
class Training:
    """What the contestants of one window were counted on: the base's events, the shots among them.

    Args:
        newest: time of the newest event, in seconds.
        rows: int64 [E].
        sessions: as those of `WindowRows`.
    """

    newest: int
    rows: np.ndarray
    sessions: np.ndarray | None = None


@dataclass(frozen=True)
class Check:
    """One comparison.

    Args:
        name: what was compared with what.
        holds: whether nothing overlaps.
        detail: what was compared or counted.
        culprits: the first few rows or labels.
        blocks: whether the certificate breaks where it does not hold; False: it only informs.
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
        name: what was evaluated.
        temporal: "certified" if every time check holds, "broken" if one does not. "not certifiable" where the shop has
            order but no times: positions and rows are still checked, sessions are not.
        checks: in the order they were made.
    """

    name: str
    temporal: Temporal
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


def leakage_certificate(name: str, windows: Mapping[str, WindowRows], training: Mapping[str, Training], *,
                        feature_dates: Mapping[str, int] | None = None, block_on_sessions: bool = True,
                        session_ids: Sequence[str] | None = None, order_only: bool = False) -> Certificate:
    """Check one evaluated model: each window after what was trained on for it, and the windows one after the other.

    Args:
        name: the model or segment.
        windows: in order of time, such as {"trust": …, "gate": …, "report": …}; empty ones are skipped.
        training: window → what its contestants were trained on.
        feature_dates: derived feature → time of the newest event in it; each must be earlier than the first window.
        block_on_sessions: whether a session on both sides of a cut-off breaks the certificate; it shares no event, so
            shops that are busy at midnight may rather count them.
        session_ids: what a session's number stands for, in words. None: the labels are shown.
        order_only: times are positions on a pseudo-day: still compared, but the temporal verdict is "not certifiable".
            Sessions mean nothing there and are not compared.
    """
    windows = {window: rows for window, rows in windows.items() if len(rows.rows)}
    show = (lambda at: f"position {at}") if order_only else _show_time
    checks = [_time_check("training", training[window].newest, None, window, rows, show) for window, rows in windows.items()]
    for (before, early), (after, late) in pairwise(windows.items()):
        checks.append(_time_check(before, int(early.timestamps.max()), early, after, late, show))
    for feature, newest in sorted((feature_dates or {}).items()) if windows else ():
        first = next(iter(windows))
        checks.append(_time_check(f"feature {feature}", newest, None, first, windows[first], show))
    temporal: Temporal = "not certifiable" if order_only else "certified" if all(c.holds for c in checks) else "broken"

    def label(kind: str, row: int) -> str:
        return session_ids[row] if kind == "sessions" and session_ids is not None else str(row)

    for kind, blocks in (("rows", True), ("sessions", block_on_sessions)):
        if kind == "sessions" and order_only:
            continue
        sides = [("training", getattr(training[window], kind), window, getattr(rows, kind)) for window, rows in windows.items()]
        sides += [(a, getattr(windows[a], kind), b, getattr(windows[b], kind)) for a, b in combinations(windows, 2)]
        checks += [_overlap_check(kind, *side, blocks, label) for side in sides if side[1] is not None and side[3] is not None]
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


def _overlap_check(kind: str, a: str, left: np.ndarray, b: str, right: np.ndarray, blocks: bool,
                   label: Callable[[str, int], str]) -> Check:
    """No event row, or no session, is on both sides."""
    few, many = (left, right) if len(left) <= len(right) else (right, left)
    shared = np.unique(few[np.isin(few, many)])  # far faster than sorting a million training rows
    return Check(f"{kind} of {a} and {b}", not len(shared), f"{len(shared)} in common",
                 tuple(f"{kind[:-1]} {label(kind, one)}" for one in shared[:SHOWN_ROWS].tolist()), blocks)


def _show_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
