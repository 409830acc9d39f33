"""The code location reads its shop from the environment once: give it a small planted one, before any import."""

import atexit
import functools
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.shops import planted_shop

_ROOT = Path(tempfile.mkdtemp(prefix="recsys-tests-"))
atexit.register(shutil.rmtree, _ROOT, ignore_errors=True)
SHOP = planted_shop(_ROOT / "shop", users=24, days=12)
with open(SHOP / "shop.yaml", "a") as _settings:
    _settings.write("first_day: 2024-03-01\nlast_day: 2024-03-12\n")
os.environ.update(RECSYS_SHOP=str(SHOP), RECSYS_HOME=str(_ROOT / "home"), RECSYS_PROFILE="full")
for _name in ("MLFLOW_TRACKING_URI", "DAGSTER_HOME", "RECSYS_ALERT_URL"):
    os.environ.pop(_name, None)


# Modules and groups of modules that take longest: a worker that met one last would be waited for.
LONGEST = ("tests/test_kills.py", "tests/orchestration/test_replay.py", "tests/test_chain.py", "tests/test_ui.py", "built_shop")
SHARED = ("built_shop", "made_home")


def pytest_configure(config: pytest.Config) -> None:
    # Dagster is pinned: notices about what may change in later releases say nothing here.
    config.addinivalue_line("filterwarnings", "ignore:.*is currently in (beta|preview)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers (`pytest -n`) the longest groups begin first."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: LONGEST.index(group) if (group := _group_of(item.nodeid)) in LONGEST else len(LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A worker is handed one group of tests after another. (Groups by mark, `--dist loadgroup`, do not meet pytest 9.)"""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group_of(nodeid)

    return ByGroup(config, log)


def _group_of(nodeid: str) -> str:
    """A test's file, or the costly thing that some files share: it is made once for all of them."""
    return _group_of_file(nodeid.partition("::")[0])


@functools.cache
def _group_of_file(name: str) -> str:
    path = Path(__file__).parents[1] / name
    source = path.read_text(encoding="utf-8") if path.is_file() else ""
    return next((shared for shared in SHARED if shared in source), name)


@pytest.fixture(autouse=True)
def _logs_as_before():
    """A command that starts logging replaces the handlers of its process, and writes to streams that end with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def home(tmp_path: Path):
    """An empty RECSYS_HOME over a private copy of the shop, so that a test may change its drops."""
    from assets.partitions import Home

    shop = shutil.copytree(SHOP, tmp_path / "shop")
    return Home(folder=str(tmp_path / "home"), shop=str(shop))


@pytest.fixture(scope="session")
def made_home():
    """A RECSYS_HOME with every day ingested, cleaned and turned into features, and the run's results; read only."""
    from assets.partitions import Home
    from tests.assets.runs import DAYS, materialize

    home = Home(folder=str(_ROOT / "made"), shop=str(SHOP))
    days = materialize(home, "ingestion", "cleaning", days=DAYS)
    return home, days, materialize(home, "features")
