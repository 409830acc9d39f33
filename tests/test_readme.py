"""The README and its Chinese sister tell the same figures and stay short."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh.md"))


def figures(text: str) -> list[str]:
    """Decimals and thousands outside code."""
    return sorted(re.findall(r"[−+]?\d+\.\d{2,}|\d{1,3}(?:,\d{3})+", re.sub(r"`+[^`]*`+", "", text)))


def test_both_readmes_tell_the_same_figures():
    assert figures(ENGLISH) == figures(CHINESE) and len(figures(ENGLISH)) > 30


def test_the_readmes_are_short():
    assert max(len(text.splitlines()) for text in (ENGLISH, CHINESE)) < 150
