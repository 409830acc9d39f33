"""What the code imports and uses: read from its syntax, nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = ROOT / "recsys_core"
FLOORS = (
    "errors", "artefacts", "fan_out", "signatures", "schema", "arguments", "personal", "pseudonyms", "words", "units",
    "amounts", "oversight",
    "reading", "ingestion", "collection", "cleaning", "inspection", "features", "interactions",
    "metrics", "retrieval", "shoppers",
    "text_encoder", "student", "base_model", "adaptation", "promotions", "spans", "tasks",
    "evaluation", "report",
    "experiments",
    "answering", "wording", "serving",
    "monitoring",
    "service",
    "distillation", "deployment", "release",
    "cli",
)
HOUSES = ("recsys_core", "expectations", "assets", "orchestration")  # from the ground up


def modules(folder: Path) -> list[Path]:
    """Every Python file below a folder, but none of an environment inside it."""
    return sorted(path for path in folder.rglob("*.py") if not any(part.startswith(".venv") for part in path.parts))


def name_of(path: Path) -> str:
    """A file's dotted name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """What a module imports at any time, but not what it only names in annotations."""
    skipped: set[int] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            skipped |= {id(one) for one in ast.walk(node)}
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def doors() -> dict[str, dict[str, str]]:
    """Package of the core → what its `__init__` exports: name → the module that defines it."""
    return {stub.parent.name: {alias.name: f"recsys_core.{stub.parent.name}.{node.module}" for node in _tree(stub).body
                               if isinstance(node, ast.ImportFrom) for alias in node.names}
            for stub in sorted(CORE.glob("*/__init__.pyi"))}


@cache
def graph() -> dict[str, set[str]]:
    """Module of the core → modules of the core that it imports, itself or through a door."""
    names = {name_of(path) for path in modules(CORE)}
    exported = {f"recsys_core.{package}.{name}": module for package, door in doors().items() for name, module in door.items()}
    found = {}
    for path in modules(CORE):
        wanted = {name if name in names else exported.get(name, name.rpartition(".")[0]) for name in imports(path)}
        found[name_of(path)] = (wanted & names) - {name_of(path), "recsys_core"}
    return found


def asked_at_doors() -> dict[str, set[str]]:
    """Package of the core → what other packages and houses import from it: names at its door, else module.name."""
    found: dict[str, set[str]] = {package: set() for package in doors()}
    for house in (*HOUSES, "benchmarks"):
        for path in modules(ROOT / house):
            for name in imports(path):
                core, package, *inner = *name.split("."), ""
                if core == "recsys_core" and package in found and CORE / package not in path.parents:
                    found[package].add(".".join(inner).removesuffix("."))
    return found


def upward_arrows() -> list[tuple[str, str]]:
    """Imports of a room from a room above it, and of a house from a house above it."""
    inside = [(module, other) for module, others in graph().items() for other in others
              if FLOORS.index(other.split(".")[1]) > FLOORS.index(module.split(".")[1])]
    between = [(name_of(path), name) for at, house in enumerate(HOUSES) for path in modules(ROOT / house)
               for name in imports(path) if name.split(".")[0] in HOUSES[at + 1:]]
    return inside + between


def circles() -> list[tuple[str, ...]]:
    """Modules of the core that import each other in a round, each round once."""
    found, done = [], set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        if module in above:
            found.append((*above[above.index(module):], module))
        elif module not in done:
            for other in sorted(graph()[module]):
                visit(other, (*above, module))
            done.add(module)

    for module in graph():
        visit(module, ())
    return found


def public_names() -> dict[str, Path]:
    """Functions and classes of the core without a leading underscore, as module.name, and where they are."""
    return {f"{name_of(path)}.{node.name}": path for path in modules(CORE) for node in _tree(path).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")}


def unused_names(houses: tuple[str, ...]) -> list[str]:
    """Public names of the core that nothing in these houses uses, not even their own module."""
    used: dict[str, set[str]] = {}  # name → modules that say it
    for house in houses:
        for path in modules(ROOT / house):
            for node in ast.walk(_tree(path)):
                if isinstance(node, ast.Name | ast.Attribute):
                    name = node.id if isinstance(node, ast.Name) else node.attr
                    used.setdefault(name, set()).add(name_of(path))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                    used.setdefault(node.value, set()).add(name_of(path))
    return [name for name in public_names() if not used.get(name.rpartition(".")[2])]
