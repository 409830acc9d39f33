"""The peer: one segment after the other, `peft` LoRA on the whole encoder, as its documentation has it.

Per segment a fresh copy of the encoder under LoRA (r=8 on query and value of all layers); AdamW, 5 epochs of batches
of 16 shots. Two forms:

- `adapt_two_towers`, the usual one: the history's newest texts as the query, the shot's text as its answer, in-batch
  cross-entropy of their cosines (multiple negatives ranking, Henderson et al. 2017).
- `adapt_with_peft`, leaner and stronger: a direction θ; the score of a text is the base's log-probability +
  θ·encoder(text), the loss the cross-entropy of each shot among its batch's texts, each corrected by the log of its
  share of the shots (Yi et al. 2019). No history is read.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys_core.text_encoder import TextEncoder

RANK, EPOCHS, BATCH, LEARNING_RATE = 8, 5, 16, 1e-3
TEMPERATURE = 0.05


@dataclass(frozen=True)
class Setting:
    """What the peer's speed depends on, not its result.

    Args:
        dtype: of the matrix products. attention: its implementation in transformers. once: a text that several shots of
            a batch share is read once for all of them (else once for each, and its copies are no negatives).
    """

    dtype: str
    attention: str
    once: bool


@dataclass(frozen=True)
class Peer:
    """A trained segment: the encoder with its LoRA, and θ float32 [d]; encode(texts) @ θ is its score of texts."""

    encoder: TextEncoder
    theta: np.ndarray


def adapt_with_peft(encoder: TextEncoder, texts: list[str], base: np.ndarray, folder: Path, seed: int,
                    setting: Setting) -> Peer:
    """Train one segment and save its adapter.

    Args:
        texts: K, the shots' texts. base: float32 [K, K], row i the base's log-probability of every shot's text
            after the history of shot i. folder: where the PEFT adapter is saved.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    network = copy.deepcopy(encoder.model)
    network.set_attn_implementation(setting.attention)
    network = get_peft_model(network, LoraConfig(
        r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules=["query", "value"]))
    reader = TextEncoder(network, encoder.tokenizer, pooling=encoder.pooling, max_length=encoder.max_length,
                         dtype=setting.dtype, device=encoder.device)
    theta = torch.nn.Parameter(torch.zeros(encoder.dim, device=encoder.device))
    optimizer = torch.optim.AdamW([*(p for p in network.parameters() if p.requires_grad), theta], lr=LEARNING_RATE)
    ids = encoder.tokenize(texts)
    _, text, count = np.unique(texts, return_inverse=True, return_counts=True)
    corrected = torch.from_numpy(base - np.log(count[text] / len(texts)).astype(np.float32))
    for _ in range(EPOCHS):
        for rows in map(torch.Tensor.numpy, torch.randperm(len(texts)).split(BATCH)):
            read, labels = _candidates(text, rows, setting.once)
            score = corrected[rows][:, read].to(encoder.device) + reader.embed([ids[row] for row in read]) @ theta
            hits = (text[rows][:, None] == text[read]) & (np.arange(len(read)) != labels[:, None])
            score = score.masked_fill(torch.from_numpy(hits).to(encoder.device), -torch.inf)
            loss = torch.nn.functional.cross_entropy(score, torch.from_numpy(labels).to(encoder.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.save_pretrained(str(folder), save_embedding_layers=False)
    return Peer(reader, theta.detach().cpu().numpy())


def adapt_two_towers(encoder: TextEncoder, queries: list[str], texts: list[str], folder: Path, seed: int,
                     dtype: str) -> None:
    """Train one segment the usual way and save its adapter.

    Args:
        queries, texts: K each, the histories as text and the shots' texts.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    network = get_peft_model(copy.deepcopy(encoder.model), LoraConfig(
        r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules=["query", "value"]))
    reader = TextEncoder(network, encoder.tokenizer, pooling=encoder.pooling, max_length=encoder.max_length,
                         dtype=dtype, device=encoder.device)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=LEARNING_RATE)
    asked, answers = encoder.tokenize(queries), encoder.tokenize(texts)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(texts)).split(BATCH):
            left, right = (reader.embed([ids[row] for row in rows]) for ids in (asked, answers))
            loss = torch.nn.functional.cross_entropy(left @ right.T / TEMPERATURE, torch.arange(len(rows), device=left.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.save_pretrained(str(folder), save_embedding_layers=False)


def _candidates(text: np.ndarray, rows: np.ndarray, once: bool) -> tuple[np.ndarray, np.ndarray]:
    """The shots whose texts are read for a batch of shots, and each shot's own place among them."""
    if not once:
        return rows, np.arange(len(rows))
    _, first, labels = np.unique(text[rows], return_index=True, return_inverse=True)
    return rows[first], labels
