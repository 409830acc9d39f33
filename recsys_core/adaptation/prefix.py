"""The encoder cut below its top layer: what every segment shares is computed once and replayed.

Texts are kept in batches of like length, so that hardly anything is padded; a segment's texts are picked
out of them. Encoders whose top layer's output is not yet their last state (decoders normalise after it)
run in full instead: the replay is compared with a real forward pass before it is trusted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_core.base_model.encoder import TextEncoder, pool

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """One padded batch at the door of the top layer.

    Args:
        rows: int [n], its rows of the prefix's texts. args, kwargs: the layer's inputs. mask: [n, t], 1 at tokens.
    """

    rows: np.ndarray
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    mask: torch.Tensor

    def pick(self, at: np.ndarray) -> Batch:
        """The texts at positions `at` [m], repeats allowed: everything with a row per text is indexed."""
        import torch

        index = torch.as_tensor(at, device=self.mask.device)

        def picked(value: Any) -> Any:
            per_text = isinstance(value, torch.Tensor) and value.dim() and len(value) == len(self.rows)
            return value.index_select(0, index) if per_text else value

        return Batch(self.rows[at], tuple(map(picked, self.args)),
                     {name: picked(value) for name, value in self.kwargs.items()}, self.mask.index_select(0, index))


class Prefix:
    """The encoder with its texts' activations kept at the door of its top layer.

    Args:
        encoder: the base's encoder. texts: M distinct texts, in the order of the catalogue's vectors.
    """

    def __init__(self, encoder: TextEncoder, texts: list[str]) -> None:
        from torch import nn

        self.encoder, self.texts = encoder, texts
        self.ids = encoder.tokenize(texts)
        self.lengths = np.array([len(row) for row in self.ids])
        self.layer_index = max(len(m) for m in encoder.model.modules() if isinstance(m, nn.ModuleList)) - 1
        self._kept: list[Batch] = []

    def batches(self, rows: np.ndarray) -> list[Batch]:
        """Batches that hold the wanted rows [n] (and maybe others); every text is captured once for all segments."""
        kept = np.concatenate([np.zeros(0, np.int64), *(batch.rows for batch in self._kept)])
        missing = np.setdiff1d(rows, kept)
        if len(missing):
            log.info("capturing %d of %d texts below the top layer", len(missing), len(self.texts))
            make = self.capture if self.replays_exactly else self._uncaptured
            self._kept += [make(part) for part in self._split(missing)]
        return [batch for batch in self._kept if np.isin(batch.rows, rows).any()]

    def _split(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """The rows, longest texts first, in parts of at most the encoder's padded tokens per batch."""
        order = rows[np.argsort(-self.lengths[rows], kind="stable")]
        low = 0
        while low < len(order):
            high = low + max(1, self.encoder.batch_tokens // int(self.lengths[order[low]]))
            yield order[low:high]
            low = high

    def _uncaptured(self, rows: np.ndarray) -> Batch:
        """Some texts with nothing captured."""
        import torch

        lengths = torch.as_tensor(self.lengths[rows], device=self.encoder.device)
        mask = (torch.arange(int(lengths.max()), device=self.encoder.device) < lengths[:, None]).long()
        return Batch(rows, (), {}, mask)

    def capture(self, rows: np.ndarray) -> Batch:
        """Run some texts up to the top layer."""
        import torch

        caught: dict[str, Any] = {}

        def catch(module, args, kwargs):
            caught.update(args=args, kwargs=kwargs)

        hook = top_layer(self.encoder.model, self.layer_index).register_forward_pre_hook(catch, with_kwargs=True)
        try:
            with torch.no_grad():
                self.encoder.embed([self.ids[row] for row in rows])
        finally:
            hook.remove()
        return replace(self._uncaptured(rows), **caught)

    def finish(self, batch: Batch, network: torch.nn.Module) -> torch.Tensor:
        """The batch's texts read by a network that differs from the encoder's in its top layer only: unit vectors [n, d].

        Attention is spelled out in plain products: the fused bfloat16 kernel of the CPU is seven times slower on
        texts of a few tokens when a gradient is wanted.
        """
        from torch.nn.attention import SDPBackend, sdpa_kernel

        slow = (self.encoder.device, self.encoder.dtype) == ("cpu", "bfloat16")
        with sdpa_kernel(SDPBackend.MATH) if slow else nullcontext():
            if self.replays_exactly:
                return self._replay(batch, network)
            return self.encoder.embed([self.ids[row] for row in batch.rows], network)

    def _replay(self, batch: Batch, network: torch.nn.Module) -> torch.Tensor:
        """Finish a captured batch through the network's top layer."""
        import torch

        bfloat16 = self.encoder.dtype == "bfloat16"
        with torch.autocast(self.encoder.device, dtype=torch.bfloat16, enabled=bfloat16):
            states = top_layer(network, self.layer_index)(*batch.args, **batch.kwargs)
        states = states[0] if isinstance(states, tuple) else states
        return torch.nn.functional.normalize(pool(states.float(), batch.mask, self.encoder.pooling), dim=-1)

    @cached_property
    def replays_exactly(self) -> bool:
        """Whether picking and replaying gives what the whole encoder gives (bfloat16 rounding aside)."""
        import torch

        probe = np.unique(np.linspace(0, len(self.ids) - 1, min(4, len(self.ids))).astype(np.int64))
        back = np.arange(len(probe))[::-1].copy()
        with torch.no_grad():
            whole = self.encoder.embed([self.ids[row] for row in probe[back]])
            cut = self._replay(self.capture(probe).pick(back), self.encoder.model)
        return bool((whole - cut).abs().max() < (2e-2 if self.encoder.dtype == "bfloat16" else 1e-3))


def top_layer(model: torch.nn.Module, index: int) -> torch.nn.Module:
    """The last block of the longest stack of blocks in a transformer."""
    from torch import nn

    return next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == index + 1)[index]
