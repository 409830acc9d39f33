"""The documentation is built as `make docs` builds it; what leads nowhere stops it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from benchmarks.structure import doors

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_package_has_a_page_with_the_names_at_its_door(site):
    for package, door in doors().items():
        page = (site / "api" / f"{package}.html").read_text("utf-8")
        told = re.findall(rf'<h2 id="recsys_core\.{package}\.(\w+)"', page)
        assert sorted(told) == sorted(door), package
    assert 'id="recsys_core.serving.Bundle.recommend"' in (site / "api" / "serving.html").read_text("utf-8")


def test_the_start_page_is_the_readme_and_its_links_lead_into_the_site(site):
    page = (site / "index.html").read_text("utf-8")
    assert "Where adapting pays, and where it does not" in page
    for target in re.findall(r'href="([^":]+?\.(?:html|txt))["#]', page):
        assert (site / target).is_file(), target


def test_no_page_needs_a_network(site):
    for page in site.rglob("*.html"):
        assert re.findall(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?:https?:)?//', page.read_text("utf-8")) == [], page


@pytest.mark.parametrize("planted", ["[gone](gone.md)", "[gone](index.md#gone)", "[gone](/gone.html)"])
def test_a_link_that_leads_nowhere_stops_the_build(tmp_path, planted):
    (tmp_path / "docs").mkdir()
    settings = {"docs_dir": str(tmp_path / "docs"), "site_dir": str(tmp_path / "site"), "nav": [{"Start": "index.md"}],
                "hooks": [], "plugins": [], "strict": True}
    for text, stops in (("# Start\n", False), (f"# Start\n{planted}\n", True)):
        (tmp_path / "docs" / "index.md").write_text(text)
        if stops:
            with pytest.raises(Abort):
                build(load_config(str(ROOT / "mkdocs.yml"), **settings))
        else:
            build(load_config(str(ROOT / "mkdocs.yml"), **settings))
