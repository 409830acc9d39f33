"""A Containerfile as stages of instructions, read as a builder reads it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@dataclass
class Stage:
    """One FROM with what follows: (instruction, rest of the line)."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str | None:
        return next((rest for word, rest in reversed(self.steps) if word == instruction), None)


def read_stages(path: Path = DEPLOY / "Containerfile") -> dict[str, Stage]:
    """Stage by name; continued lines are joined, comments dropped."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.M)
    stages: dict[str, Stage] = {}
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages[name] = Stage(name, base)
        elif word:
            next(reversed(stages.values())).steps.append((word, rest.strip()))
    return stages


def lineage(stages: dict[str, Stage], name: str) -> list[Stage]:
    """The stage and those it is built on, the first one first."""
    stage = stages[name]
    return [*(lineage(stages, stage.base) if stage.base in stages else []), stage]


def effective(stages: dict[str, Stage], name: str, instruction: str) -> str | None:
    """The last instruction of a kind that holds in a stage."""
    found = [stage.last(instruction) for stage in lineage(stages, name)]
    return next((one for one in reversed(found) if one is not None), None)


def environment(stages: dict[str, Stage], name: str) -> dict[str, str]:
    """The variables that ENV gives a stage."""
    rest = " ".join(rest for stage in lineage(stages, name) for word, rest in stage.steps if word == "ENV")
    return dict(pair.split("=", 1) for pair in rest.split())


def command(text: str) -> list[str]:
    """An instruction in exec form, such as CMD ["a", "b"]."""
    return json.loads(text)
