"""The report says what the numbers say, losses included, in both formats and in one file each."""

import json
import re
from html.parser import HTMLParser

import pytest

from recsys_core.evaluation.bootstrap import Interval
from recsys_core.evaluation.document import to_markdown
from recsys_core.evaluation.leakage import Certificate, Check
from recsys_core.evaluation.report import build_report, write_report
from recsys_core.evaluation.report_sections import signed, with_interval
from recsys_core.evaluation.results import Results, ShopFacts
from tests.evaluation.sample import interval, sample_results

VOID = {"meta", "img", "source"}


class Page(HTMLParser):
    """Collects the text and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.words, self.links = [], [], []

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "srcset", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home") / "report"
    write_report(folder, sample_results())
    return folder


@pytest.fixture(scope="module")
def markdown(written):
    return (written / "report.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(written):
    parser = Page()
    parser.feed((written / "report.html").read_text(encoding="utf-8"))
    return parser


def test_the_folder_holds_both_formats_the_plots_and_the_metrics(written):
    assert sorted(path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()) == [
        "metrics.json", *(f"plots/{name}.png" for name in ("ranking", "reliability", "segments", "shots", "training")),
        "report.html", "report.md"]


def test_the_page_is_well_formed_and_needs_nothing_else(page):
    assert page.open == [] and len(page.links) > 8
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)


def test_both_formats_say_the_same(markdown, page):
    words = " ".join(page.words)
    said = re.sub(r"!\[.*?\]\(.*?\)|[#|*\\]|:?--:?|^- ", " ", markdown, flags=re.MULTILINE).split()
    missing = [word for word in said if word not in words]
    assert not missing


def test_every_plot_that_markdown_points_to_exists(written, markdown):
    targets = re.findall(r"!\[.*?\]\((.*?)\)", markdown)
    assert len(targets) == 5 and all((written / target).is_file() for target in targets)


def test_the_summary_comes_first_and_names_gains_losses_and_refusals(markdown):
    summary = markdown.split("## Summary")[1].split("## Ranking")[0]
    assert "better than personal frequency (+0.0250 [+0.0170, +0.0330])" in summary
    assert "First-time items alone" in summary and "not proven different from item-kNN" in summary
    assert "**Adapting paid at the gate** in 3 of 6 segments, now promoted: floral, new households, deli" in summary
    assert "**a loss** in 1 (deli −0.0090 [−0.0170, −0.0010])" in summary
    assert "**Adapting did not pay** in 2, which serve the base: easter|scene, parents <45." in summary
    assert "**No data** to judge 1, which serve the base: christmas." in summary
    assert "1 of 1 certificates hold" in summary


def test_segments_are_ordered_by_decision_then_gain(markdown):
    table = markdown.split("## Segments")[1].split("###")[0]
    names = [line.split("|")[1].strip(" \\") for line in table.splitlines() if line.startswith("| ")][2:]
    assert names == ["floral", "new households", "deli", "easter", "parents <45", "christmas"]
    assert "does not pay: not proven better than placebo" in table and "3 shots, needs 4" in table


def test_each_segment_tells_from_how_many_shots_on_it_pays_and_what_the_night_skips(markdown):
    section = markdown.split("## Segments")[1]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in section.split("**Skipped")[0].splitlines()
            if line.startswith("| ")]
    heads = [head.strip("| ") for head in rows[0]]
    found = {row[0].strip("| "): dict(zip(heads, row, strict=True)) for row in rows[2:]}
    assert {name: row["break-even K"] for name, row in found.items()} == {
        "floral": "16", "new households": "64", "deli": "none", "easter\\|scene": "none", "parents <45": "none",
        "christmas": "–"}
    assert found["floral"]["shots available"] == "412" and found["floral"]["K"] == "256"
    assert "- **deli:** adapting did not pay with 412 shots: not again before it has 824." in section
    assert "**Skipped by the nightly job**" in markdown.split("## Ranking")[0]
    assert "| floral | 64 | +0.0496 [+0.0416, +0.0576] | +0.0050 [−0.0010, +0.0110] | 80% | 0.0087 |" in section


def test_names_from_the_shop_cannot_become_markup(written, markdown):
    html = (written / "report.html").read_text(encoding="utf-8")
    assert "Corner &amp; Sons" in html and "parents &lt;45" in html and "parents <45" not in html
    assert "easter\\|scene" in markdown


def test_metrics_json_is_the_results_and_what_is_not_measured_is_null(written):
    stored = json.loads((written / "metrics.json").read_text())
    assert Results.model_validate(stored) == sample_results()
    assert stored["segments"][0]["in_domain"]["placebo"] is None


def told(results: Results) -> str:
    return to_markdown("Evaluation", build_report(results, set()))


def test_the_off_policy_value_is_told_only_where_there_is_one():
    results = sample_results()
    assert "instead 0.0258 [0.0228, 0.0288] (SNIPS" in told(results)
    unlogged = results.exposures.model_copy(update={"policy": None})
    assert "Off-policy" not in told(results.model_copy(update={"exposures": unlogged}))


def test_a_worse_base_is_said_to_be_worse():
    results = sample_results()
    gain = results.gains[0].model_copy(update={"interval": interval(-0.03, 0.01)})
    text = told(results.model_copy(update={"gains": [gain]}))
    assert "**worse** than personal frequency (−0.0300 [−0.0400, −0.0200])" in text
    assert "better than" not in text.split("## Ranking")[0].split("**Exposures")[0]


def test_a_broken_or_missing_certificate_is_said_first():
    leak = Certificate("deli", "broken", (Check("support before gate", False, "1 row", ("support row 7",)),))
    for certificates, words in (([leak], "**Leakage: broken** for deli"), ([], "**Leakage: not checked.**")):
        text = told(sample_results().model_copy(update={"certificates": certificates}))
        assert words in text.split("## Ranking")[0]
        assert ("support row 7" in text) == bool(certificates)


def bare() -> Results:
    return Results(windows=[], methods=[], shop=ShopFacts(
        name="bare", first_day="2000-01-01", last_day="2000-01-01", users=1, items=2, events=3, order_only=True))


def test_a_shop_with_nothing_optional_still_gets_a_report(tmp_path):
    write_report(tmp_path / "report", bare())
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "declares no segments" in text and "logs no impressions" in text and "![" not in text
    assert "## Exposures" not in text and "## Student" not in text and "## Segments" not in text


def test_a_failing_report_leaves_the_previous_one(tmp_path, monkeypatch):
    write_report(tmp_path / "report", bare())
    before = (tmp_path / "report" / "report.md").read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("recsys_core.evaluation.report.to_html", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path / "report", sample_results().model_copy(update={"curves": []}))
    assert (tmp_path / "report" / "report.md").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_the_report_is_the_same_for_the_same_results():
    plots = {"ranking", "segments"}
    assert build_report(sample_results(), plots) == build_report(sample_results(), plots)


def test_numbers_are_rounded_signed_and_open_where_unbounded():
    assert with_interval(Interval(0.23456, 0.2, 0.27, 0.01, 9, 9), 3) == "0.235 [0.200, 0.270]"
    assert signed(Interval(0.01, float("-inf"), float("inf"), 1.0, 1, 1)) == "+0.0100 [−∞, +∞]"
    assert signed(None) == with_interval(None) == "–"
