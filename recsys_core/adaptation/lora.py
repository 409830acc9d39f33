"""PEFT LoRA on the encoder's top layer, for segments whose words mean something else there, all trained together.

Every segment has its own LoRA matrices and its own direction θ, and one optimiser steps them all: their losses are
summed, so no segment feels another. The loss is the cross-entropy of each shot among the shots' texts and sampled
others, the base's logit included and each sampled text weighted by the inverse of its chance to be drawn (Horvitz &
Thompson 1952), so the adapter learns only what the base lacks. The layers below the top one are the same for every
segment (`prefix`), and the segments' matrices are multiplied side by side (`stacked`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import Prior
from recsys_core.adaptation.prefix import Prefix
from recsys_core.adaptation.stacked import Piece, Stack, save_peft

if TYPE_CHECKING:
    import torch

TILT_RATE = 5.0  # θ learns this many times faster than the LoRA matrices


class LoraConfig(BaseModel, frozen=True, extra="forbid"):
    """How segments' LoRAs are trained."""

    rank: int = Field(8, ge=1)
    steps: int = Field(5, ge=1, description="full-batch steps; more of them fit the shots, not the segment")
    learning_rate: float = Field(2e-3, gt=0)
    negatives: int = Field(16, ge=1, description="sampled texts each shot is told apart from")
    weight_decay: float = Field(0.01, ge=0)
    coverage: float = Field(0.99, gt=0, le=1, description="share of the segment's probability whose texts are read "
                                                          "by its LoRA; the rest are left to θ")
    tokens: int = Field(16_384, ge=1, description="tokens of the segments that are trained at a time; bounds memory")
    seed: int = 0


@dataclass(frozen=True)
class LoraTask:
    """One LoRA to train: C candidate texts and K shots.

    Args:
        start: the closed form's groups and text tilt: the groups stay, θ starts from its tilt.
        rows: int64 [C], the candidates' rows among the distinct texts, ascending. labels: int64 [K], positions in `rows`.
        base: float32 [K, C], the base's log-probability with the groups, less the log of the candidate's chance.
        read: int64 [R], ascending, the texts that the trained LoRA reads.
    """

    start: Adapter
    rows: np.ndarray
    labels: np.ndarray
    base: np.ndarray
    read: np.ndarray


