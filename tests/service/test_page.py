"""The page at /, as a shopper's engineer tries it: in a headless Chromium, over the tiny bundle."""

import pytest

from tests.browser import CHROMIUM, open_browser

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]
TITLES = "[...document.querySelectorAll('.card .title')].map(one => one.innerText)"


@pytest.fixture
def page(address, tmp_path):
    """A tab that shows the page."""
    with open_browser(tmp_path / "profile") as tab:
        tab.open(f"{address}/")
        tab.wait("document.querySelectorAll('.card').length === 12")
        yield tab


def click(page, title: str) -> None:
    """Click an item's card; the next answer has another number."""
    before = page.run("document.getElementById('list').dataset.answer")
    page.run(f"[...document.querySelectorAll('.card')].find(one => one.querySelector('.title').innerText === {title!r})"
             ".querySelector('.take').click()")
    page.wait(f"document.getElementById('list').dataset.answer !== {before!r}")


def test_the_list_changes_with_every_click_and_says_why(page):
    first = page.run(TITLES)
    click(page, "Steel mug")
    assert page.run(TITLES)[0] == "Zinc planter"  # what everybody takes next
    assert "Steel mug" in page.run("document.querySelector('.card .why').innerText")
    assert page.run("[...document.querySelectorAll('.card:first-child td')].some(one => one.textContent === 'Steel mug')")
    for n in range(7):
        click(page, page.run(TITLES)[n % 3])
    assert page.run("document.querySelectorAll('#history li').length") == 8
    assert page.run(TITLES) != first


def test_the_segment_adapter_is_switched_on_and_off(page):
    who = "document.getElementById('segment').innerText"
    page.run("document.querySelector('select[name=store]').value = '367'")
    page.run("document.querySelector('select[name=store]').dispatchEvent(new Event('change'))")
    page.wait(f"{who}.includes('store')")
    page.run("document.getElementById('adapter').click()")
    page.wait(f"{who}.includes('the base')")


def test_a_search_answers_in_place_of_the_list(page):
    page.run("document.getElementById('query').value = 'glass teapot'")
    page.run("document.getElementById('search').requestSubmit()")
    page.wait("document.getElementById('heading').innerText.includes('glass teapot')")
    assert page.run(TITLES)[:2] == ["Glass teapot", "Glass teapot"]


def test_a_fault_is_told(page):
    refused = '{"error": {"artefact": "request", "culprit": "is odd", "fix": "send less"}}'
    page.run(f"window.fetch = async () => new Response('{refused}', {{status: 422}})")
    page.run("document.getElementById('adapter').click()")
    page.wait("document.getElementById('fault').innerText.includes('is odd')")
