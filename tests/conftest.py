"""The code location reads its shop from the environment once: give it a small planted one, before any import."""

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.shops import planted_shop

_ROOT = Path(tempfile.mkdtemp(prefix="recsys-tests-"))
atexit.register(shutil.rmtree, _ROOT, ignore_errors=True)
SHOP = planted_shop(_ROOT / "shop", users=24, days=12)
with open(SHOP / "shop.yaml", "a") as _settings:
    _settings.write("first_day: 2024-03-01\nlast_day: 2024-03-12\n")
os.environ.update(RECSYS_SHOP=str(SHOP), RECSYS_HOME=str(_ROOT / "home"), RECSYS_PROFILE="full")
for _name in ("MLFLOW_TRACKING_URI", "DAGSTER_HOME"):
    os.environ.pop(_name, None)


def pytest_configure(config: pytest.Config) -> None:
    # Dagster is pinned: notices about what may change in later releases say nothing here.
    config.addinivalue_line("filterwarnings", "ignore:.*is currently in (beta|preview)")


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
