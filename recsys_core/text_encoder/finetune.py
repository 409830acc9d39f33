"""Contrastive fine-tuning of the text encoder with PEFT LoRA.

Held-out pairs decide which step is kept; where none beats the pretrained weights, those are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.artefacts import staged_folder
from recsys_core.errors import ModelError
from recsys_core.text_encoder.contrastive import CachedGradient, HeldOut
from recsys_core.text_encoder.encoder import TextEncoder
from recsys_core.text_encoder.lora import LoraSettings, add_lora, lora_network, merge_lora, set_training
from recsys_core.text_encoder.pairs import Pairs
from recsys_core.text_encoder.schedule import affordable_steps, learning_rate

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

log = logging.getLogger(__name__)


class FinetuneConfig(BaseModel, frozen=True, extra="forbid"):
    """How the encoder is fine-tuned; the defaults take under a minute on two cores."""

    max_steps: int = Field(60, ge=0, description="optimiser steps at most; 0 keeps the pretrained weights")
    max_tokens: int = Field(200_000, ge=1, description="tokens trained on at most; long texts get fewer steps")
    batch_pairs: int = Field(128, ge=2, description="pairs per step; each is a negative of the others")
    micro_tokens: int = Field(8192, ge=1, description="padded tokens held in memory; halves on OOM")
    lora: LoraSettings = Field(LoraSettings(), description="size and place of the LoRA layers")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps with a rising learning rate")
    temperature: float = Field(0.05, gt=0, description="similarities are divided by this")
    held_out: float = Field(0.1, gt=0, lt=1, description="share of the pairs that judges, never trains")
    max_held_out: int = Field(500, ge=1, description="most pairs held out")
    evaluate_every: int = Field(20, ge=1, description="steps between looks at the held-out pairs")
    min_gain: float = Field(0.005, ge=0, lt=1, description="relative fall of the held-out loss that counts")
    patience: int = Field(2, ge=1, description="looks without improvement before stopping early")


@dataclass(frozen=True)
class FinetuneResult:
    """A fine-tuned encoder and how it came about.

    Args:
        encoder: LoRA merged into the weights; the pretrained encoder itself where nothing improved.
        adapter: the PEFT model at its best step, None where nothing improved.
        curves: one row per look: step, loss (mean since the last look; None at step 0), learning_rate, held_out_loss,
            held_out_mrr (overall and per kind), kept (True in the one row whose weights these are; step 0 is the
            pretrained encoder).
    """

    encoder: TextEncoder
    adapter: PeftModel | None
    curves: list[dict[str, Any]]

    def save_adapter(self, folder: Path) -> None:
        """Write an ordinary PEFT adapter folder (safetensors) that `PeftModel.from_pretrained` loads.

        Raises:
            ModelError: if the pretrained weights were kept, so that there is no adapter.
        """
        if self.adapter is None:
            raise ModelError(str(folder), "the pretrained weights were kept, there is no adapter to save",
                             "serve the pretrained encoder, or train with more pairs or steps")
        with staged_folder(Path(folder)) as staging:
            self.adapter.save_pretrained(str(staging), save_embedding_layers=False)  # auto would ask the hub


def finetune_encoder(encoder: TextEncoder, pairs: Pairs, config: FinetuneConfig, seed: int) -> FinetuneResult:
    """Fine-tune by LoRA on `pairs`, keeping the step that ranks held-out pairs best, or none; too few pairs keep it as it is.

    Args:
        encoder: the pretrained encoder; it is not changed.
        pairs: positives, and what must not serve as a negative.
        seed: of the split, the batches, the initial LoRA weights and the dropout.

    Raises:
        ModelError: if there is no layer to adapt.
    """
    import torch

    rng = np.random.default_rng(seed)
    train, held = pairs.split(config.held_out, config.max_held_out, rng)
    if len(train) < 2 or not len(held):
        log.warning("%d pairs are too few to train and judge on: the pretrained weights are kept", len(pairs))
        return FinetuneResult(encoder, None, [])
    distractors = rng.permutation(np.unique(train.positive))[:config.max_held_out]
    judge = HeldOut(held, distractors)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        trained = add_lora(encoder, config.lora)
        best, curves = _train(trained, train, judge, config, rng)
    if best is None:
        log.info("fine-tuning did not improve the held-out pairs: the pretrained weights are kept")
        return FinetuneResult(encoder, None, curves)
    for parameter, value in zip(_trainable(trained), best, strict=True):
        parameter.data.copy_(value)
    trained.model.eval()
    return FinetuneResult(merge_lora(trained), lora_network(trained), curves)


def _train(encoder: TextEncoder, train: Pairs, judge: HeldOut, config: FinetuneConfig,
           rng: np.random.Generator) -> tuple[list[torch.Tensor] | None, list[dict[str, Any]]]:
    """The best LoRA weights (None where no step beat the start) and the curves."""
    import torch

    optimizer = torch.optim.AdamW(_trainable(encoder), lr=config.learning_rate,
                                  weight_decay=config.weight_decay)
    gradient = CachedGradient(encoder, config.micro_tokens)
    seed, batches = int(rng.integers(2**31)), _batches(len(train), config, rng)
    ids = encoder.tokenize(train.texts)
    lengths = np.array([len(ids[text]) for text in (*train.anchor, *train.positive)])
    steps = affordable_steps(lengths, 2 * config.batch_pairs, config.max_steps, config.max_tokens)
    curves: list[dict[str, Any]] = [{"step": 0, "loss": None, "learning_rate": 0.0, **judge.measure(encoder)}]
    best, kept, losses = None, 0, []
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = rate = learning_rate(step, steps, config.learning_rate, config.warmup)
        losses.append(_step(gradient, optimizer, ids, train, next(batches), config, seed + 1000 * step))
        if step % config.evaluate_every and step != steps:
            continue
        encoder.model.eval()
        curves.append({"step": step, "loss": float(np.mean(losses)), "learning_rate": rate,
                       **judge.measure(encoder)})
        log.info("fine-tuning: step %(step)d, loss %(loss).3f, held-out loss %(held_out_loss).3f", curves[-1])
        losses = []
        if curves[-1]["held_out_loss"] < curves[kept]["held_out_loss"] * (1 - config.min_gain):
            best, kept = [value.detach().clone() for value in _trainable(encoder)], len(curves) - 1
        elif len(curves) - 1 - kept >= config.patience:
            break
    return best, [{**row, "kept": number == kept} for number, row in enumerate(curves)]


def _step(gradient: CachedGradient, optimizer: torch.optim.Optimizer, ids: list[list[int]], train: Pairs,
          rows: np.ndarray, config: FinetuneConfig, seed: int) -> float:
    """One optimiser step on these pairs; returns their loss."""
    import torch

    set_training(gradient.encoder.model)
    optimizer.zero_grad(set_to_none=True)
    texts, place = np.unique(np.r_[train.anchor[rows], train.positive[rows]], return_inverse=True)
    loss = gradient.backward([ids[text] for text in texts], place[:len(rows)], place[len(rows):],
                             train.not_negatives(rows), config.temperature, seed)
    torch.nn.utils.clip_grad_norm_(_trainable(gradient.encoder), 1.0)
    optimizer.step()
    return loss


def _trainable(encoder: TextEncoder) -> list[torch.nn.Parameter]:
    return [parameter for parameter in encoder.model.parameters() if parameter.requires_grad]


def _batches(pairs: int, config: FinetuneConfig, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Shuffled epochs without end, cut into full batches (one short batch where pairs are few)."""
    size = min(config.batch_pairs, pairs)
    while True:
        order = rng.permutation(pairs)
        yield from (order[start:start + size] for start in range(0, pairs - size + 1, size))
