"""Free text: one spelling, no control characters, no personal data."""

import polars as pl
import pytest

from recsys_core.cleaning.text import normalise_text, strip_markup, trim_id
from recsys_core.personal import mask_personal_data, mask_text


def apply(expression: pl.Expr, text: str | None) -> str | None:
    return pl.DataFrame({"t": [text]}, schema={"t": pl.String}).select(expression)["t"][0]


@pytest.mark.parametrize(("given", "wanted"), [
    ("  two   words ", "two words"), ("tab\tand\x00nul\x07", "tab and nul"),
    ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"), ("zero\u200bwidth", "zerowidth"), ("\u202eevil", "evil"),
    ("👩\u200d🍳 شاي", "👩\u200d🍳 شاي"), (" \t ", None), (None, None),
])
def test_normalise_text(given: str | None, wanted: str | None) -> None:
    assert apply(normalise_text("t"), given) == wanted


def test_trim_id_keeps_the_id_as_supplied_but_for_its_margins() -> None:
    assert apply(trim_id("t"), " 00 7 ") == "00 7"
    assert apply(trim_id("t"), "  ") is None


@pytest.mark.parametrize(("given", "wanted"), [
    ("mail ann.b+c@shop.co.uk now", "mail [email] now"),
    ("card 4111 1111 1111 1111", "card [card]"), ("4111-1111-1111-1111 exp", "[card] exp"),
    ("+1 (555) 010-9999", "[phone]"), ("tel 020 7946 0958.", "tel [phone]."), ("5550109999", "[phone]"),
    ("bolt m8 1.25x40 pack 100", "bolt m8 1.25x40 pack 100"), ("iphone 12 256 gb", "iphone 12 256 gb"),
    ("电话13800138000谢谢", "电话[phone]谢谢"), ("卡号6222021234567890123号", "卡号[card]号"),
    ("型号ab1234567890", "型号ab1234567890"), ("ann@\u200bx.org", "[email]"),
    ("\uff15\uff15\uff15\uff10\uff11\uff10\uff19\uff19\uff19\uff19", "[phone]"),
    ("\uff34 shirt", "\uff34 shirt"), ("calendar 2024", "calendar 2024"), ("part 1234567", "part 1234567"),
])
def test_mask_personal_data(given: str, wanted: str) -> None:
    assert apply(mask_personal_data("t"), given) == mask_text(given) == wanted


def test_strip_markup_decodes_entities_and_leaves_the_argument_alone() -> None:
    given = pl.Series("t", ["salt &amp; pepper", "<b>bold</b> &#39;x&#39;", "3 < 4 > 2", None])
    assert strip_markup(given).to_list() == ["salt & pepper", " bold  'x'", "3 < 4 > 2", None]
    assert given[0] == "salt &amp; pepper"
