"""The report says what the numbers say, losses included, in both formats and in one file each."""

import json
import re
from html.parser import HTMLParser

import pytest

from recsys_core.evaluation.leakage import Certificate, Check
from recsys_core.evaluation.results import Results, ShopFacts
from recsys_core.metrics.bootstrap import Interval
from recsys_core.report.base_sections import signed, with_interval
from recsys_core.report.document import to_markdown
from recsys_core.report.report import build_report, write_report
from tests.report.sample import interval, sample_results

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
        "metrics.json", *(f"plots/{name}.png" for name in (
            "known_steps", "ranking", "reliability", "segments", "shots", "training")),
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
    assert len(targets) == 6 and all((written / target).is_file() for target in targets)


def test_the_summary_comes_first_and_names_gains_losses_and_refusals(markdown):
    summary = markdown.split("## Summary")[1].split("## Ranking")[0]
    assert "better than personal frequency (+0.0250 [+0.0170, +0.0330])" in summary
    assert "First-time items alone" in summary and "not proven different from item-kNN" in summary
    assert "**Adapting pays for shoppers without history** in 2 of 6 segments: store (+0.0620 [+0.0540, +0.0700]), " in summary
    assert "new households (−0.0090 [−0.0170, −0.0010], **a loss**)." in summary
    assert "**Adapting pays for shoppers with little history** in 1 of 6 segments: store (" in summary
    assert "**A count of the shots does as well, as far as the gate can tell,** in easter|scene (none, full)." in summary
    assert "filtered to the page where there is one, in parents <45 (none)." in summary
    assert "**Shots tell nothing that the base does not know** in deli." in summary
    assert "**No data** to judge 1, where the base serves: christmas." in summary
    assert "level or ahead where the known steps are 0 (0.085, popularity 0.085)." in summary
    assert "1 of 1 certificates hold" in summary


def rows_of(markdown: str, heading: str, until: str) -> list[dict[str, str]]:
    """The first table after a heading."""
    section = markdown.split(heading)[1].split(until)[0]
    rows = [[cell.strip("| ") for cell in line.split(" | ")] for line in section.splitlines() if line.startswith("| ")]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def test_segments_and_audiences_are_told_one_by_one(markdown):
    rows = rows_of(markdown, "## Segments", "- **store:**")
    assert [(row["segment"], row["audience"], row["decision"]) for row in rows] == [
        ("store", "none", "promoted"), ("store", "little", "promoted"), ("store", "full", "refused"),
        ("new households", "none", "promoted"), ("new households", "full", "refused"),
        ("easter\\|scene", "none", "refused"), ("easter\\|scene", "full", "refused"), ("parents <45", "none", "refused"),
        ("deli", "none", "refused"), ("christmas", "–", "no data")]
    expected = {"questions": "300", "shoppers": "211", "base → adapted": "0.105 → 0.167", "pays from K": "16",
                "gain": "+0.0620 [+0.0540, +0.0700]", "toughest rival": "counting its shots", "p (Holm)": "0.004"}
    assert rows[0] | expected == rows[0]
    assert "- **christmas:** 3 shots, needs 4." in markdown


def test_a_familys_members_are_told_as_a_distribution(markdown):
    found, = rows_of(markdown, "**Families, member by member**", "![")
    assert found == {"family": "store", "by": "context.store", "members": "457", "with ≥ 5 questions": "3", "gain": "2 of 3",
                     "best": "367 +0.0800 (9 questions, 5,120 shots)", "median": "+0.0100",
                     "worst": "12 −0.0200 (7 questions, 311 shots)"}


def test_what_is_known_of_shoppers_has_a_table_of_its_own(markdown):
    rows = rows_of(markdown, "## NDCG@10 by known steps", "## Segments")
    assert [row["known steps"] for row in rows] == ["0", "1", "4", "all"]
    assert rows[0]["popularity"].startswith("**0.085") and rows[0]["base ranker"].startswith("**0.085")  # level
    assert rows[-1]["base ranker"] == "**0.230 [0.220, 0.240]**" and rows[-1]["popularity"] == "0.085 [0.077, 0.093]"


def test_gains_at_each_number_of_shots_are_there_for_whoever_looks(markdown):
    assert "| store | 64 | +0.0496 [+0.0416, +0.0576] |" in markdown.split("### Gain at each number of shots")[1]


