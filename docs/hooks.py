"""Pages that exist elsewhere or follow from the code: nothing here is a copy that could drift.

The README and its sisters become pages, a notebook becomes one, and every package of the core gets a page with the
names at its door.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import griffe
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# Where a file of the checkout is in the site; links to it are rewritten.
PLACES = {"README.md": "index.md", "README.zh.md": "README.zh.md", "CONTRIBUTING.md": "contributing.md",
          "CHANGELOG.md": "changelog.md", "LICENSE": "LICENSE.txt", "NOTICE": "NOTICE.txt"}
LINK = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")
DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the API pages to the navigation."""
    config.nav = [*(config.nav or []), {"API": [{name: f"api/{name}.md"} for name in doors()]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    pages = {place: in_site((ROOT / name).read_text("utf-8")) for name, place in PLACES.items()}
    pages |= {f"{path.stem}.md": notebook_page(path) for path in (ROOT / "docs").glob("*.ipynb")}
    pages |= {f"api/{name}.md": api_page(name, door) for name, door in doors().items()}
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    return files


def in_site(text: str) -> str:
    """A page of the checkout's top folder with its relative links as they are in the site."""
    def moved(link: re.Match[str]) -> str:
        target = PLACES.get(link[1], link[1].removeprefix("docs/").replace(".ipynb", ".md"))
        return f"]({target}{link[2] or ''})"

    return LINK.sub(moved, text)


def notebook_page(path: Path) -> str:
    """A notebook as Markdown: its texts, and its code in fences."""
    cells = [cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```"
             for cell in nbformat.read(path, as_version=4).cells]
    return "\n\n".join([*cells, f"The notebook itself: [{path.name}]({path.name}).\n"])


def doors() -> dict[str, list[str]]:
    """Package of the core → the names that its stub offers to others."""
    return {stub.parent.name: offered(stub) for stub in sorted((ROOT / "recsys_core").glob("*/__init__.pyi"))}


def offered(stub: Path) -> list[str]:
    """The names in a stub's `__all__`."""
    for node in ast.parse(stub.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    raise ValueError(f"{stub}: no __all__")


def api_page(package: str, names: list[str]) -> str:
    """The page of one package: what it is for, then every name at its door."""
    code = (ROOT / "recsys_core" / package / "__init__.py").read_text("utf-8")
    about = ast.get_docstring(ast.parse(code)) or ""
    entries = [f"::: recsys_core.{package}.{name}" for name in names]
    return "\n\n".join([f"# recsys_core.{package}", about, *entries]) + "\n"


class Doctests(griffe.Extension):
    """Fences the doctests of docstrings, which Markdown would take for quotations."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called for each module, class, function and attribute that is read."""
        if obj.docstring:
            obj.docstring.value = DOCTEST.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
