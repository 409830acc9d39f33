"""The package's metadata: what `make` installs and what the extras ask for are the same libraries."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import recsys_core

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    found = {re.split(r"[\s\[<>=!;]", line, maxsplit=1)[0].lower() for line in requirements if not line.startswith("#")}
    return found - {"", "fewshot-recsys"}


def test_every_direct_requirement_is_in_the_metadata():
    optional = ("words", "multilingual", "ray")  # what `make` does not install
    extras = {name: wanted for name, wanted in PROJECT["optional-dependencies"].items() if name not in optional}
    declared = names(PROJECT["dependencies"]).union(*map(names, extras.values()))
    assert declared == names((ROOT / "requirements.in").read_text("utf-8").splitlines())


def test_serving_asks_for_no_training_and_no_orchestration():
    heavy = {"torch", "transformers", "peft", "dagster", "mlflow", "great-expectations", "matplotlib", "pandas", "pyarrow"}
    assert not heavy & names(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["serve"])


def test_the_version_is_told_once_and_the_changelog_knows_it():
    assert version("fewshot-recsys") == recsys_core.__version__
    assert f"## {recsys_core.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
