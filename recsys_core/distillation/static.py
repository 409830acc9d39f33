"""The static student: a vector per token that adds up to what the teacher makes of a query.

1. The vocabulary is trimmed to the shop's language (`vocabulary`).
2. Each token starts from the teacher's vector of that token alone, as in model2vec.
3. In closed form the vectors move until their sums point where the teacher's vectors of the queries point (ridge
   regression toward the start). One linear map, fitted on the tokens that queries have, corrects all the others.
4. A few gradient steps lower what is left of 1 − cosine.
5. They are stored in int8 with a scale per token, which also says how much the token counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.distillation.queries import Queries
from recsys_core.distillation.vocabulary import reads_by_word, token_texts, trim_tokenizer
from recsys_core.text_encoder import TextEncoder, VectorCache, cached_encode

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_matrix
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

RESIDUAL = 5e-3  # of the closed form, relative; beyond it the vectors no longer move visibly
ITERATIONS = 30
WARMUP = 20  # gradient steps with a rising rate
WORD_PROBES = 200  # texts that show whether the tokenizer goes word by word


class StaticConfig(BaseModel, frozen=True, extra="forbid"):
    """Size of the token table and how it is fitted."""

    tokens: int = Field(16_000, ge=1, description="rows of the table, about")
    ridge: float = Field(0.5, gt=0, description="pull of a token toward its start, in queries of unit length")
    rounds: int = Field(2, ge=1, description="closed-form rounds; from the second, a query's length is left free")
    max_steps: int = Field(150, ge=0, description="gradient steps after the closed form")
    batch_queries: int = Field(256, ge=1, description="queries per step")
    batch_documents: int = Field(1_024, ge=1, description="without a teacher, documents per step to tell apart")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate of Adam")
    temperature: float = Field(0.05, gt=0, description="without a teacher, logits are similarities divided by this")


@dataclass(frozen=True)
class StaticStudent:
    """A fitted token table.

    Args:
        tokenizer: adds no special tokens.
        table: float32 [V, d].
        by_word: see `vocabulary.reads_by_word`.
        curves: one row per tenth of the gradient steps: step, loss and its terms.
    """

    tokenizer: Tokenizer
    table: np.ndarray
    by_word: bool
    curves: list[dict[str, float]]

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 [n, d], rows of unit length, before int8."""
        return _unit(count_tokens(self.tokenizer, texts) @ self.table)

    def quantized(self) -> tuple[np.ndarray, np.ndarray]:
        """int8 [V, d] and float32 [V]: the table is their product, to within half a step of each row."""
        scales = np.maximum(np.abs(self.table).max(1), 1e-9).astype(np.float32) / np.float32(127)
        return np.rint(self.table / scales[:, None]).astype(np.int8), scales


def distil_static(teacher: TextEncoder, queries: Queries, targets: np.ndarray, texts: list[str], config: StaticConfig,
                  rng: np.random.Generator, cache: VectorCache) -> StaticStudent:
    """Fit a token table to the teacher.

    Args:
        teacher: its tokenizer is trimmed; its network reads single tokens.
        queries: what it learns from.
        targets: float32 [n, d], the teacher's vectors of the queries.
        texts: the shop's texts, whose tokens the vocabulary keeps.
        config: size and strengths.
        rng: draws the batches.
        cache: where the teacher's vectors of single tokens may already be.
    """
    tokenizer = trim_tokenizer(teacher.tokenizer.backend_tokenizer, [*texts, *queries.texts], config.tokens)
    counts = count_tokens(tokenizer, queries.texts)
    start = cached_encode(teacher, token_texts(tokenizer), cache)
    table = solve_table(counts, targets, start, config)
    table, curves = _descend(table, counts, config, rng, lambda own, batch: _off_target(own, targets[batch]))
    by_word = reads_by_word(tokenizer, [*queries.texts[:WORD_PROBES], *texts[:WORD_PROBES]])
    log.info("static student: %d tokens, %d queries", len(table), len(queries.texts))
    return StaticStudent(tokenizer, table, by_word, curves)


def learn_without_teacher(student: StaticStudent, queries: Queries, documents: np.ndarray, config: StaticConfig,
                          rng: np.random.Generator) -> StaticStudent:
    """The same table from a random start, which learns by contrast alone that a query belongs to its document.

    It sees the same queries and documents, yet neither the teacher's vectors of queries and tokens nor its ranking.
    """
    table = rng.normal(0, 0.1, student.table.shape).astype(np.float32)
    own = queries.rows(np.flatnonzero(queries.document >= 0))
    counts = count_tokens(student.tokenizer, own.texts)
    longer = config.model_copy(update={"learning_rate": 10 * config.learning_rate})  # it starts from nothing
    table, curves = _descend(table, counts, longer, rng,
                             lambda vectors, batch: _contrast(vectors, own.document[batch], documents, longer, rng))
    return StaticStudent(student.tokenizer, table, student.by_word, curves)


def count_tokens(tokenizer: Tokenizer, texts: list[str]) -> csr_matrix:
    """float32 [n, V]: how often each text has each token."""
    from scipy.sparse import csr_matrix

    ids = [read.ids for read in tokenizer.encode_batch(texts, add_special_tokens=False)]
    lengths = np.array([len(row) for row in ids], np.int64)
    columns = np.array([token for row in ids for token in row], np.int64)
    size = max(tokenizer.get_vocab().values()) + 1
    counts = csr_matrix((np.ones(len(columns), np.float32), columns, np.r_[0, lengths.cumsum()]), (len(ids), size))
    counts.sum_duplicates()
    return counts


