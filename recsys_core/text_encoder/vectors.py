"""A cache of text vectors on disk: a text is encoded once per encoder, whatever the run.

One folder per (fingerprint, dtype), so a changed encoder can never be answered with an old vector, and
one immutable file per addition, named by its own hash, so writers never collide and damage is noticed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recsys_core.artefacts import file_hash, staged_file, write_json
from recsys_core.fan_out import IN_PROCESS, FanOut

log = logging.getLogger(__name__)

KEY_BYTES = 16
KEPT_ENCODERS = 8  # folders of the least recently written encoders beyond these are removed


class Encodes(Protocol):
    """What the cache needs of an encoder."""

    @property
    def fingerprint(self) -> dict[str, Any]: ...

    @property
    def dtype(self) -> str: ...

    def encode(self, texts: list[str]) -> np.ndarray: ...

    def cut(self, texts: list[str]) -> list[list[str]]:
        """The texts in parts, which give the same vectors alone and together."""
        ...


class VectorCache:
    """Vectors keyed by (text hash, encoder fingerprint, dtype).

    Args:
        folder: where the cache lives; created when first written.
        fan_out: where texts are encoded that it has not seen; a task per part of `Encodes.cut`.
    """

    def __init__(self, folder: Path, fan_out: FanOut = IN_PROCESS) -> None:
        self.folder, self.fan_out = Path(folder), fan_out

    def read(self, fingerprint: dict[str, Any], dtype: str) -> tuple[dict[bytes, int], np.ndarray]:
        """Everything stored for one encoder: text key → row, and float32 [n, d].

        A damaged file is removed with a warning: its texts are encoded again.
        """
        from safetensors.numpy import load_file

        keys: list[bytes] = []
        parts = [np.zeros((0, fingerprint["dim"]), np.float32)]
        for path in sorted(self._place(fingerprint, dtype).glob("*.safetensors")):
            if file_hash(path) != path.stem:
                log.warning("vector cache: %s is damaged, its texts are encoded again", path)
                path.unlink()
                continue
            stored = load_file(path)
            keys += [row.tobytes() for row in stored["keys"]]
            parts.append(stored["vectors"])
        return {key: row for row, key in enumerate(keys)}, np.concatenate(parts)

    def add(self, fingerprint: dict[str, Any], dtype: str, keys: Sequence[bytes],
            vectors: np.ndarray) -> None:
        """Store vectors float32 [n, d] under their text keys (see `text_key`), in one atomic step."""
        from safetensors.numpy import save

        place = self._place(fingerprint, dtype)
        content = save({"keys": np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), KEY_BYTES),
                        "vectors": np.ascontiguousarray(vectors, np.float32)})
        with staged_file(place / f"{hashlib.sha256(content).hexdigest()}.safetensors") as staging:
            staging.write_bytes(content)
        write_json(place / "encoder.json", {**fingerprint, "dtype": dtype})
        written = sorted(self.folder.glob("*/encoder.json"), key=lambda path: path.stat().st_mtime_ns)
        for old in written[:-KEPT_ENCODERS]:
            shutil.rmtree(old.parent, ignore_errors=True)

    def _place(self, fingerprint: dict[str, Any], dtype: str) -> Path:
        identity = json.dumps({**fingerprint, "dtype": dtype}, sort_keys=True)
        return self.folder / hashlib.sha256(identity.encode()).hexdigest()[:24]


def text_key(text: str) -> bytes:
    """16 bytes of the SHA-256 of a text.

    >>> len(text_key("milk")), text_key("milk") == text_key("milk "), text_key("milk").hex()[:8]
    (16, False, '8825e765')
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]


def cached_encode(encoder: Encodes, texts: Sequence[str], cache: VectorCache) -> np.ndarray:
    """Vectors of `texts`, encoding and storing only those the cache has never seen.

    Returns:
        float32 [n, d], in the order of `texts`.
    """
    keys = [text_key(text) for text in texts]
    row_of, vectors = cache.read(encoder.fingerprint, encoder.dtype)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in row_of}
    log.info("vector cache: %d of %d distinct texts to encode", len(missing), len(set(keys)))
    if missing:
        read, fresh = _encode(encoder, list(missing.values()), cache.fan_out)
        new = [text_key(text) for text in read]
        cache.add(encoder.fingerprint, encoder.dtype, new, fresh)
        row_of |= {key: len(vectors) + row for row, key in enumerate(new)}
        vectors = np.concatenate([vectors, fresh])
    return vectors[np.array([row_of[key] for key in keys], np.int64)]


def _encode(encoder: Encodes, texts: list[str], fan_out: FanOut) -> tuple[list[str], np.ndarray]:
    """The texts in the order of their parts, and float32 [n, d]."""
    parts, vectors, done = encoder.cut(texts), [], 0
    for part, made in zip(parts, fan_out.map(encoder.encode, parts), strict=True):
        vectors.append(made)
        if done * 10 // len(texts) != (done + len(part)) * 10 // len(texts):
            log.info("encoded %d of %d distinct texts", done + len(part), len(texts))
        done += len(part)
    return [text for part in parts for text in part], np.concatenate(vectors)
