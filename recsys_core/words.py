"""Words of a text: what lexical search counts, and what stands in for an encoder that cannot read."""

from __future__ import annotations

import re
import unicodedata

WORD = re.compile(r"\w+")
# Scripts written without spaces: Han, kana, Thai, Lao, Myanmar, Khmer.
UNSEGMENTED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf"
                         "\u4e00-\u9fff\uf900-\ufaff]+")

HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")  # most characters are words or parts of words
HANGUL = re.compile("[\uac00-\ud7a3]")  # syllables, written with spaces


def tokenize(text: str) -> list[str]:
    """Words, folded and without a plural s; two-character pieces where a script has no spaces.

    >>> tokenize("Wooden TRAINS, glass 2l"), tokenize("木製おもちゃ")
    (['wooden', 'train', 'glass', '2l'], ['木製', '製お', 'おも', 'もち', 'ちゃ'])
    """
    tokens = []
    for word in WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        position = 0
        for run in UNSEGMENTED.finditer(word):
            tokens += _words(word[position:run.start()])
            piece = run.group()
            tokens += [piece] if len(piece) == 1 else [piece[i:i + 2] for i in range(len(piece) - 1)]
            position = run.end()
        tokens += _words(word[position:])
    return tokens


def _words(word: str) -> list[str]:
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return [word] if word else []
