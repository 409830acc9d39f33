"""PEFT LoRA on the encoder's top layer, for segments whose words mean something else there.

The layers below the top one are the same for every segment, so their activations are computed
once per base and replayed; a step then costs one layer, not the whole encoder. The loss is the
cross-entropy of each shot among the shots' texts and sampled others, the base's logit included
and the sampling corrected (Bengio & Senécal 2008), so the adapter learns only what the base lacks.
Encoders whose top layer's output is not yet their last state run in full instead; the replay is
compared with a real forward pass before it is trusted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import Prior
from recsys_core.base_model.encoder import TextEncoder, pool
from recsys_core.base_model.lora import LoraSettings, add_lora

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


class LoraConfig(BaseModel, frozen=True, extra="forbid"):
    """How a segment's LoRA is trained."""

    rank: int = Field(8, ge=1)
    steps: int = Field(20, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    negatives: int = Field(192, ge=8, description="sampled texts each shot is told apart from")
    weight_decay: float = Field(0.01, ge=0)
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """One padded batch at the door of the top layer: its rows of the catalogue's texts and its inputs."""

    rows: np.ndarray
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    mask: torch.Tensor


class Prefix:
    """The encoder cut below its top layer, with the catalogue's activations kept at the cut.

    Args:
        encoder: the base's encoder. texts: M distinct texts, in the order of the catalogue's vectors.
    """

    def __init__(self, encoder: TextEncoder, texts: list[str]) -> None:
        from torch import nn

        self.encoder, self.texts = encoder, texts
        self.ids = encoder.tokenize(texts)
        self.layer_index = max(len(m) for m in encoder.model.modules() if isinstance(m, nn.ModuleList)) - 1

    @cached_property
    def batches(self) -> list[Batch]:
        """All texts up to the top layer: computed once, shared by every segment."""
        log.info("caching prefix activations of %d texts", len(self.ids))
        order = sorted(range(len(self.ids)), key=lambda row: -len(self.ids[row]))
        found, low = [], 0
        while low < len(order):
            high = low + max(1, self.encoder.batch_tokens // len(self.ids[order[low]]))
            found.append(self.capture(np.array(order[low:high])))
            low = high
        return found

    def capture(self, rows: np.ndarray) -> Batch:
        """Run some texts up to the top layer."""
        import torch

        caught: dict[str, Any] = {}

        def catch(module, args, kwargs):
            caught.update(args=args, kwargs=kwargs)

        hook = top_layer(self.encoder.model, self.layer_index).register_forward_pre_hook(catch, with_kwargs=True)
        ids = [self.ids[row] for row in rows]
        try:
            with torch.no_grad():
                self.encoder.embed(ids)
        finally:
            hook.remove()
        lengths = torch.tensor([len(row) for row in ids], device=self.encoder.device)
        mask = (torch.arange(int(lengths.max()), device=self.encoder.device) < lengths[:, None]).long()
        return Batch(rows, caught["args"], caught["kwargs"], mask)

    def replay(self, batch: Batch, layer: torch.nn.Module) -> torch.Tensor:
        """Finish a captured batch through a top layer (with its LoRA): unit vectors [n, d]."""
        import torch

        bfloat16 = self.encoder.dtype == "bfloat16"
        with torch.autocast(self.encoder.device, dtype=torch.bfloat16, enabled=bfloat16):
            states = layer(*batch.args, **batch.kwargs)
        states = states[0] if isinstance(states, tuple) else states
        return torch.nn.functional.normalize(pool(states.float(), batch.mask, self.encoder.pooling), dim=-1)

    @cached_property
    def replays_exactly(self) -> bool:
        """Whether the replay gives what the whole encoder gives (bfloat16 rounding aside)."""
        import torch

        probe = np.arange(min(4, len(self.ids)))
        with torch.no_grad():
            whole = self.encoder.embed([self.ids[row] for row in probe])
            cut = self.replay(self.capture(probe), top_layer(self.encoder.model, self.layer_index))
        return bool((whole - cut).abs().max() < (2e-2 if self.encoder.dtype == "bfloat16" else 1e-3))


def top_layer(model: torch.nn.Module, index: int) -> torch.nn.Module:
    """The last block of the longest stack of blocks in a transformer (also below a PEFT wrapper)."""
    from torch import nn

    stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == index + 1]
    return stacks[0][index]


def adapt_lora(prefix: Prefix, prior: Prior, start: Adapter, items: np.ndarray, probabilities: np.ndarray,
               config: LoraConfig, peft_folder: Path | None = None) -> Adapter:
    """Train one segment's LoRA and its direction θ, moving on from the closed form.

    Args:
        start: the closed form's groups and text tilt: the groups stay, θ starts from its tilt.
        items: int32 [K] catalogue rows of the shots. probabilities: float32 [K, N] of the base there.
        peft_folder: where the ordinary PEFT adapter folder is written; None while cross-validating.

    Returns:
        an adapter with the groups' values and a value per distinct text, θ·encoder_LoRA(text).
    """
    import torch

    torch.manual_seed(config.seed)
    network = add_lora(prefix.encoder, LoraSettings(
        rank=config.rank, alpha=2 * config.rank, dropout=0.0, freeze_layers=prefix.layer_index)).model
    groups = start.parts(prior.catalogue)["segment_groups"]
    rows, labels, correction, base = _candidates(prior, items, probabilities * np.exp(groups - groups.max()), config)
    batch, layer = prefix.capture(rows), top_layer(network, prefix.layer_index)
    device = prefix.encoder.device
    tilt = torch.nn.Parameter(torch.tensor(start.theta, device=device))
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW([{"params": weights, "weight_decay": config.weight_decay},
                                   {"params": [tilt], "weight_decay": 0.0, "lr": config.learning_rate * 5}],
                                  lr=config.learning_rate)
    base, correction = torch.tensor(base, device=device), torch.tensor(correction, device=device)
    labels = torch.tensor(labels, device=device)
    ids = [prefix.ids[row] for row in rows]
    for _ in range(config.steps):
        vectors = prefix.replay(batch, layer) if prefix.replays_exactly else prefix.encoder.embed(ids, network)
        loss = torch.nn.functional.cross_entropy(base + vectors @ tilt - correction, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    values = _values_of_texts(prefix, network, layer, tilt)
    if peft_folder is not None:
        network.save_pretrained(str(peft_folder), save_embedding_layers=False)  # auto would ask the hub
    settings = {"shots": len(items), "final_loss": round(loss.item(), 4), **config.model_dump()}
    return replace(start, method="lora", theta=np.zeros_like(start.theta), text_values=values,
                   text_keys=prior.catalogue.text_keys, item_ids=(), item_values=np.zeros(0, np.float32),
                   settings=settings, peft_folder=peft_folder)


def _candidates(prior: Prior, items: np.ndarray, probabilities: np.ndarray, config: LoraConfig
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Candidate texts [C], each shot's label among them [K], log expected counts [C], base log-probabilities [K, C]."""
    rng = np.random.default_rng(config.seed)
    text_of_item = prior.catalogue.text_of_item
    shot_texts = text_of_item[items]
    share = np.bincount(text_of_item, weights=prior.item_share, minlength=len(prior.components))
    n = min(config.negatives, len(share))
    sampled = rng.choice(len(share), n, replace=False, p=share / share.sum())
    rows, labels = np.unique(np.r_[shot_texts, sampled], return_inverse=True)
    correction = np.log(np.clip(n * share[rows], 1e-8, 1.0)).astype(np.float32)
    members = np.flatnonzero(np.isin(text_of_item, rows))
    column = np.searchsorted(rows, text_of_item[members])
    order = np.argsort(column, kind="stable")
    starts = np.searchsorted(column[order], np.arange(len(rows)))
    base = np.log(np.add.reduceat(probabilities[:, members[order]], starts, axis=1) + 1e-30)
    return rows, labels[:len(items)], correction, base.astype(np.float32)


def _values_of_texts(prefix: Prefix, network, layer, tilt) -> np.ndarray:
    """θ·v for every distinct text under the trained LoRA: float32 [M]."""
    import torch

    values = np.zeros(len(prefix.texts), np.float32)
    with torch.no_grad():
        if not prefix.replays_exactly:
            for row, ids in enumerate(prefix.ids):
                values[row] = float(prefix.encoder.embed([ids], network) @ tilt)
            return values
        for batch in prefix.batches:
            values[batch.rows] = (prefix.replay(batch, layer) @ tilt).cpu().numpy()
    return values
