"""A page as a list of blocks, rendered once to Markdown and once to self-contained HTML.

Both come from the same blocks, so they cannot disagree. Text knows one mark-up: **bold**.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """A table cell with a tone: good, bad, muted, or one of the decision pills."""

    text: str
    tone: str = ""


Entry = Cell | str  # what a table holds


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: list[str]


@dataclass(frozen=True)
class Tile:
    """One headline figure: what it is, its value, and what it is to be compared with."""

    name: str
    value: str
    beside: str
    tone: str = ""


@dataclass(frozen=True)
class Tiles:
    tiles: list[Tile]


@dataclass(frozen=True)
class Table:
    """Rows under headers.

    Args:
        headers: one per column.
        rows: as many entries each.
        words: how many leading columns hold words (left-aligned); the others hold numbers.
        last_is_words: whether the last column does, too.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    words: int = 1
    last_is_words: bool = False

    def is_word(self, column: int) -> bool:
        return column < self.words or (self.last_is_words and column == len(self.headers) - 1)


@dataclass(frozen=True)
class Figure:
    """A plot.

    Args:
        name: its file name without the ending.
        alt: what it shows, in words.
    """

    name: str
    alt: str


@dataclass(frozen=True)
class Folded:
    """Blocks that are there for whoever looks for them."""

    summary: str
    blocks: list[Block] = field(default_factory=list)


Block = Heading | Text | Bullets | Tiles | Table | Figure | Folded


def to_markdown(title: str, blocks: list[Block]) -> str:
    """GitHub-flavoured Markdown; figures point to `plots/<name>.png`."""
    return "\n\n".join([f"# {title}", *(_markdown(block) for block in blocks)]) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {text}"
        case Text(text):
            return text
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Tiles(tiles):
            rows = [[tile.name, f"**{tile.value}**", tile.beside] for tile in tiles]
            return _markdown(Table(["", "", ""], rows, words=3))
        case Table(headers, rows):
            marks = [":--" if block.is_word(column) else "--:" for column in range(len(headers))]
            table: list[Sequence[Entry]] = [headers, *rows]
            lines = [[_escape(_text(cell)) for cell in row] for row in table]
            return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], marks, *lines[1:]])
        case Figure(name, alt):
            return f"![{alt}](plots/{name}.png)"
        case Folded(summary, blocks):
            return "\n\n".join([f"### {summary}", *(_markdown(inner) for inner in blocks)])


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _text(cell: Entry) -> str:
    return cell.text if isinstance(cell, Cell) else cell


def to_html(title: str, subtitle: str, blocks: list[Block],
            images: dict[str, tuple[bytes, bytes]]) -> str:
    """One page that needs no other file.

    Args:
        images: figure name → PNG bytes for a light and for a dark page.
    """
    headings = [block.text for block in blocks if isinstance(block, Heading)]
    links = "".join(f'<a href="#{_anchor(text)}">{html.escape(text)}</a>' for text in headings)
    body = "\n".join(_html(block, images) for block in blocks)
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta name="color-scheme" content="light dark"><title>{html.escape(title)}</title>'
            f"<style>{STYLE}</style></head>\n<body><header><h1>{html.escape(title)}</h1>"
            f"<p>{html.escape(subtitle)}</p><nav>{links}</nav></header>\n<main>\n{body}\n</main></body></html>\n")


def _html(block: Block, images: dict[str, tuple[bytes, bytes]]) -> str:
    match block:
        case Heading(text):
            return f'<h2 id="{_anchor(text)}">{html.escape(text)}</h2>'
        case Text(text):
            return f"<p>{_inline(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
        case Tiles(tiles):
            return '<div class="tiles">' + "".join(
                f'<div class="tile {tile.tone}"><span>{_inline(tile.name)}</span><b>{_inline(tile.value)}</b>'
                f"<small>{_inline(tile.beside)}</small></div>" for tile in tiles) + "</div>"
        case Table():
            return _html_table(block)
        case Figure(name, alt):
            light, dark = ("data:image/png;base64," + base64.b64encode(png).decode() for png in images[name])
            return (f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
                    f'<img src="{light}" alt="{html.escape(alt)}"></picture></figure>')
        case Folded(summary, blocks):
            inner = "\n".join(_html(each, images) for each in blocks)
            return f"<details><summary>{html.escape(summary)}</summary>\n{inner}\n</details>"


