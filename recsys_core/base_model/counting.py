"""What a night counts: popularity, what tends to follow what, the same smoothed through text, and companions.

Closed form, counted once (SLIST: Choi et al., "Session-aware Linear Item-Item Models", WWW 2021, in
its counting form): no gradient steps, so a night's refit costs seconds and is bit-identical.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recsys_core.base_model.parts import Counts
from recsys_core.base_model.ranker import RankerConfig
from recsys_core.base_model.sparse import Sparse
from recsys_core.interactions import SECONDS_PER_DAY, Catalogue, Interactions

# Rows of a product held at once; the product of two sparse matrices can be far larger than its pruned rows.
CHUNK_ROWS = 4096


def count_events(train: Interactions, catalogue: Catalogue, config: RankerConfig) -> Counts:
    """Count everything the parts need from the training events."""
    size = len(catalogue)
    newest = int(train.timestamp.max()) if len(train) else 0
    popularity = np.bincount(train.item, minlength=size).astype(np.float32)
    age = (newest - train.timestamp) / SECONDS_PER_DAY
    recent = np.bincount(train.item, np.exp2(-age / config.trend_half_life_days), size).astype(np.float32)
    transitions = count_transitions(
        train, size, window=config.window, decay=config.window_decay, backward=config.backward,
        shrink=config.shrink, top_k=config.top_k)
    neighbours = text_neighbours(catalogue.vectors, config.neighbours, config.neighbour_power)
    between = smooth_transitions(transitions, popularity, catalogue.text_of_item, neighbours,
                                 shrink=config.shrink, top_k=config.top_k)
    companions = count_companions(train, size, newest=config.companion_events, shrink=config.companion_shrink,
                                  top_k=config.companion_top_k)
    return Counts(popularity, recent, newest, *map(Sparse.of, (transitions, between, companions)))


def prune_rows(matrix: sp.csr_array, top_k: int) -> sp.csr_array:
    """Keep the `top_k` largest entries of every row; equal entries are kept by lower column.

    All entries must be positive: then a float's bits sort like the float, and (row, value, column) packs
    into one integer. A single sort does the work, several times faster than sorting by three keys.

    >>> prune_rows(sp.csr_array(np.array([[3., 1., 2.], [0., 5., 0.]], np.float32)), 2).toarray().tolist()
    [[3.0, 0.0, 2.0], [0.0, 5.0, 0.0]]
    """
    n_rows, n_columns = matrix.shape
    column_bits = max(int(n_columns - 1).bit_length(), 1)
    block_rows = 1 << (64 - 31 - column_bits)
    columns, values, lengths = [], [], []
    for start in range(0, n_rows, block_rows):
        block = matrix[start:start + block_rows] if n_rows > block_rows else matrix
        counts = np.diff(block.indptr)
        row = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
        # 0x7F800000 is +inf: subtracting from it turns the largest value into the smallest key.
        inverted = (np.uint32(0x7F800000) - block.data.astype(np.float32).view(np.uint32)).astype(np.uint64)
        key = (row << np.uint64(31 + column_bits)) | (inverted << np.uint64(column_bits))
        key |= block.indices.astype(np.uint64)
        key.sort()
        kept = np.arange(len(key)) - np.repeat(np.cumsum(counts) - counts, counts) < top_k
        key = key[kept]
        columns.append((key & np.uint64((1 << column_bits) - 1)).astype(np.int32))
        bits = ((key >> np.uint64(column_bits)) & np.uint64(0x7FFFFFFF)).astype(np.uint32)
        values.append((np.uint32(0x7F800000) - bits).view(np.float32))
        lengths.append(np.minimum(counts, top_k))
    indptr = np.r_[0, np.cumsum(np.concatenate(lengths))].astype(np.int64)
    kept = sp.csr_array((np.concatenate(values), np.concatenate(columns), indptr), shape=matrix.shape)
    kept.sort_indices()
    return kept


def step_matrices(train: Interactions, n_items: int, window: int, decay: float
                  ) -> tuple[sp.csr_array, sp.csr_array, sp.csr_array]:
    """Lay the events out by step: the step's own items, what follows it, and what came before it.

    Args:
        window: how many steps ahead (and back) are seen.
        decay: weight per further step, (0, 1].

    Returns:
        own, following, preceding: float32 [steps, N]; `own` is 0/1, the other two hold
        sum_{g=1..window} decay^(g-1) · own[step ± g], within one user.
    """
    new_user = np.r_[True, train.user[1:] != train.user[:-1]]
    step = np.cumsum(new_user | np.r_[True, train.timestamp[1:] != train.timestamp[:-1]]) - 1
    n_steps = int(step[-1]) + 1
    own = sp.csr_array((np.ones(len(step), np.float32), (step, train.item)), shape=(n_steps, n_items))
    own.sum_duplicates()
    own.data[:] = 1.0
    user = np.zeros(n_steps, np.int32)
    user[step] = train.user
    first, second = [], []
    weights = []
    for gap in range(1, window + 1):
        at = np.flatnonzero(user[gap:] == user[:-gap])
        first.append(at)
        second.append(at + gap)
        weights.append(np.full(len(at), decay ** (gap - 1), np.float32))
    shift = sp.csr_array((np.concatenate(weights), (np.concatenate(first), np.concatenate(second))),
                         shape=(n_steps, n_steps))
    return own, sp.csr_array(shift @ own), sp.csr_array(shift.T.tocsr() @ own)


def count_transitions(train: Interactions, n_items: int, *, window: int, decay: float, backward: float,
                      shrink: float, top_k: int) -> sp.csr_array:
    """How often each item is taken after (and, at a discount, before) each other item, per occurrence.

    T[i, j] = (F[i, j] + backward · B[i, j]) / (steps holding i + shrink), its `top_k` largest per row;
    F counts j in one of the next `window` steps and B in one of the previous ones, each with weight
    decay^(gap-1).

    Args:
        train: sorted events.
        backward: weight of the reverse direction, >= 0.
        shrink: pseudo-steps that damp rarely seen items.
        top_k: entries kept per row.

    Returns:
        float32 CSR [N, N].
    """
    if not len(train):
        return sp.csr_array((n_items, n_items), dtype=np.float32)
    own, following, preceding = step_matrices(train, n_items, window, decay)
    context = sp.csr_array(following + np.float32(backward) * preceding)
    by_item = own.T.tocsr()
    scale = (1.0 / (np.diff(by_item.indptr) + shrink)).astype(np.float32)
    blocks = []
    for start in range(0, n_items, CHUNK_ROWS):
        block = sp.csr_array(by_item[start:start + CHUNK_ROWS] @ context)
        block.data *= np.repeat(scale[start:start + CHUNK_ROWS], np.diff(block.indptr))
        blocks.append(prune_rows(block, top_k))
    return sp.csr_array(sp.vstack(blocks, format="csr"))


def count_companions(train: Interactions, n_items: int, *, newest: int, shrink: float, top_k: int) -> sp.csr_array:
    """Which items the same shoppers take, in whatever order: cosine over users, the `top_k` largest per row.

    C[i, j] = users with both / (√(users with i · users with j) + shrink), 0 on the diagonal (Sarwar et al. 2001,
    shrunk as by Koren 2008). Transitions see a few steps; this sees the basket of a lifetime.

    Args:
        newest: events counted per user, so that no heavy shopper costs the square of a year.

    Returns:
        float32 CSR [N, N].
    """
    if not len(train):
        return sp.csr_array((n_items, n_items), dtype=np.float32)
    ends = np.flatnonzero(np.r_[train.user[1:] != train.user[:-1], True]) + 1
    left = np.repeat(ends, np.diff(np.r_[0, ends])) - np.arange(len(train))  # 1 for a user's newest
    kept = left <= newest
    held = sp.csr_array((np.ones(int(kept.sum()), np.float32), (train.user[kept], train.item[kept])),
                        shape=(int(train.user.max()) + 1, n_items))
    held.sum_duplicates()
    held.data[:] = 1.0
    by_item = held.T.tocsr()
    norm = np.sqrt(np.diff(by_item.indptr)).astype(np.float32)
    blocks = []
    for start in range(0, n_items, CHUNK_ROWS):
        both = sp.csr_array(by_item[start:start + CHUNK_ROWS] @ held)
        row = np.repeat(np.arange(start, start + both.shape[0]), np.diff(both.indptr))
        both.data /= norm[row] * norm[both.indices] + np.float32(shrink)
        both.data[row == both.indices] = 0.0
        both.eliminate_zeros()
        blocks.append(prune_rows(both, top_k))
    return sp.csr_array(sp.vstack(blocks, format="csr"))


def text_neighbours(vectors: np.ndarray, top_k: int, power: float) -> sp.csr_array:
    """Row-normalised similarity of each distinct text to its `top_k` nearest, itself included.

    S[a, b] = max(cos(a, b), 0)^power / row sum.

    Args:
        vectors: float32 [M, d], L2-normalised.
        power: sharpness; larger trusts only close texts.

    Returns:
        float32 CSR [M, M].
    """
    import torch  # its top-k is twenty times faster than NumPy's partition on rows this wide

    count = len(vectors)
    keep = min(top_k, count)
    columns = np.empty((count, keep), np.int32)
    values = np.empty((count, keep), np.float32)
    for start in range(0, count, 1024):
        similarity = vectors[start:start + 1024] @ vectors.T
        nearest = np.sort(torch.topk(torch.from_numpy(similarity), keep, dim=1).indices.numpy(), axis=1)
        columns[start:start + 1024] = nearest
        values[start:start + 1024] = np.take_along_axis(similarity, nearest, axis=1)
    values = np.maximum(values, 0.0) ** np.float32(power)
    values /= np.maximum(values.sum(axis=1, keepdims=True), np.float32(1e-12))
    indptr = np.arange(0, count * keep + 1, keep, dtype=np.int64)
    return sp.csr_array((values.ravel(), columns.ravel(), indptr), shape=(count, count))


def smooth_transitions(transitions: sp.csr_array, occurrences: np.ndarray, text_of_item: np.ndarray,
                       neighbours: sp.csr_array, *, shrink: float, top_k: int) -> sp.csr_array:
    """Transitions between texts, shared with each text's neighbours on both sides: S·C·Sᵀ, row-normalised.

    An item that was never sold borrows what its neighbours lead to, and what leads to them.

    Args:
        transitions: T of `count_transitions`, [N, N].
        occurrences: float32 [N], steps holding each item (undoes T's row scale).
        text_of_item: int32 [N].
        neighbours: S of `text_neighbours`.

    Returns:
        float32 CSR [M, M], `top_k` entries per row.
    """
    n_items, n_texts = len(text_of_item), neighbours.shape[0]
    spread = sp.csr_array((np.ones(n_items, np.float32), (np.arange(n_items), text_of_item)),
                          shape=(n_items, n_texts))
    counts = transitions.copy()
    counts.data *= np.repeat((occurrences + shrink).astype(np.float32), np.diff(counts.indptr))
    between = prune_rows(sp.csr_array(spread.T.tocsr() @ (counts @ spread)), top_k)
    right = prune_rows(sp.csr_array(between @ neighbours.T.tocsr()), top_k)
    seen = neighbours @ (spread.T @ occurrences.astype(np.float32))
    scale = (1.0 / (seen + shrink)).astype(np.float32)
    blocks = []
    for start in range(0, n_texts, 1024):
        block = sp.csr_array(neighbours[start:start + 1024] @ right)
        block.data *= np.repeat(scale[start:start + 1024], np.diff(block.indptr))
        blocks.append(prune_rows(block, top_k))
    return sp.csr_array(sp.vstack(blocks, format="csr"))
