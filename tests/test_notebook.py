"""The notebook runs from top to bottom, and what its text promises comes out."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "ten_minutes.ipynb"


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> nbformat.NotebookNode:
    """The executed notebook; its temporary folders lie below the test's."""
    place = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR", "TMPDIR"):
            patch.setenv(name, str(place))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(place)}})
        return client.execute()


def outputs(notebook: nbformat.NotebookNode, code: str) -> str:
    """What the cell that holds this code printed or showed, as text."""
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code" and code in cell.source)
    return "\n".join(out.get("text") or out.data["text/plain"] for out in cell.outputs)


def test_the_committed_notebook_holds_no_outputs():
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert len(cells) > 5 and all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_it_shows_a_figure(ran):
    assert sum("image/png" in out.get("data", {}) for cell in ran.cells for out in cell.get("outputs", [])) == 1


def test_the_segment_is_promoted_and_changes_the_list(ran):
    assert outputs(ran, 'bundle.segments["station"]').startswith("promoted ['little', 'full']")
    for_the_train = {f"vegan-{dish}" for dish in ("sandwich", "salad", "bar", "wrap", "smoothie", "muffin")}
    base, station = (set(re.findall(r"\w+-\w+", outputs(ran, code))) for code in ("show(bundle.recommend(hist", "at_station = "))
    assert len(base) == len(station) == 5 and not base & for_the_train and station <= for_the_train


def test_six_clicks_change_a_strangers_list_and_the_search_knows_the_taste(ran):
    pairs = re.findall(r"│ (\w+-\w+)\s+┆ (\w+-\w+)\s+│", outputs(ran, "mine = "))
    before, after = map(set, zip(*pairs, strict=True))
    assert len(after) == 5 and all(item.startswith("vegan-") for item in after) and before != after
    assert re.findall(r"\w+-\w+", outputs(ran, "bundle.search"))[0] == "vegan-wrap"
