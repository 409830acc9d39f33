"""What few-shot attributes are compared with: the same encoder with a linear head over its tokens, fine-tuned end to end.

The usual recipe for named entities (Devlin et al. 2019): begin/inside/outside tags on the first piece of every word, AdamW
with warm-up and linear decay, all weights trained. The category stands before the title. Epochs and learning rate are usual
ones; they were not compared. An attribute's answer is its surest span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys_core.spans import token_bounds
from recsys_core.text_encoder import PACKAGED_MODEL, locate

WIDEST = 128  # pieces of a title
POOL = 8  # batches that are cut from titles of like length


@dataclass(frozen=True)
class Recipe:
    """How the tagger is trained."""

    rate: float = 3e-4
    head_rate: float = 2e-3
    epochs: int = 15
    batch: int = 16
    warm_up: float = 0.1
    dropout: float = 0.1
    with_category: bool = True


class Tagger:
    """A fine-tuned tagger; `extract` as a `SpanAdapter` has it."""

    def __init__(self, recipe: Recipe, seed: int) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        torch.manual_seed(seed)
        folder = locate(PACKAGED_MODEL)[0]
        self.recipe, self.rng = recipe, np.random.default_rng(seed)
        self.tokenizer, self.network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
        self.tags: list[str] = []
        self.head: Any = None

    def fit(self, texts: Sequence[str], spans: Sequence[Sequence[tuple[str, str]]], categories: Sequence[str]) -> Tagger:
        """Train on marked titles."""
        import torch

        tagged = [_tags(text, one) for text, one in zip(texts, spans, strict=True)]
        self.tags = ["", *sorted({tag for one in tagged for tag in one} - {""})]
        self.head = torch.nn.Linear(self.network.config.hidden_size, len(self.tags))
        read = [self._read(text, category) for text, category in zip(texts, categories, strict=True)]
        target = [[self.tags.index(tag) for tag in one] for one in tagged]
        optimiser = torch.optim.AdamW([{"params": self.network.parameters(), "lr": self.recipe.rate},
                                       {"params": self.head.parameters(), "lr": self.recipe.head_rate}], weight_decay=0.01)
        total = self.recipe.epochs * -(-len(texts) // self.recipe.batch)
        warm = max(1, int(self.recipe.warm_up * total))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min((step + 1) / warm, max(0.0, 1 - step / total)))
        drop = torch.nn.Dropout(self.recipe.dropout)
        self.network.train()
        for _ in range(self.recipe.epochs):
            for rows in self._batches([len(ids) for ids, _ in read]):
                logits = self.head(drop(self._states([read[row][0] for row in rows])).float())
                places = [(at, piece, target[row][word]) for at, row in enumerate(rows) for word, piece in read[row][1].items()]
                line, piece, wanted = (torch.tensor(part) for part in zip(*places, strict=True))
                loss = torch.nn.functional.cross_entropy(logits[line, piece], wanted)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
                optimiser.step()
                schedule.step()
        self.network.eval()
        return self

    def extract(self, texts: Sequence[str], categories: Sequence[str]) -> list[dict[str, str]]:
        """The attributes of each title with their values."""
        import torch

        found = []
        with torch.inference_mode():
            for text, category in zip(texts, categories, strict=True):
                ids, pieces = self._read(text, category)
                chances = torch.softmax(self.head(self._states([ids])[0].float()), dim=-1).numpy()
                found.append(self._spans(text, chances, pieces))
        return found

    def _read(self, text: str, category: str) -> tuple[list[int], dict[int, int]]:
        """Token ids of the network, and of each word the place of its first piece."""
        before = [category, ":"] if self.recipe.with_category else []
        words = [text[begin:end] for begin, end in token_bounds(text, WIDEST)]
        read = self.tokenizer([*before, *words], is_split_into_words=True, truncation=True, max_length=WIDEST)
        pieces: dict[int, int] = {}
        for piece, word in enumerate(read.word_ids()):
            if word is not None and word >= len(before):
                pieces.setdefault(word - len(before), piece)
        return read["input_ids"], pieces

    def _states(self, ids: Sequence[Sequence[int]]) -> Any:
        import torch

        width = max(map(len, ids))
        padded = torch.tensor([[*one, *[0] * (width - len(one))] for one in ids])
        mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in ids])
        able = torch.cpu.get_capabilities()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bool(able.get("amx_bf16") or able.get("avx512_bf16"))):
            return self.network(input_ids=padded, attention_mask=mask).last_hidden_state

    def _batches(self, lengths: Sequence[int]) -> list[np.ndarray]:
        """Shuffled batches of titles of like length."""
        order, found = self.rng.permutation(len(lengths)), []
        for start in range(0, len(order), POOL * self.recipe.batch):
            pool = order[start:start + POOL * self.recipe.batch]
            pool = pool[np.argsort(np.array(lengths)[pool], kind="stable")]
            found += [pool[at:at + self.recipe.batch] for at in range(0, len(pool), self.recipe.batch)]
        return [found[at] for at in self.rng.permutation(len(found))]

    def _spans(self, text: str, chances: np.ndarray, pieces: dict[int, int]) -> dict[str, str]:
        bounds, best = token_bounds(text, WIDEST), dict[str, tuple[float, str]]()
        rows = {word: chances[piece] for word, piece in pieces.items()}
        tags = [self.tags[int(rows[word].argmax())] if word in rows else "" for word in range(len(bounds))]
        begin = 0
        while begin < len(tags):
            end = begin + 1
            if name := tags[begin][2:]:
                while end < len(tags) and tags[end] == f"I-{name}":
                    end += 1
                sure = float(np.mean([rows[word].max() for word in range(begin, end)]))
                if sure > best.get(name, (0.0, ""))[0]:
                    best[name] = sure, text[bounds[begin][0]:bounds[end - 1][1]]
            begin = end
        return {name: value for name, (_, value) in best.items()}


def _tags(text: str, spans: Sequence[tuple[str, str]]) -> list[str]:
    """A tag per word: the longest values first, each at its first free place."""
    bounds = token_bounds(text, WIDEST)
    words, tags = [text[begin:end] for begin, end in bounds], [""] * len(bounds)
    for name, value in sorted(spans, key=lambda one: -len(one[1])):
        wanted = [value[begin:end] for begin, end in token_bounds(value, WIDEST)]
        for at in range(len(words) - len(wanted) + 1):
            if words[at:at + len(wanted)] == wanted and not any(tags[at:at + len(wanted)]):
                tags[at:at + len(wanted)] = [f"B-{name}", *[f"I-{name}"] * (len(wanted) - 1)]
                break
    return tags
