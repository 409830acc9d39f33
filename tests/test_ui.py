"""What people see: the whole chain in Dagster's UI, looked at and clicked through in a headless Chromium."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from tests.browser import CHROMIUM, Page, end_group, open_browser
from tests.shops import PAYING, planted_shop
from tests.text_encoder.tiny_encoder import write_tiny_bert

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")]
ROOT = Path(__file__).parent.parent
STAGES = {  # group → an asset of it
    "ingestion": "raw_items", "cleaning": "clean_events", "features": "interactions", "base_model": "base_model",
    "adaptation": "segment_adapter", "evaluation": "evaluation_report", "distillation": "student",
    "deployment": "champion"}
# What the graph draws; the texts around it (a list of groups, the title) are not in it.
DRAWN = "[...document.querySelectorAll('foreignObject')].map(e => e.textContent)"
OPENED, CLOSED = (f"document.querySelectorAll('[role=dialog]').length {how}" for how in ("> 0", "=== 0"))
IMAGES = "[...document.querySelectorAll('[role=dialog] img')]"
LAUNCHED = """query { runsOrError(filter: {tags: [{key: "dagster/from_ui", value: "true"}]}) { ... on Runs { results {
    runId status assetSelection { path } tags { key value } } } } }"""


class Ui(NamedTuple):
    """A running UI over a home in which a cycle was made."""

    home: Path
    url: str

    def ask(self, query: str) -> dict[str, Any]:
        """The answer to a GraphQL query."""
        body = json.dumps({"query": query}).encode()
        request = Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]


@pytest.fixture(scope="module")
def ui(tmp_path_factory) -> Iterator[Ui]:
    """`dagster dev` over the planted shop, after a cycle with a toy encoder."""
    folder = tmp_path_factory.mktemp("ui")
    shop, encoder = planted_shop(folder / "shop"), write_tiny_bert(folder / "encoder", layers=4)
    environment = os.environ | {
        "RECSYS_SHOP": str(shop), "RECSYS_HOME": str(folder / "home"), "RECSYS_PROFILE": "quick",
        "DAGSTER_HOME": str(folder / "home" / "dagster"), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    made = subprocess.run([sys.executable, "-m", "tests.ui_home", str(encoder)], cwd=ROOT, env=environment, text=True,
                          capture_output=True)
    assert made.returncode == 0, made.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(folder / "dev.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)],
            cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        served = Ui(folder / "home", f"http://127.0.0.1:{port}")
        _wait_for_location(served, process, folder / "dev.log")
        yield served
    finally:
        end_group(process)


def _wait_for_location(ui: Ui, process: subprocess.Popen, log: Path, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            if ui.ask("query { assetNodes { id } }")["assetNodes"]:
                return
        except (URLError, ConnectionError):
            pass
        time.sleep(0.5)
    raise AssertionError(f"dagster dev serves no assets:\n{log.read_text()}")


@pytest.fixture(scope="module")
def page(ui: Ui, tmp_path_factory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("chromium")) as page:
        yield page


def test_the_asset_graph_shows_every_stage_and_its_assets(ui: Ui, page: Page) -> None:
    page.open(f"{ui.url}/asset-groups")
    page.wait(f"{DRAWN}.length >= {len(STAGES)}")
    drawn = page.run(DRAWN)
    assert len(drawn) == len(STAGES) and all(any(node.startswith(stage) for node in drawn) for stage in STAGES)
    for stage, asset in STAGES.items():
        page.open(f"{ui.url}/locations/orchestration.definitions/asset-groups/{stage}")
        page.wait(f"{DRAWN}.some(node => node.startsWith('{asset}') && node.includes('Latest event'))")


def test_one_segment_materializes_by_mouse(ui: Ui, page: Page) -> None:
    partition = f"{ui.url}/assets/segment_adapter?view=partitions&partition={PAYING}"
    others = {path: path.stat().st_mtime_ns for path in (ui.home / "segment_adapter").glob("*/*")
              if path.parent.name != PAYING}
    assert others and ui.ask(LAUNCHED)["runsOrError"]["results"] == []
    page.open(partition)
    page.wait_for_text("Latest materialization")
    page.click("Materialize…", until=OPENED)
    page.click("Launch 1 run", until=CLOSED)
    run = _wait_for_run(ui)
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert (run["status"], tags["dagster/partition"]) == ("SUCCESS", PAYING)
    assert run["assetSelection"] == [{"path": ["segment_adapter"]}]
    page.open(partition)
    page.wait_for_text("Materialized (5)", run["runId"][:8], "shots", "method")
    assert {path: path.stat().st_mtime_ns for path in others} == others


def _wait_for_run(ui: Ui, seconds: float = 90) -> dict[str, Any]:
    end, runs = time.monotonic() + seconds, []
    while time.monotonic() < end:
        runs = ui.ask(LAUNCHED)["runsOrError"]["results"]
        if runs and runs[0]["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
            return runs[0]
        time.sleep(0.5)
    raise AssertionError(f"no run launched in the UI came to its end: {runs}")


def test_the_report_and_its_plots_show_in_the_metadata(ui: Ui, page: Page) -> None:
    plots = sorted((ui.home / "report" / "plots").glob("*.png"))
    inlined = {f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" for path in plots}
    page.open(f"{ui.url}/assets/evaluation_report")
    page.click("[Show Markdown]", until=OPENED, row="ranking")
    page.wait(f"{IMAGES}.some(image => image.naturalWidth > 300)")
    assert page.run(f"{IMAGES}.map(image => image.src)")[0] in inlined
    page.open(f"{ui.url}/assets/evaluation_report")
    page.click("[Show Markdown]", until=OPENED, row="report")
    page.wait(f"{IMAGES}.length === {len(plots)} && {IMAGES}.every(image => image.naturalWidth > 300)")
    assert set(page.run(f"{IMAGES}.map(image => image.src)")) == inlined
    page.wait_for_text("Segments promoted", PAYING)
