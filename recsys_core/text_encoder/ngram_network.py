"""A network of n-grams and averages: token vectors, convolutions over their neighbours, a mean, two residual layers.

It is the architecture of Universal Sentence Encoder Multilingual v3 (Yang et al. 2020, the small one). Tokens only meet their
neighbours, which is a fraction of a transformer's work. Importing this module makes its `model_type` known to `transformers`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

MODEL_TYPE = "ngram-network"


class NgramNetworkConfig(PretrainedConfig):
    """Sizes of the network.

    Args:
        vocab_size: tokens V.
        hidden_size: width d of token and text vectors.
        branch_size: width of each branch.
        inner_size: width of the first residual layer.
        orders: length of the n-grams of each branch, and how many tokens of them lie before the token itself.
        chunks: tokens t, t + chunks, t + 2·chunks … share the scale of their 8-bit vectors.
    """

    model_type = MODEL_TYPE

    def __init__(self, vocab_size: int = 64, hidden_size: int = 512, branch_size: int = 256, inner_size: int = 320,
                 orders: tuple[tuple[int, int], ...] = ((2, 0), (3, 1), (5, 2)), chunks: int = 1, **others: Any) -> None:
        self.vocab_size, self.hidden_size, self.branch_size = vocab_size, hidden_size, branch_size
        self.inner_size, self.orders, self.chunks = inner_size, [list(order) for order in orders], chunks
        super().__init__(**others)


class NgramNetwork(PreTrainedModel):
    """Token ids and a mask in; the text's vector stands at every place of `last_hidden_state`, so pooling is "cls"."""

    config_class = NgramNetworkConfig
    base_model_prefix = "ngrams"
    table: torch.Tensor
    scale: torch.Tensor
    low: torch.Tensor

    def __init__(self, config: NgramNetworkConfig) -> None:
        super().__init__(config)
        self.register_buffer("table", torch.zeros(config.vocab_size, config.hidden_size, dtype=torch.uint8))
        self.register_buffer("scale", torch.ones(config.chunks))
        self.register_buffer("low", torch.zeros(config.chunks))
        narrow, inner, wide = config.branch_size, config.inner_size, config.hidden_size
        # The numbers are the depths that `LoraSettings.freeze_layers` counts: up to the mean, text by text after it.
        self.layers = nn.ModuleList([Branches(wide, narrow, config.orders), Mean(wide + narrow * len(config.orders), wide),
                                     Residual(wide, inner, inner), Residual(inner, wide, wide)])
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> BaseModelOutput:
        """int64 [n, t] and 0/1 [n, t] → last_hidden_state, float32 [n, t, d]: a text's vector, t times."""
        present = attention_mask.unsqueeze(-1).to(self.scale.dtype)
        chunk = input_ids % self.config.chunks
        tokens = self.table[input_ids].to(self.scale.dtype) * self.scale[chunk].unsqueeze(-1) + self.low[chunk].unsqueeze(-1)
        grams, mean, first, second = self.layers
        text = torch.tanh(second(functional.relu(first(mean(grams(tokens, present), present)))))
        return BaseModelOutput(last_hidden_state=text.expand(-1, input_ids.shape[1], -1))


class Branches(nn.Module):
    """Token vectors beside what each branch makes of the n-grams around them."""

    def __init__(self, wide: int, narrow: int, orders: list[list[int]]) -> None:
        super().__init__()
        self.project = nn.Linear(wide, narrow * len(orders))
        self.norm = nn.LayerNorm(narrow * len(orders), eps=1e-12)
        self.branches = nn.ModuleList([Branch(narrow, *order) for order in orders])

    def forward(self, tokens: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        parts = self.norm(self.project(tokens)).chunk(len(self.branches), dim=-1)
        return torch.cat([tokens, *(branch(part, present) for branch, part in zip(self.branches, parts, strict=True))], dim=-1)


class Branch(nn.Module):
    """Two convolutions over n neighbouring tokens, each added to what it read; beyond a text's ends there is nothing."""

    def __init__(self, width: int, length: int, before: int) -> None:
        super().__init__()
        self.length, self.before = length, before
        self.first = nn.Linear(length * width, width)
        self.second = nn.Linear(length * width, width)

    def forward(self, tokens: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        once = functional.relu(self.first(self._windows(tokens * present))) + tokens
        return functional.relu(self.second(self._windows(once * present))) + once

    def _windows(self, tokens: torch.Tensor) -> torch.Tensor:
        """[n, t, w] → [n, t, length·w]."""
        padded = functional.pad(tokens, (0, 0, self.before, self.length - 1 - self.before))
        return torch.cat([padded[:, at:at + tokens.shape[1]] for at in range(self.length)], dim=-1)


class Mean(nn.Module):
    """One vector per text, [n, 1, width]: the sum of its tokens' over the root of their number."""

    def __init__(self, wide: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(wide, eps=1e-12)
        self.mix = nn.Linear(wide, width)

    def forward(self, tokens: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        return (self.mix(self.norm(tokens)) * present).sum(1, keepdim=True) / present.sum(1, keepdim=True).sqrt()


class Residual(nn.Module):
    """A hidden layer and a way past it."""

    def __init__(self, width: int, inner: int, out: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, inner, bias=False)
        self.outer = nn.Linear(inner, out, bias=False)
        self.past = nn.Linear(width, out, bias=False)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        return self.past(text) + self.outer(functional.relu(self.inner(text)))


AutoConfig.register(MODEL_TYPE, NgramNetworkConfig)
AutoModel.register(NgramNetworkConfig, NgramNetwork)
