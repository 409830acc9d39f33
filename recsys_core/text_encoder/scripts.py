"""Whether an encoder reads a shop's script: which words its tokenizer knows, and which it only spells.

A vocabulary may lack a script's letters, or have its letters and none of its words. Either way the vectors cannot tell a shop's
texts apart by meaning.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from recsys_core.text_encoder.multilingual import MULTILINGUAL
from recsys_core.words import HANGUL, UNSEGMENTED

if TYPE_CHECKING:
    from recsys_core.text_encoder.encoder import TextEncoder

log = logging.getLogger(__name__)

UNKNOWN_LIMIT = 0.1  # share of unread words above which the vectors cannot tell a shop's texts apart
SPELLED = 3  # tokens of one letter or less in a row: a word is spelled, not read


def check_reading(encoder: TextEncoder, texts: list[str]) -> float:
    """Share of a shop's distinct texts that the encoder does not read, 0–1; warns where it is above `UNKNOWN_LIMIT`."""
    share = encoder.unknown_share(texts)
    if share > UNKNOWN_LIMIT:
        example = next(text for text in texts if encoder.unknown_share([text]) > UNKNOWN_LIMIT)
        fix = f"set `base_model: {MULTILINGUAL}` in shop.yaml" if encoder.source != MULTILINGUAL else \
            "name a Hugging Face model that knows the script as `base_model` in shop.yaml"
        log.warning("%.0f%% of the item texts' words are unknown to %s or spelled letter by letter (an example: %r): search "
                    "and text vectors go by words and character pairs instead. Fix: %s",
                    100 * share, encoder.source, example[:80], fix)
    return share


def unread_share(texts: Sequence[str], read: Sequence[Any], unknown: int | None) -> float:
    """Share of tokens that are unknown or spell a word, 0–1; what spells a word counts once.

    Args:
        texts: as they were read.
        read: their `tokenizers.Encoding`s, with offsets.
        unknown: id of the unknown token, if there is one.
    """
    unread = total = 0
    for text, row in zip(texts, read, strict=True):
        for first, past in _runs(text, row.offsets):
            spelled = past - first >= SPELLED
            unread += 1 if spelled else row.ids[first:past].count(unknown)
            total += 1 if spelled else past - first
    return unread / max(total, 1)


def _runs(text: str, offsets: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """First and past last of the tokens that spell and touch each other; any other token alone."""
    first = 0
    for place in range(1, len(offsets) + 1):
        if place == len(offsets) or offsets[place][0] > offsets[place - 1][1] \
                or not _spells(text, offsets, place) or not _spells(text, offsets, place - 1):
            yield first, place
            first = place


def _spells(text: str, offsets: Sequence[tuple[int, int]], place: int) -> bool:
    """Whether a token is a letter or mark, or a part of a Hangul syllable; a character of an unsegmented script says more."""
    begin, end = offsets[place]
    if end - begin != 1 or unicodedata.category(text[begin])[0] not in "LM" or UNSEGMENTED.match(text[begin]):
        return False
    return not HANGUL.match(text[begin]) or (begin, end) in (*offsets[max(place - 1, 0):place], *offsets[place + 1:place + 2])