def solve_table(counts: csr_matrix, targets: np.ndarray, start: np.ndarray, config: StaticConfig) -> np.ndarray:
    """The closed form: min Σ w² ‖counts·W − target/w‖² + ridge·‖W − start·M‖² over the table W, M by the tokens counted.

    The sum of a query's token vectors may be of any length: w is 1/√tokens at first, then 1/length of the last round's sum.

    Args:
        counts: float32 [n, V].
        targets: float32 [n, d], of unit length.
        start: float32 [V, d].
        config: strength and rounds.

    Returns:
        float32 [V, d].
    """
    from scipy.sparse import diags

    if not counts.shape[0]:
        return start
    times = np.asarray(counts.sum(0)).ravel()
    weights = 1 / np.sqrt(np.maximum(np.asarray(counts.sum(1)).ravel(), 1))
    guess = counts @ start * weights[:, None]
    prior = np.float32((guess * targets).sum() / max(float((guess * guess).sum()), 1e-9)) * start
    table = prior
    for _ in range(config.rounds):
        rows = (diags(weights.astype(np.float32)) @ counts).tocsr()
        table = _ridge(rows, targets, config.ridge, prior)
        prior = _mapped(prior, table, times)
        table = _ridge(rows, targets, config.ridge, prior)
        weights = 1 / np.maximum(np.linalg.norm(counts @ table, axis=1), 1e-3)
    return table


def _mapped(prior: np.ndarray, table: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The prior of every token, moved by the linear map that best leads the counted tokens from prior to table."""
    weights = np.sqrt(times)[:, None]
    left, right = prior * weights, (table - prior) * weights
    gram = left.T @ left
    gram[np.diag_indices_from(gram)] += 0.01 * np.trace(gram) / len(gram) + 1e-6
    return (prior + prior @ np.linalg.solve(gram, left.T @ right)).astype(np.float32)


def _ridge(rows: csr_matrix, targets: np.ndarray, strength: float, prior: np.ndarray) -> np.ndarray:
    """argmin ‖rows·W − targets‖² + strength·‖W − prior‖², by conjugate gradients on all columns at once from the prior.

    Only tokens that a row has move.
    """
    used = np.unique(rows.indices)
    rows, table, solution = rows[:, used], prior.copy(), prior[used]
    residual = rows.T @ (targets - rows @ solution)
    step, size = residual.copy(), (residual * residual).sum(0)
    goal = RESIDUAL**2 * size
    for _ in range(ITERATIONS):
        if (size <= goal).all():
            break
        image = rows.T @ (rows @ step) + np.float32(strength) * step
        length = size / np.maximum((step * image).sum(0), 1e-20)
        solution += length * step
        residual -= length * image
        before, size = size, (residual * residual).sum(0)
        step = residual + size / np.maximum(before, 1e-20) * step
    table[used] = solution
    return table


def _descend(table: np.ndarray, counts: csr_matrix, config: StaticConfig, rng: np.random.Generator,
             loss_of: Callable[[torch.Tensor, np.ndarray], torch.Tensor]) -> tuple[np.ndarray, list[dict[str, float]]]:
    """Gradient steps on the rows that queries have.

    Args:
        table: float32 [V, d].
        counts: float32 [n, V], of the queries.
        config: steps and their size.
        rng: draws the batches.
        loss_of: from unit vectors [b, d] and the rows of their queries, int [b], to a scalar.

    Returns:
        the table after the last step, and the loss per tenth of the steps.
    """
    import torch
    from torch.nn import functional

    count = counts.shape[0]
    if not config.max_steps or not count:
        return table, []
    used = np.unique(counts.indices)
    counts = counts[:, used]
    rows = torch.from_numpy(table[used]).requires_grad_()
    optimizer = torch.optim.Adam([rows], lr=config.learning_rate)
    curves: list[dict[str, float]] = []
    losses: list[float] = []
    order = rng.permutation(count)
    for step in range(1, config.max_steps + 1):
        rate = min(1.0, step / WARMUP) * max(0.02, 1 - step / config.max_steps)
        optimizer.param_groups[0]["lr"] = config.learning_rate * rate
        batch = order[(step - 1) * config.batch_queries % count:][:config.batch_queries]
        some = counts[batch]
        own = functional.normalize(functional.embedding_bag(
            torch.from_numpy(some.indices.astype(np.int64)), rows, torch.from_numpy(some.indptr[:-1].astype(np.int64)),
            mode="sum", per_sample_weights=torch.from_numpy(some.data)), dim=-1)
        loss = loss_of(own, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % max(1, config.max_steps // 10) == 0:
            curves.append({"step": step, "loss": float(np.mean(losses))})
            losses = []
    moved = table.copy()
    moved[used] = rows.detach().numpy()
    return moved, curves


def _off_target(own: torch.Tensor, targets: np.ndarray) -> torch.Tensor:
    """Mean 1 − cosine between unit vectors [b, d] and theirs: scalar."""
    import torch

    return 1 - (own * torch.from_numpy(targets)).sum(-1).mean()


def _contrast(own: torch.Tensor, document: np.ndarray, documents: np.ndarray, config: StaticConfig, rng: np.random.Generator
              ) -> torch.Tensor:
    """Cross-entropy of each query's own document among those drawn: scalar.

    Args:
        own: unit vectors [b, d] of the queries.
        document: int [b], each query's own.
        documents: unit vectors [m, d].
        config: how many are drawn, and the temperature.
        rng: draws them.
    """
    import torch
    from torch.nn import functional

    drawn = rng.choice(len(documents), min(config.batch_documents, len(documents)), replace=False)
    shown = np.unique(np.r_[drawn, document])
    logits = own @ torch.from_numpy(documents[shown]).T / config.temperature
    return functional.cross_entropy(logits, torch.from_numpy(np.searchsorted(shown, document)))


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
