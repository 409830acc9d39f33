"""The contrastive objective and its held-out measure."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from recsys_core.text_encoder.encoder import TextEncoder, out_of_memory
from recsys_core.text_encoder.pairs import PAIR_KINDS, Pairs

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

GROUP_TOKENS = 1024  # padded tokens run together: larger groups gain a CPU nothing, and pad more
# The last one makes every text as likely as the next: no loss is worse than knowing nothing.
TEMPERATURES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1e6)


def info_nce(anchors: torch.Tensor, positives: torch.Tensor, excluded: torch.Tensor,
             temperature: float) -> torch.Tensor:
    """Symmetric InfoNCE (van den Oord et al. 2018; both directions as in CLIP).

    Args:
        anchors: float32 [b, d], unit vectors.
        positives: float32 [b, d], unit vectors; row i belongs to anchor i.
        excluded: bool [b, b], True where positive j is no negative of anchor i (diagonal False).
    """
    import torch

    logits = (anchors @ positives.T / temperature).masked_fill(excluded, float("-inf"))
    target = torch.arange(len(anchors), device=anchors.device)
    return (torch.nn.functional.cross_entropy(logits, target)
            + torch.nn.functional.cross_entropy(logits.T, target)) / 2


class CachedGradient:
    """Gradient of a batch's loss in bounded memory (GradCache, Gao et al. 2021): exact, not accumulated.

    A batch that fits is back-propagated directly, in groups of similar length to spare the padding. A larger
    one is embedded without gradients, the loss is taken over all vectors, and each micro-batch runs again to
    carry its share back. Micro-batches halve when memory runs out, and stay that small.

    Args:
        encoder: the network in training.
        micro_tokens: padded tokens whose activations are held at a time.
    """

    def __init__(self, encoder: TextEncoder, micro_tokens: int) -> None:
        self.encoder, self.micro_tokens = encoder, micro_tokens

    def backward(self, ids: list[list[int]], anchor: np.ndarray, positive: np.ndarray, excluded: np.ndarray,
                 temperature: float, seed: int) -> float:
        """Add the gradient of `info_nce` to the network's parameters and return the loss.

        Args:
            ids: token ids of the batch's distinct texts.
            anchor: int [b], rows of `ids`.
            positive: int [b], rows of `ids`.
            excluded: bool [b, b], as in `info_nce`.
            seed: of the dropout.
        """
        while True:
            try:
                return self._backward(ids, anchor, positive, excluded, temperature, seed)
            except (RuntimeError, MemoryError) as error:
                if self.micro_tokens <= max(map(len, ids)) or not out_of_memory(error):
                    raise
                self.encoder.model.zero_grad(set_to_none=True)
                self.micro_tokens //= 2
                log.info("out of memory: micro-batches of %d tokens from here on", self.micro_tokens)

    def _backward(self, ids: list[list[int]], anchor: np.ndarray, positive: np.ndarray, excluded: np.ndarray,
                  temperature: float, seed: int) -> float:
        import torch

        lengths = np.array([len(row) for row in ids])
        group = GROUP_TOKENS if self.encoder.device == "cpu" else self.micro_tokens
        parts = micro_batches(lengths, min(self.micro_tokens, group))
        held = sum(len(part) * int(lengths[part[0]]) for part in parts)
        place = torch.from_numpy(np.argsort(np.concatenate(parts))).to(self.encoder.device)
        mask = torch.from_numpy(excluded).to(self.encoder.device)

        def embed(number: int) -> torch.Tensor:
            torch.manual_seed(seed + number)  # the second pass must drop what the first one dropped
            return self.encoder.embed([ids[row] for row in parts[number]])

        def loss_of(vectors: torch.Tensor) -> torch.Tensor:
            return info_nce(vectors[place[anchor]], vectors[place[positive]], mask, temperature)

        with torch.set_grad_enabled(held <= self.micro_tokens):
            vectors = torch.cat([embed(number) for number in range(len(parts))])
        if vectors.requires_grad:
            loss = loss_of(vectors)
            loss.backward()
            return loss.item()
        loss = loss_of(vectors.requires_grad_())
        (of_vectors,) = torch.autograd.grad(loss, vectors)
        for number, gradient in enumerate(of_vectors.split([len(part) for part in parts])):
            embed(number).backward(gradient)
        return loss.item()


def micro_batches(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Rows in parts of at most `tokens` padded tokens (one row at least), longest first.

    >>> [part.tolist() for part in micro_batches(np.array([2, 8, 4, 3]), 8)]
    [[1], [2, 3], [0]]
    """
    order, parts = np.argsort(-lengths, kind="stable"), []
    while len(order):
        size = max(1, tokens // lengths[order[0]])
        parts.append(order[:size])
        order = order[size:]
    return parts


class HeldOut:
    """Judges an encoder on pairs it never trained on: does an anchor find its positive among many texts?

    Args:
        held: the held-out pairs.
        distractors: rows of `held.texts` ranked beside the held-out positives.
    """

    def __init__(self, held: Pairs, distractors: np.ndarray) -> None:
        self.held = held
        self.candidates = np.union1d(held.positive, distractors)
        self.target = np.searchsorted(self.candidates, held.positive)
        # Other known positives of an anchor, and the anchor itself, are neither right nor wrong.
        self.ignored = held.related[held.anchor][:, self.candidates].toarray()
        self.ignored[np.arange(len(held)), self.target] = False

    def measure(self, encoder: TextEncoder) -> dict[str, float]:
        """held_out_loss and held_out_mrr (expected rank over ties), per kind of pair and their mean.

        The loss is the ranking's cross-entropy at its best temperature: a mere change of scale, which
        training at one temperature brings, earns nothing.
        """
        texts = [self.held.texts[row] for row in (*self.held.anchor, *self.candidates)]
        vectors = encoder.encode(texts)
        scores = vectors[:len(self.held)] @ vectors[len(self.held):].T
        scores[self.ignored] = -np.inf
        right = scores[np.arange(len(scores)), self.target][:, None]
        rank = (scores > right).sum(1) + ((scores == right).sum(1) + 1) / 2
        measures: dict[str, float] = {}
        kinds = np.unique(self.held.kind)
        for kind in kinds:
            of_kind = self.held.kind == kind
            losses = [log_sum_exp((scores - right)[of_kind] / value).mean() for value in TEMPERATURES]
            measures[f"held_out_loss_{PAIR_KINDS[kind]}"] = float(min(losses))
            measures[f"held_out_mrr_{PAIR_KINDS[kind]}"] = float((1 / rank[of_kind]).mean())
        for name in ("held_out_loss", "held_out_mrr"):
            measures[name] = float(np.mean([measures[f"{name}_{PAIR_KINDS[kind]}"] for kind in kinds]))
        return measures


def log_sum_exp(values: np.ndarray) -> np.ndarray:
    """log Σ exp of each row [n, m] → [n], without overflow.

    >>> log_sum_exp(np.array([[0.0, 0.0, -np.inf], [1000.0, -np.inf, -np.inf]])).round(4).tolist()
    [0.6931, 1000.0]
    """
    top = values.max(1)
    return top + np.log(np.exp(values - top[:, None]).sum(1))
