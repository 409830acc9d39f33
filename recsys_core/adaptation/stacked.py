"""LoRA layers (Hu et al. 2021) of many segments side by side on the encoder's top layer.

A batch holds texts of many segments, each multiplied with the matrices of its own (as Punica does when serving,
Chen et al. 2023), while the frozen layer runs once over all of them. What the frozen projections say about a text
never changes, so it is computed once per training.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recsys_core.adaptation.prefix import Batch, Prefix
from recsys_core.base_model.encoder import TextEncoder
from recsys_core.base_model.lora import target_modules

if TYPE_CHECKING:
    import torch

SCALE = 2.0  # lora_alpha / rank
INIT = math.sqrt(5)  # of A, as PEFT has it; B starts at zero


@dataclass(frozen=True)
class Piece:
    """Texts of several segments in one batch, n rows.

    Args:
        batch: their way into the top layer. group, column: int64 [n], whose texts, and which of its texts.
        index: `group` on the device. frozen: module → its input and its own output, filled when first run.
    """

    batch: Batch
    group: np.ndarray
    column: np.ndarray
    index: torch.Tensor
    frozen: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


class StackedLora:
    """G low-rank updates of one frozen projection, in the place of its `forward`.

    Args:
        a: [G, r, in], b: [G, out, r]; segment g adds SCALE · b_g a_g x.
    """

    def __init__(self, name: str, module: torch.nn.Module, groups: int, rank: int, generator: torch.Generator) -> None:
        import torch

        self.name, self._frozen, self.piece = name, module.forward, None
        out, width = module.weight.shape if isinstance(module, torch.nn.Linear) else module.weight.shape[::-1]
        first = torch.nn.init.kaiming_uniform_(torch.empty(rank, width), a=INIT, generator=generator)
        place = module.weight.device
        self.a = torch.nn.Parameter(first.repeat(groups, 1, 1).to(place))  # alike: a segment's result is its own
        self.b = torch.nn.Parameter(torch.zeros(groups, out, rank, device=place))

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        import torch

        kept = self.piece.frozen
        if self.name not in kept:
            with torch.no_grad():
                said = self._frozen(states)
                kept[self.name] = states.to(said.dtype), said
        states, said = kept[self.name]
        a, b = (weights.to(said.dtype).index_select(0, self.piece.index) for weights in (self.a, self.b))
        return said + SCALE * torch.bmm(torch.bmm(states, a.transpose(1, 2)), b.transpose(1, 2))


class Stack:
    """A copy of the encoder's network with G LoRAs on the query and value projections of its top layer.

    Args:
        weights: module → (A, B) to start from, float32 [G, r, in] and [G, out, r]; None: fresh ones.
    """

    def __init__(self, prefix: Prefix, groups: int, rank: int, seed: int = 0,
                 weights: dict[str, tuple[np.ndarray, np.ndarray]] | None = None) -> None:
        import torch

        self.prefix, self.network = prefix, copy.deepcopy(prefix.encoder.model).requires_grad_(False)
        generator = torch.Generator().manual_seed(seed)
        self.loras: list[StackedLora] = []
        for name in target_modules(self.network, prefix.layer_index):
            module = self.network.get_submodule(name)
            module.forward = StackedLora(name, module, groups, rank, generator)
            self.loras.append(module.forward)
        if weights is not None:
            with torch.no_grad():
                for lora in self.loras:
                    lora.a.copy_(torch.from_numpy(weights[lora.name][0]))
                    lora.b.copy_(torch.from_numpy(weights[lora.name][1]))

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        return [parameter for lora in self.loras for parameter in (lora.a, lora.b)]

    def weights(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Module → (A, B), float32 [G, r, in] and [G, out, r]."""
        return {lora.name: (lora.a.detach().cpu().numpy(), lora.b.detach().cpu().numpy()) for lora in self.loras}

    def pieces(self, rows: Sequence[np.ndarray], tokens: int) -> Iterator[Piece]:
        """All texts of all segments, batch by batch, cut where one would hold more than so many padded tokens.

        Args:
            rows: each segment's texts, int64.
        """
        import torch

        texts = np.concatenate(rows)
        group = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
        column = np.concatenate([np.arange(len(own)) for own in rows])
        for batch in self.prefix.batches(np.unique(texts)):
            order = np.argsort(batch.rows)
            at = order[np.searchsorted(batch.rows, texts, sorter=order).clip(max=len(order) - 1)]
            found = np.flatnonzero(batch.rows[at] == texts)
            most = max(1, tokens // batch.mask.shape[1])
            for mine in (found[low:low + most] for low in range(0, len(found), most)):
                yield Piece(batch.pick(at[mine]), group[mine], column[mine],
                            torch.as_tensor(group[mine], device=self.prefix.encoder.device))

    def vectors(self, piece: Piece) -> torch.Tensor:
        """The piece's texts as their segments read them: unit vectors [n, d]."""
        for lora in self.loras:
            lora.piece = piece
        return self.prefix.finish(piece.batch, self.network)


def save_peft(folder: Path, encoder: TextEncoder, layer: int, weights: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Write one segment's LoRA as the folder that `PeftModel.from_pretrained` reads.

    Args:
        layer: the layer the modules lie in, recorded beside their full names. weights: module → (A [r, in], B [out, r]).
    """
    from peft import LoraConfig, TaskType
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    rank = len(next(iter(weights.values()))[0])
    save_file({f"base_model.model.{name}.lora_{side}.weight": np.ascontiguousarray(matrix)
               for name, pair in weights.items() for side, matrix in zip("AB", pair, strict=True)},
              folder / "adapter_model.safetensors", metadata={"format": "pt"})
    LoraConfig(task_type=TaskType.FEATURE_EXTRACTION, r=rank, lora_alpha=int(SCALE * rank), lora_dropout=0.0,
               target_modules=sorted(weights), layers_to_transform=[layer], inference_mode=True,
               base_model_name_or_path=encoder.source).save_pretrained(str(folder))
