"""A family: one adapter per value of a column, all with the same strengths and the same trust, stored side by side.

Folder: family.json (who, how, and the names of groups and items), family.safetensors (the members' values). A segment
is a family with the one member "".
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recsys_core.adaptation.adapter import Adapter, check_lock
from recsys_core.adaptation.closed_form import Counted, Strengths, crowding, solve_counts, stage_strengths
from recsys_core.adaptation.solved import Level, Ragged, Solved
from recsys_core.artefacts import read_json, staged_folder
from recsys_core.errors import AdapterError
from recsys_core.interactions import KNOTS, Catalogue, Queries

if TYPE_CHECKING:  # serving loads families, and needs no shop
    from recsys_core.adaptation.study import Shots, Study

FORMAT = 2
METHOD = "counts"
ABOUT, ARRAYS = "family.json", "family.safetensors"


@dataclass(frozen=True)
class Family:
    """The adapters of all members.

    Args:
        name: of the `FamilySpec` or the segment.
        by: of the `FamilySpec`; empty for a segment.
        lock: hashes of the base it was made on.
        trust: float32 [7], of every member.
        strengths: of every member.
        stages: the strengths by the stages' names.
        members: the values, sorted.
        solved: their offsets, in the same order.
    """

    name: str
    by: str
    lock: dict[str, str]
    trust: np.ndarray
    strengths: Strengths
    stages: dict[str, float | None]
    members: list[str]
    solved: Solved = field(repr=False)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {member: row for row, member in enumerate(self.members)}

    def shots(self, member: str) -> int:
        """How many shots a member has, 0 where it is unknown."""
        row = self._row_of.get(member)
        return 0 if row is None else int(self.solved.shots[row])

    def adapter(self, member: str) -> Adapter | None:
        """A member's adapter; None where it is unknown or has no shots."""
        if not self.shots(member):
            return None
        settings = {"shots": self.shots(member), "strength": self.stages}
        return self.solved.adapter(self._row_of[member], member or self.name, METHOD, self.lock, self.trust, settings)

    def trusted(self, trust: np.ndarray) -> Family:
        """The same adapters with another trust."""
        return replace(self, trust=np.asarray(trust, np.float32))

    def save(self, folder: Path) -> None:
        """Write the folder, atomically."""
        with staged_folder(Path(folder)) as staging:
            self.write(staging)

    def write(self, folder: Path) -> None:
        """The same into a folder that exists and that the caller publishes."""
        from safetensors.numpy import save_file

        solved = self.solved
        save_file({key: np.ascontiguousarray(value) for key, value in self._arrays().items()},
                  os.fspath(Path(folder) / ARRAYS))
        about = {"format": FORMAT, "name": self.name, "by": self.by, "lock": self.lock, "members": self.members,
                 "strengths": self.strengths.to_json(), "stages": self.stages, "item_ids": list(solved.item_ids),
                 "levels": [{"name": level.name, "labels": list(level.labels)} for level in solved.levels]}
        (Path(folder) / ABOUT).write_text(json.dumps(about, sort_keys=True, allow_nan=False, ensure_ascii=False), "utf-8")

    def _arrays(self) -> dict[str, np.ndarray]:
        solved = self.solved
        arrays = {"trust": self.trust, "theta": solved.theta, "shots": solved.shots, **_ragged("items", solved.items)}
        for at, level in enumerate(solved.levels):
            arrays |= {f"level_{at}.rest": level.rest, **_ragged(f"level_{at}", level.values)}
        return arrays

    @classmethod
    def load(cls, folder: Path, lock: dict[str, str]) -> Family:
        """Read a family made for exactly this base.

        Raises:
            AdapterError: another format, another base (the differing key is named), or a broken file.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder, fix = Path(folder), "re-adapt the family"
        about = read_json(folder / ABOUT)
        if about.get("format") != FORMAT:
            raise AdapterError(str(folder), f"has format {about.get('format')}, this version reads {FORMAT}", fix)
        check_lock(f"family {about.get('name')}", about.get("lock", {}), lock)
        try:
            arrays = load_file(folder / ARRAYS)
            levels = tuple(Level(level["name"], level["labels"], arrays[f"level_{at}.rest"], _of_arrays(f"level_{at}", arrays))
                           for at, level in enumerate(about["levels"]))
            solved = Solved(levels, arrays["theta"], about["item_ids"], _of_arrays("items", arrays), arrays["shots"])
            family = cls(about["name"], about["by"], about["lock"], arrays["trust"],
                         Strengths.from_json(about["strengths"]), about["stages"], about["members"], solved)
        except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
            raise AdapterError(str(folder), f"cannot be read ({type(error).__name__}: {error})", fix) from error
        problem = "holds other arrays than its record says" if set(arrays) != set(family._arrays()) else family._problem()
        if problem:
            raise AdapterError(str(folder), problem, fix)
        return family

    def _problem(self) -> str | None:
        """What makes this family unusable, if anything."""
        size, solved = len(self.members), self.solved
        if self.trust.shape != (len(KNOTS),):
            return f"its trust is of shape {self.trust.shape}, not of {len(KNOTS)} knots"
        rests = [level.rest for level in solved.levels]
        if len(solved.shots) != size or len(solved.theta) not in (0, size) or any(len(rest) != size for rest in rests):
            return f"its arrays do not fit its {size} members"
        named = [(solved.items, solved.item_ids), *((level.values, level.labels) for level in solved.levels)]
        if not all(_fits(ragged, size, len(names)) for ragged, names in named):
            return "its values do not fit their members or names"
        values = [self.trust, solved.theta, *rests, *(ragged.value for ragged, _ in named)]
        return None if all(np.isfinite(value).all() for value in values) else "some of its values are not finite"


def _ragged(name: str, ragged: Ragged) -> dict[str, np.ndarray]:
    return {f"{name}.indptr": ragged.indptr, f"{name}.entry": ragged.entry, f"{name}.value": ragged.value}


def _of_arrays(name: str, arrays: dict[str, np.ndarray]) -> Ragged:
    return Ragged(arrays[f"{name}.indptr"], arrays[f"{name}.entry"], arrays[f"{name}.value"])


def _fits(ragged: Ragged, members: int, names: int) -> bool:
    indptr, entry = ragged.indptr, ragged.entry
    return (len(indptr) == members + 1 and indptr[0] == 0 and indptr[-1] == len(entry) == len(ragged.value)
            and bool((np.diff(indptr) >= 0).all()) and (not len(entry) or (entry.min() >= 0 and entry.max() < names)))


def make_family(study: Study, name: str, cutoff: int, strengths: Strengths, trust: np.ndarray, k: int | None = None,
                rng: np.random.Generator | None = None) -> Family:
    """Count every member's shots before a cut-off and solve its adapter.

    Args:
        cutoff: seconds; the counts are compared with the base as of then. strengths, trust [7]: of all members.
        k: at most so many random shots per member, drawn with `rng`; None: all.
    """
    prior, shots, members = study.prior_of(name, cutoff), study.shots(name, cutoff), study.codes(name)[1]
    share = study.share(name, prior)
    if k is not None:
        shots = _shuffled(shots, rng or np.random.default_rng(0))

    def counted() -> Iterator[Counted]:
        for low, high in zip(shots.bounds[:-1].tolist(), shots.bounds[1:].tolist(), strict=True):
            own = slice(low, high if k is None else min(high, low + k))
            yield count_shots(shots.items[own], shots.users[own], share)

    solved = solve_counts(prior, counted(), strengths).compact()
    return Family(name, study.by(name), dict(prior.lock), np.asarray(trust, np.float32), strengths,
                  stage_strengths(prior.catalogue, strengths), list(members), solved)


@dataclass(frozen=True)
class Offsets:
    """The offsets of n questions, each without the asker's own shots.

    Args:
        catalogue: the items that the offsets are of.
        row: int64 [n], each question's row in `solved`, −1 where no shots are left.
        solved: the offsets of every (member, asker) pair that occurs.
    """

    catalogue: Catalogue
    row: np.ndarray
    solved: Solved = field(repr=False)

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, question: int) -> np.ndarray:
        """float32 [N], before they are weighted with the trust; zeros where no shots are left."""
        row = self.row[question]
        return np.zeros(len(self.catalogue), np.float32) if row < 0 else self.solved.offsets(int(row), self.catalogue)


def leave_own_out(study: Study, name: str, queries: Queries, cutoff: int, strengths: Strengths, k: int | None = None,
                  rng: np.random.Generator | None = None, members: np.ndarray | None = None) -> Offsets:
    """The offsets of each question's member, from its shots before a cut-off that are not the asker's own.

    Args:
        study: holds the shots and the base.
        name: the segment or family.
        queries: n questions.
        cutoff: seconds; only shots before it count.
        strengths: of every member.
        k: at most so many random shots, drawn with `rng`; None: all.
        rng: draws the shots where `k` is given.
        members: int [n], whose shots count for each question (a placebo: another member's); None: `Study.asked`.
    """
    prior, shots, catalogue = study.prior_of(name, cutoff), study.shots(name, cutoff), study.base.catalogue
    members = study.asked(name, queries) if members is None else np.asarray(members)
    if k is not None:
        shots = _shuffled(shots, rng or np.random.default_rng(0))
    pairs, row = np.unique(np.stack([members, queries.user]).astype(np.int64), axis=1, return_inverse=True)
    row, known = row.ravel(), pairs[0] >= 0
    counted = _Leaving(shots, study.share(name, prior), len(catalogue), k)
    solved = solve_counts(prior, (counted.without(member, user) for member, user in pairs[:, known].T.tolist()), strengths)
    row = np.where(known, np.cumsum(known) - 1, -1)[row]
    return Offsets(catalogue, np.where((row >= 0) & (np.r_[solved.shots, 0][row] > 0), row, -1), solved)


class _Leaving:
    """Counts of members without one user; the counts of the last member asked for are kept."""

    def __init__(self, shots: Shots, share: np.ndarray | None, items: int, k: int | None) -> None:
        self.shots, self.share, self.k = shots, share, k
        self._member, self._counts = -1, np.zeros(items)

    def without(self, member: int, user: int) -> Counted:
        low, high = self.shots.bounds[member], self.shots.bounds[member + 1]
        items, users = self.shots.items[low:high], self.shots.users[low:high]
        own = users == user
        if self.k is not None:
            kept = np.flatnonzero(~own)[:self.k]
            return count_shots(items[kept], users[kept], self.share)
        if member != self._member:
            self._member, self._counts = member, np.bincount(items, minlength=len(self._counts)).astype(np.float64)
        left = self._counts.copy()
        np.subtract.at(left, items[own], 1.0)
        kept = np.flatnonzero(left)
        return Counted(kept, left[kept], self.share, crowding(users[~own]))


def count_shots(items: np.ndarray, users: np.ndarray, share: np.ndarray | None) -> Counted:
    """Shots [K] of one member as counts."""
    found, counts = np.unique(items, return_counts=True)
    return Counted(found, counts.astype(np.float64), share, crowding(users))


def _shuffled(shots: Shots, rng: np.random.Generator) -> Shots:
    """Every member's shots in a random order, so that its first k are k random ones."""
    member = np.repeat(np.arange(len(shots.bounds) - 1), shots.sizes())
    order = np.lexsort((rng.random(len(shots)), member))
    return replace(shots, items=shots.items[order], users=shots.users[order])
