"""Which tokens a causal model may write next, so that its text is made of an item's own phrases and of neutral words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from recsys_core.wording.facts import Facts
from recsys_core.wording.grounding import stem
from recsys_core.wording.neutral import BRAND, MAKER, NEUTRAL, PRICE

SIZE = frozenset(["size", "amount", "quantity", "pack", "package"])
MARKS = (".", ",")
Node = dict[int, Any]  # token → the node behind it; END: a phrase may end here
END = -1


def item_phrases(facts: Facts, language: str) -> list[str]:
    """What a text about an item may be made of: its fields whole, the words of its short fields, and neutral words.

    Numbers only stand in whole fields, so that none meets another unit. Neutral words about a field the item lacks are left out.

    Args:
        facts: of the item.
        language: of the neutral words.
    """
    whole = [facts.title, facts.brand, *facts.category, *facts.sizes, *facts.others.values()]
    whole += [] if facts.price is None else [f"{facts.price:.2f}"]
    short = (facts.title, *facts.category, *facts.others.values())
    words = [word.strip(".,;:()[]\"'") for text in short for word in text.split()]
    lacking = (set() if facts.brand else BRAND | MAKER) | (set() if facts.sizes else SIZE) | (
        set() if facts.price is not None else PRICE)
    neutral = [word for word in NEUTRAL[language] if stem(word) not in lacking]
    found = [*whole, *(text.lower() for text in (*whole, *words)), *(word for word in words if word),
             *neutral, *(word.capitalize() for word in neutral)]
    return sorted({text for text in found if text and not (text[0].isdigit() and text in words and text not in whole)})


class Phrasebook:
    """Phrases as tokens.

    Args:
        phrases: that a text may be made of.
        tokenize: text → token ids, without special tokens.
        end: the token that ends a text.
    """

    def __init__(self, phrases: Iterable[str], tokenize: Callable[[str], Sequence[int]], end: int) -> None:
        self._root: Node = {}
        for phrase in phrases:
            node = self._root
            for token in tokenize(f" {phrase}"):
                node = node.setdefault(token, {})
            node[END] = {}
        self._marks = {tokenize(mark)[0] for mark in MARKS}
        self._stop, self._end = tokenize(".")[0], end

    def following(self, written: Sequence[int]) -> list[int]:
        """The tokens that may follow those written so far.

        A text begins with a phrase. After a phrase comes another or a mark, after a full stop the text may end.

        Args:
            written: tokens of the text without its prompt.
        """
        nodes, last = [self._root], None
        for token in written:
            nodes = self._after(nodes, token)
            last = token
        if last == self._stop:
            return [*self._root, self._end]
        found = {token for node in nodes for token in node if token != END}
        if any(END in node for node in nodes):
            found |= self._root.keys() | self._marks
        return sorted(found) or [self._end]

    def _after(self, nodes: list[Node], token: int) -> list[Node]:
        if any(END in node for node in nodes):
            if token in self._marks:
                return [self._root]
            nodes = [*nodes, self._root]
        return [node[token] for node in nodes if token in node]