def _html_table(table: Table) -> str:
    def cell(tag: str, column: int, value: Entry) -> str:
        kind = "w" if table.is_word(column) else "n"
        tone = value.tone if isinstance(value, Cell) else ""
        inner = _inline(_text(value))
        if tone in ("promoted", "refused", "nodata"):
            inner, tone = f'<span class="pill {tone}">{inner}</span>', ""
        return f'<{tag} class="{f"{kind} {tone}".strip()}">{inner}</{tag}>'

    head = "".join(cell("th", column, text) for column, text in enumerate(table.headers))
    rows = "".join("<tr>" + "".join(cell("td", column, value) for column, value in enumerate(row)) + "</tr>\n"
                   for row in table.rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>'


def _inline(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(text))


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


STYLE = """
:root{--page:#fff;--raised:#f6f7f9;--line:#dfe3e8;--text:#1b2430;--soft:#5b6776;--accent:#0b6e75;
--good:#0b6e4f;--bad:#b3261e;--warn:#8a5a00;--pill-good:#d9f0e6;--pill-warn:#f7e8c8;--pill-none:#e6e9ed}
@media(prefers-color-scheme:dark){:root{--page:#12161c;--raised:#1a2028;--line:#303844;--text:#e4e8ee;
--soft:#9aa6b5;--accent:#5cc4cb;--good:#5fd0a0;--bad:#ff8f85;--warn:#e9b95a;--pill-good:#12382b;
--pill-warn:#3b2e10;--pill-none:#2a313b}}
*{box-sizing:border-box}html{scroll-behavior:smooth}
body{margin:0 auto;max-width:72rem;padding:2.5rem 1.5rem 5rem;background:var(--page);color:var(--text);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.9rem;line-height:1.2;margin:0;letter-spacing:-.015em}
header p{color:var(--soft);margin:.4rem 0 1rem}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;font-size:.9rem;border-bottom:1px solid var(--line);
padding-bottom:1rem}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
h2{font-size:1.25rem;margin:2.8rem 0 .6rem;letter-spacing:-.01em;scroll-margin-top:1rem}
p,ul{max-width:46rem;margin:.6rem 0}ul{padding-left:1.2rem}li{margin:.3rem 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.8rem;margin:1.5rem 0}
.tile{background:var(--raised);border:1px solid var(--line);border-radius:10px;padding:.9rem 1rem}
.tile span,.tile small{display:block;color:var(--soft);font-size:.85rem;line-height:1.4}
.tile b{display:block;font-size:1.65rem;font-weight:650;line-height:1.35;font-variant-numeric:tabular-nums}
.tile.good b,td.good{color:var(--good)}.tile.bad b,td.bad{color:var(--bad)}td.muted{color:var(--soft)}
.wide{overflow-x:auto;margin:1rem 0;border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:.875rem;line-height:1.4}
th,td{padding:.45rem .8rem;text-align:right;border-top:1px solid var(--line);white-space:nowrap;
font-variant-numeric:tabular-nums;vertical-align:top}
th{background:var(--raised);border-top:0;color:var(--soft);font-weight:600;vertical-align:bottom}
th.w,td.w{text-align:left}td:last-child.w{white-space:normal;min-width:18rem}
td:first-child.w{position:sticky;left:0;background:var(--page);font-weight:550}
th:first-child.w{position:sticky;left:0}
tbody tr:hover td{background:var(--raised)}
.pill{display:inline-block;padding:.02rem .55rem;border-radius:99px;font-size:.8rem;font-weight:600}
.pill.promoted{background:var(--pill-good);color:var(--good)}
.pill.refused{background:var(--pill-warn);color:var(--warn)}
.pill.nodata{background:var(--pill-none);color:var(--soft)}
figure{margin:1.2rem 0}img{max-width:100%;height:auto;border:1px solid var(--line);border-radius:10px}
details{margin:1rem 0}summary{cursor:pointer;color:var(--accent);font-weight:550}
@media print{nav,details>summary{display:none}body{max-width:none;padding:0}.wide{overflow:visible}}
""".replace("\n", "")
