"""The plan of the house: every room may touch the rooms below it, and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "recsys_core"
FLOORS = ("errors", "artefacts", "schema", "words", "ingestion", "cleaning", "features", "interactions", "metrics",
          "text_encoder", "base_model", "adaptation", "promotions", "evaluation", "report", "serving", "distillation",
          "deployment")
HOUSES = ("recsys_core", "expectations", "assets", "orchestration")  # from the ground up
LONGEST_MODULE, LARGEST_PACKAGE = 300, 2500


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """What a module imports at any time, but not what it only names in annotations."""
    tree, skipped = ast.parse(path.read_text(encoding="utf-8")), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            skipped |= {id(one) for one in ast.walk(node)}
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def graph() -> dict[str, set[str]]:
    """Module of the core → modules of the core that it imports."""
    names = {name_of(path) for path in modules(CORE)}
    found = {}
    for path in modules(CORE):
        wanted = {name if name in names else name.rpartition(".")[0] for name in imports(path)}
        found[name_of(path)] = (wanted & names) - {name_of(path), "recsys_core"}
    return found


def test_every_room_has_its_floor():
    rooms = {path.stem for path in CORE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms - {"__init__"} == set(FLOORS)


def test_no_arrow_points_upward():
    upward = [(module, other) for module, others in graph().items() for other in others
              if FLOORS.index(other.split(".")[1]) > FLOORS.index(module.split(".")[1])]
    assert upward == []


def test_no_circle():
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, f"circle: {' → '.join([*above[above.index(module):], module])}"
        if module not in done:
            for other in graph()[module]:
                visit(other, (*above, module))
            done.add(module)

    for module in graph():
        visit(module, ())


@pytest.mark.parametrize("house", HOUSES)
def test_the_houses_stand_in_one_order(house):
    above = HOUSES[HOUSES.index(house) + 1:]
    upward = [(name_of(path), name) for path in modules(ROOT / house) for name in imports(path) if name.split(".")[0] in above]
    assert upward == []


def test_rooms_and_modules_stay_small():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for house in HOUSES for path in modules(ROOT / house)}
    assert {name_of(path): n for path, n in lines.items() if n > LONGEST_MODULE} == {}
    packages = {package.name: sum(n for path, n in lines.items() if package in path.parents)
                for package in CORE.iterdir() if package.is_dir()}
    assert {name: n for name, n in packages.items() if n > LARGEST_PACKAGE} == {}