@dataclass(frozen=True)
class Trained:
    """G trained LoRAs: module → (A float32 [G, r, in], B [G, out, r]); theta float32 [G, d]; each one's last loss [G]."""

    weights: dict[str, tuple[np.ndarray, np.ndarray]]
    theta: np.ndarray
    loss: np.ndarray

    def weights_of(self, at: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """One segment's: module → (A [r, in], B [out, r])."""
        return {name: (a[at], b[at]) for name, (a, b) in self.weights.items()}


def lora_task(prior: Prior, start: Adapter, items: np.ndarray, probabilities: np.ndarray, config: LoraConfig) -> LoraTask:
    """Draw the texts a segment's shots are told apart from.

    They come from the closed form's own distribution at the shots, where a wrong text costs most; the shots'
    texts are always among them.

    Args:
        items: int32 [K] catalogue rows of the shots. probabilities: float32 [K, N] of the base there.
    """
    text_of_item, size = prior.catalogue.text_of_item, len(prior.catalogue.vectors)
    groups = start.parts(prior.catalogue)["segment_groups"]
    factor, tilt = np.exp(groups - groups.max()), prior.catalogue.vectors @ start.theta
    share = np.bincount(text_of_item, probabilities.mean(axis=0) * factor, size) * np.exp(tilt - tilt.max())
    share /= share.sum()
    shot_texts = np.unique(text_of_item[items])
    chance = _chances(share, shot_texts, config.negatives)
    rows = np.union1d(shot_texts, _draw(chance, np.random.default_rng(config.seed)))
    members = np.flatnonzero(np.isin(text_of_item, rows))
    members = members[np.argsort(text_of_item[members], kind="stable")]
    starts = np.searchsorted(text_of_item[members], rows)
    base = np.log(np.add.reduceat(probabilities[:, members] * factor[members], starts, axis=1) + 1e-30)
    order = np.argsort(-share, kind="stable")
    read = order[:int(np.searchsorted(np.cumsum(share[order]), config.coverage)) + 1]
    return LoraTask(start, rows, np.searchsorted(rows, text_of_item[items]),
                    (base - np.log(chance[rows])).astype(np.float32), np.union1d(read, shot_texts))


def _chances(share: np.ndarray, certain: np.ndarray, n: int) -> np.ndarray:
    """Chance of every text to be drawn, float64 [M]: 1 for the certain, else min(1, c·share) with c such that n are."""
    chance, free = np.zeros(len(share)), share.copy()
    chance[certain], free[certain] = 1.0, 0.0
    left = min(n, np.count_nonzero(free))
    while left and (sure := left * free >= free.sum()).any():
        chance[sure], free[sure] = 1.0, 0.0
        left -= np.count_nonzero(sure)
    return np.maximum(chance, left * free / free.sum()) if left else chance


def _draw(chance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows int64, ascending, each drawn with exactly its chance (systematic sampling, Madow 1949)."""
    ends = np.floor(np.cumsum(chance) + rng.random())
    return np.flatnonzero(np.diff(ends, prepend=0.0) > 0)


def train(prefix: Prefix, tasks: Sequence[LoraTask], config: LoraConfig) -> Trained:
    """Train the LoRAs and directions of all tasks, as many at a time as hold `config.tokens`."""
    prefix.batches(np.unique(np.concatenate([task.rows for task in tasks])))
    sizes = np.array([prefix.lengths[task.rows].sum() for task in tasks])
    turn = (np.cumsum(sizes) - 1) // config.tokens
    parts = [_train_some(prefix, [tasks[at] for at in np.flatnonzero(turn == now)], config) for now in np.unique(turn)]
    return Trained({name: tuple(np.concatenate([part.weights[name][side] for part in parts]) for side in (0, 1))
                    for name in parts[0].weights},
                   np.concatenate([part.theta for part in parts]), np.concatenate([part.loss for part in parts]))


def _train_some(prefix: Prefix, tasks: Sequence[LoraTask], config: LoraConfig) -> Trained:
    import torch

    stack = Stack(prefix, len(tasks), config.rank, config.seed)
    tilt = torch.nn.Parameter(torch.tensor(np.stack([task.start.theta for task in tasks]), device=prefix.encoder.device))
    optimizer = torch.optim.AdamW([
        {"params": stack.parameters, "weight_decay": config.weight_decay},
        {"params": [tilt], "weight_decay": 0.0, "lr": TILT_RATE * config.learning_rate}], lr=config.learning_rate)
    pieces = list(stack.pieces([task.rows for task in tasks], config.tokens))
    base, labels = _padded(tasks, prefix.encoder.device)
    counts = (labels >= 0).sum(dim=1)
    for _ in range(config.steps):
        logits = base + _values(stack, pieces, tilt, base.shape[2])[:, None]
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        losses = losses.view(labels.shape).sum(dim=1) / counts
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
    return Trained(stack.weights(), tilt.detach().cpu().numpy(), losses.detach().cpu().numpy())


def _padded(tasks: Sequence[LoraTask], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """`base` [G, K, C] and `labels` [G, K] of all tasks: candidates beyond a task's −inf, shots beyond its ignored."""
    import torch

    shape = len(tasks), max(len(task.labels) for task in tasks), max(len(task.rows) for task in tasks)
    base, labels = torch.full(shape, -torch.inf), torch.full(shape[:2], -100)
    for at, task in enumerate(tasks):
        base[at, :, 0] = 0.0  # a row without a finite logit would have no gradient, ignored or not
        base[at, :len(task.labels), :len(task.rows)] = torch.from_numpy(task.base)
        labels[at, :len(task.labels)] = torch.from_numpy(task.labels)
    return base.to(device), labels.to(device)


def _values(stack: Stack, pieces: Sequence[Piece], tilt: torch.Tensor, width: int) -> torch.Tensor:
    """θ_g·v of each segment's texts under its LoRA: [G, width], 0 beyond its texts."""
    import torch

    values = torch.cat([(stack.vectors(piece) * tilt[piece.index]).sum(dim=1) for piece in pieces])
    place = torch.as_tensor(np.concatenate([piece.group * width + piece.column for piece in pieces]), device=tilt.device)
    return torch.zeros(len(tilt) * width, device=tilt.device).index_put((place,), values).view(len(tilt), width)


def read_texts(prefix: Prefix, tasks: Sequence[LoraTask], trained: Trained, config: LoraConfig) -> list[np.ndarray]:
    """θ·v of the texts each task reads, under its trained LoRA: float32 [R] each."""
    import torch

    stack = Stack(prefix, len(tasks), config.rank, weights=trained.weights)
    found = [np.zeros(len(task.read), np.float32) for task in tasks]
    with torch.no_grad():
        for piece in stack.pieces([task.read for task in tasks], config.tokens):
            values = (stack.vectors(piece).cpu().numpy() * trained.theta[piece.group]).sum(axis=1)
            for at in np.unique(piece.group):
                mine = piece.group == at
                found[at][piece.column[mine]] = values[mine]
    return found


def adapt_lora(prefix: Prefix, prior: Prior, tasks: Sequence[LoraTask], config: LoraConfig,
               peft_folders: Sequence[Path | None] | None = None) -> list[Adapter]:
    """Train all tasks together; a task's result does not depend on the others.

    Args:
        peft_folders: where each task's ordinary PEFT folder is written; None: nowhere (while cross-validating).

    Returns:
        per task the closed form's groups, the trained θ, and what its LoRA adds to θ·v of the texts it reads;
        a LoRA without any update adds exactly nothing.
    """
    catalogue, adapters = prior.catalogue, []
    prefix.batches(np.unique(np.concatenate([np.union1d(task.rows, task.read) for task in tasks])))
    trained = train(prefix, tasks, config)
    values = read_texts(prefix, tasks, trained, config)
    for at, (task, folder) in enumerate(zip(tasks, peft_folders or [None] * len(tasks), strict=True)):
        weights = trained.weights_of(at)
        if folder is not None:
            save_peft(folder, prefix.encoder, prefix.layer_index, weights)
        alive = any(b.any() for _, b in weights.values())
        added = (values[at] - catalogue.vectors[task.read] @ trained.theta[at]) * np.float32(alive)
        settings = {"shots": len(task.labels), "final_loss": round(float(trained.loss[at]), 4), **config.model_dump()}
        adapters.append(replace(
            task.start, method="lora", theta=trained.theta[at], text_keys=catalogue.text_keys[task.read],
            text_values=added, item_ids=(), item_values=np.zeros(0, np.float32), settings=settings, peft_folder=folder))
    return adapters
