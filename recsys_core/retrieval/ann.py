"""Which texts may be a query's best, without scoring every one: an index of the texts' vectors.

Three sources are united, and everything in them is scored exactly afterwards: texts near in meaning, from the index; texts whose
words and standing add up to the most, which a query knows of every text; texts that are newer than the index.

The index is faiss' inverted lists of product-quantised vectors in four bits (Johnson, Douze & Jégou 2017; André, Kermarrec &
Le Scouarnec 2017): a twentieth of the vectors' size, and scanning one list in six takes less time than walking a graph.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

# Distinct texts. The index is the faster from some 6,000 on; up to here scoring every one takes 8 ms at most, is exact, and
# needs neither a file nor faiss.
INDEX_ABOVE = 50_000
NEAR, KEPT = 2000, 400  # texts near in meaning, and how many of them, and of those with the most words and standing, are scored
FEW = 2000  # texts that a restriction leaves and that are scored one and all: no slower than asking the index
PROBED, HELD = 6, 4  # one list in so many is scanned, or as many as hold so many times the texts asked for
SAMPLED = 16  # one text in so many
PER_CODE = 4  # dimensions that share a code of four bits
MISSING = "the extra `ann` (faiss-cpu) is not installed: searches score all %s texts"


class TextIndex:
    """An index of the vectors of distinct texts, in their order.

    Args:
        index: faiss' IndexIVFPQFastScan.
    """

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, vectors: np.ndarray) -> TextIndex | None:
        """Index vectors float32 [M, d], the same bytes for the same vectors; None, with a warning, without the extra `ann`."""
        faiss = _faiss(len(vectors))
        if faiss is None:
            return None
        size, width = vectors.shape
        codes = next(m for m in range(max(width // PER_CODE, 1), 0, -1) if width % m == 0)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # the order of additions, and so the file, would depend on how many there are
        try:
            index = faiss.index_factory(width, f"IVF{math.isqrt(size)},PQ{codes}x4fs", faiss.METRIC_INNER_PRODUCT)
            index.train(vectors)
            index.add(vectors)
        finally:
            faiss.omp_set_num_threads(threads)
        return cls(index)

    def save(self, path: Path) -> None:
        """Write the index."""
        _module().write_index(self._index, str(path))

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray) -> TextIndex | None:
        """Read what `save` wrote, of vectors float32 [M, d]; None, with a warning, without the extra `ann`.

        faiss trusts what it reads: somebody must have vouched for the file.

        Raises:
            ValueError: no such index, or one of other vectors.
        """
        faiss = _faiss(len(vectors))
        if faiss is None:
            return None
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise ValueError(f"{path.name}: {str(error).splitlines()[0]}") from None
        if not isinstance(index, faiss.IndexIVFPQFastScan) or (index.ntotal, index.d) != vectors.shape:
            raise ValueError(f"{path.name} is no index of {vectors.shape} vectors")
        return cls(index)

    def shortlist(self, vector: np.ndarray, known: np.ndarray, k: int) -> np.ndarray:
        """The texts among which the best k by `vectors @ vector + known` are, nearly always.

        Args:
            vector: float32 [d], the query's, in logits per unit of cosine.
            known: float32 [≥ M], what else a text's score adds up to; −inf: it may not be answered. Texts beyond M are newer
                than the index.
            k: how many will be answered.

        Returns:
            int64, ascending; all that may be answered, where these are few.
        """
        allowed = known > -np.inf
        count, kept = int(np.count_nonzero(allowed)), max(KEPT, 3 * k)
        if count <= max(FEW, 3 * kept):
            return np.flatnonzero(allowed)
        best = _largest(known, kept)
        near, meaning = self._near(vector, max(NEAR, 10 * k), None if count == len(known) else allowed[:self._index.ntotal])
        if len(near) > kept:
            near = near[np.argpartition(meaning + known[near], len(near) - kept)[-kept:]]
        chosen = allowed.copy()
        chosen[:self._index.ntotal] = False
        chosen[best] = chosen[near] = True
        return np.flatnonzero(chosen)

    def _near(self, vector: np.ndarray, n: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """At most n texts, int64, and what the index makes of their products with the vector, float32."""
        faiss = _module()
        faiss.omp_set_num_threads(1)  # this thread's; a forked worker would wait for helpers that its parent had
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        chosen = {} if bits is None else {"sel": faiss.IDSelectorBitmap(bits)}
        count = self._index.ntotal if allowed is None else int(np.count_nonzero(allowed))
        share = min(max(1 / PROBED, HELD * n / max(count, 1)), 1.0)
        asked = faiss.SearchParametersIVF(nprobe=math.ceil(share * self._index.nlist), **chosen)
        products, rows = self._index.search(vector[None], n, params=asked)
        found = rows[0] >= 0
        return rows[0][found], products[0][found]


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    """Where the n largest values are, in no order; a sample tells which values need not be looked at."""
    sample = values[::SAMPLED]
    place = max(len(sample) - 1 - 2 * n // SAMPLED, 0)
    least = np.partition(sample, place)[place]
    found = np.flatnonzero(values >= least)
    if len(found) < n:
        found = np.arange(len(values))
    return found[np.argpartition(values[found], len(found) - n)[-n:]]


def _faiss(n_texts: int) -> Any:
    try:
        return _module()
    except ImportError:
        log.warning(MISSING, f"{n_texts:,}")
        return None


def _module() -> Any:  # what it says of its own types is partly wrong
    import faiss

    return faiss