def test_search_tells_its_source_its_weights_and_how_good_it_is_by_how_often_queries_are_asked(markdown):
    section = markdown.split("## Search")[1].split("## Tasks")[0]
    assert "Weights from: judgments. 68 queries; NDCG@10 +0.0123 on held-out ones." in section
    assert "| words | for the best match of words | 50.200 |" in section
    rows = rows_of(markdown, "**Judged by judgments**", "## Tasks")
    assert [row["queries"] for row in rows] == ["all", "head", "tail"]
    assert rows[0] == {"queries": "all", "asked": "68", "NDCG@10": "0.620 [0.600, 0.640]", "MRR@10": "0.682 [0.662, 0.702]",
                       "recall@50": "0.820 [0.790, 0.850]", "nothing fits": "1.47%"}
    assert "**Search:** NDCG@10 0.620 [0.600, 0.640] on 68 queries" in markdown.split("## Ranking")[0]


def test_a_search_that_nobody_judged_says_so():
    search = sample_results().search.model_copy(update={"judged_by": None, "slices": {}})
    text = told(sample_results().model_copy(update={"search": search}))
    assert "Not judged" in text and "**Search:**" not in text


def test_tasks_are_told_proven_and_refused_beside_each_rival(markdown):
    rows = rows_of(markdown, "## Tasks", "| task | rival")
    assert [(row["task"], row["verdict"], row["score"], row["unsure below"]) for row in rows] == [
        ("intent", "proven", "0.910", "0.440"), ("material", "refused", "0.500", "–"), ("odd", "refused", "–", "–")]
    assert rows[2]["reason"] == "rows of several kinds" and rows[0]["rows"] == "216"
    assert "| intent | words alone | 0.720 | +0.190 [+0.140, +0.240] |" in markdown
    assert "- **intent:** share of texts whose likeliest class is right; on rows of the split test: macro f1 0.900." in markdown
    assert "**Tasks:** 1 of 3 beat every rival: intent." in markdown.split("## Ranking")[0]


def test_names_from_the_shop_cannot_become_markup(written, markdown):
    html = (written / "report.html").read_text(encoding="utf-8")
    assert "Corner &amp; Sons" in html and "parents &lt;45" in html and "parents <45" not in html
    assert "easter\\|scene" in markdown


def test_metrics_json_is_the_results_and_what_is_not_measured_is_null(written):
    stored = json.loads((written / "metrics.json").read_text())
    assert Results.model_validate(stored) == sample_results()
    assert stored["segments"][-1]["by_audience"] == {} and stored["segments"][0]["by_audience"]["none"]["promoted"] is True


def told(results: Results) -> str:
    return to_markdown("Evaluation", build_report(results, set()))


def test_the_off_policy_value_is_told_only_where_there_is_one():
    results = sample_results()
    assert "instead 0.0258 [0.0228, 0.0288] (SNIPS" in told(results)
    unlogged = results.exposures.model_copy(update={"policy": None})
    assert "Off-policy" not in told(results.model_copy(update={"exposures": unlogged}))


def test_what_promotions_add_is_told_and_that_they_were_left_out():
    results = sample_results()
    kept = "**Promotions** (display, mailer): part of the score for shoppers with little history and with full history; "
    assert kept + "shoppers without history −0.0012 [−0.0032, +0.0008] on the gate window" in told(results)
    refused = results.promotions.model_copy(update={"audiences": [], "reason": "no evidence: too few questions", "report": {}})
    text = told(results.model_copy(update={"promotions": refused}))
    assert "left out of the score, no evidence: too few questions; shoppers without history" in text
    assert "**Promotions**" not in told(results.model_copy(update={"promotions": None}))


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
    assert "by known steps" not in text and "## Search" not in text and "## Tasks" not in text


def test_a_failing_report_leaves_the_previous_one(tmp_path, monkeypatch):
    monkeypatch.setattr("recsys_core.report.plots._png", lambda figure, theme: b"drawn")
    write_report(tmp_path / "report", bare())
    before = (tmp_path / "report" / "report.md").read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("recsys_core.report.report.to_html", fail)
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


def test_groups_that_lag_behind_are_told_with_their_intervals(markdown):
    section = markdown.split("## Fairness")[1].split("\n## ")[0]
    assert "−0.1100 [−0.1300, −0.0900]" in section and "47.8%" in section and "too few to say" in section
    assert "0.300 [0.290, 0.310]" in section and "+0.100 [+0.090, +0.110]" in section
    assert "age 19-24 lags furthest behind: NDCG@10 0.120, 47.8% below all others" in markdown.split("## Ranking")[0]
