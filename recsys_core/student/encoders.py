"""Reads queries with a distilled student: NumPy and tokenizers, onnxruntime for the transformer; no training library.

A student folder holds student.json, which names the tier that serves, and one folder per tier:

- `static/`: one int8 vector per token; a text's vector is their sum, of unit length. No network runs.
- `onnx/`: the transformer, int8 and float32. It reads words in their order and takes a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.artefacts import file_hash, read_json
from recsys_core.errors import BundleError, RecsysError

STUDENT_TABLE = "student.safetensors"
STUDENT_MODEL = "student.onnx"
STUDENT_FLOAT = "student-float32.onnx"
STUDENT_TOKENIZER = "tokenizer.json"
STUDENT_SETTINGS = "student.json"
STUDENT_FORMAT = 3
STATIC = "static"
ONNX = "onnx"
WORDS_KEPT = 65_536  # words read whose tokens stay in memory; then it starts anew


class StaticEncoder:
    """The static student: each token has a vector, a text has their sum, scaled to unit length.

    Args:
        vectors: int8 [V, d], a row per token id.
        scales: float32 [V]: a token's vector is `scales · vectors`. What a token counts for is in it.
        tokenizer: a `tokenizers.Tokenizer`.
        settings: the content of the tier's student.json. `by_word`: a text's tokens are those of its words.
            `uncased`: ASCII letters of either case are read alike.
        whole: token ids int [W] of words that are one token: the token's own name. They need no reading.
    """

    def __init__(self, vectors: np.ndarray, scales: np.ndarray, tokenizer: Any, settings: dict[str, Any], whole: np.ndarray
                 ) -> None:
        self.settings, self._vectors, self._scales, self._tokenizer = settings, vectors, scales, tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._uncased = bool(settings.get("uncased"))
        self._whole = {tokenizer.id_to_token(token): (token,) for token in whole.tolist()}
        self._known: dict[str, Sequence[int]] = dict(self._whole)

    @property
    def dim(self) -> int:
        """Width d of the vectors."""
        return self._vectors.shape[1]

    @property
    def teacher(self) -> dict[str, Any]:
        """Fingerprint of the encoder whose document vectors these queries are compared with."""
        return self.settings["teacher"]

    @classmethod
    def load(cls, folder: Path, verified: bool = False) -> StaticEncoder:
        """Verify and open a static tier; arguments and errors as `load_student`."""
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        settings = _read_settings(Path(folder), (STUDENT_TABLE, STUDENT_TOKENIZER), verified)
        arrays = load_file(str(Path(folder) / STUDENT_TABLE))
        tokenizer = Tokenizer.from_file(str(Path(folder) / STUDENT_TOKENIZER))
        if len(arrays["scales"]) != len(arrays["vectors"]) or tokenizer.get_vocab_size() > len(arrays["vectors"]):
            raise BundleError(str(folder), "its table has fewer rows than its tokenizer has tokens", "distil the student again")
        return cls(arrays["vectors"], arrays["scales"], tokenizer, settings, arrays["whole"])

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 [n, d], rows of unit length, 0 for a text without a token; no text changes another's vector."""
        sums = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            if ids := self._tokens(text):
                np.dot(self._scales[ids], self._vectors[ids].astype(np.float32), out=sums[row])
        lengths = np.sqrt(np.einsum("nd,nd->n", sums, sums))
        sums /= np.where(lengths > 0, lengths, 1)[:, None]
        return sums

    def _tokens(self, text: str) -> list[int]:
        """Token ids of a text; those of a whole word or of one met before are looked up, a tenth of what reading takes."""
        if not self.settings["by_word"]:
            return self._read(text)
        ids: list[int] = []
        known = self._known
        for word in text.split():
            found = known.get(word)
            if found is None:
                if len(known) >= len(self._whole) + WORDS_KEPT:
                    known = self._known = dict(self._whole)
                plain = word.lower() if self._uncased and word.isascii() else word
                found = known[word] = self._whole.get(plain) or self._read(word)
            ids += found
        return ids

    def _read(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids


class OnnxEncoder:
    """The transformer student: texts in, unit vectors in the teacher's space out.

    Args:
        session: an onnxruntime session of student.onnx.
        tokenizer: a `tokenizers.Tokenizer`.
        settings: the content of the tier's student.json.
        model: the file the session was opened from.
    """

    def __init__(self, session: Any, tokenizer: Any, settings: dict[str, Any], model: str = STUDENT_MODEL) -> None:
        self.settings, self._session, self._tokenizer, self._model = settings, session, tokenizer, model
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(settings["max_length"])

    @property
    def dim(self) -> int:
        """Width d of the vectors."""
        return self.settings["dim"]

    @property
    def teacher(self) -> dict[str, Any]:
        """Fingerprint of the encoder whose document vectors these queries are compared with."""
        return self.settings["teacher"]

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What its vectors depend on: weights and tokenizer by their hashes, and how texts are read."""
        files = self.settings["files"]
        return {"weights": files[self._model], "tokenizer": files[STUDENT_TOKENIZER],
                "max_length": self.settings["max_length"], "dim": self.dim}

    @classmethod
    def load(cls, folder: Path, verified: bool = False, threads: int = 1, model: str = STUDENT_MODEL) -> OnnxEncoder:
        """Verify and open a transformer tier; errors as `load_student`.

        Args:
            folder: the tier's.
            verified: the caller has checked the files' hashes.
            threads: onnxruntime's threads per query; one is fastest for short texts.
            model: STUDENT_MODEL is int8, STUDENT_FLOAT float32.
        """
        import onnxruntime
        from tokenizers import Tokenizer

        folder = Path(folder)
        settings = _read_settings(folder, (model, STUDENT_TOKENIZER), verified)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        session = onnxruntime.InferenceSession((folder / model).read_bytes(), options, providers=["CPUExecutionProvider"])
        return cls(session, Tokenizer.from_file(str(folder / STUDENT_TOKENIZER)), settings, model)

    def encode(self, texts: list[str]) -> np.ndarray:
        """Encode texts one by one, each distinct one once.

        int8 activations are scaled per run, so a text in a batch would get a vector that depends on its
        neighbours; alone, it is the same whoever else asks.

        Returns:
            float32 [n, d], rows of unit length.
        """
        vectors = np.zeros((len(texts), self.dim), np.float32)
        done: dict[str, int] = {}
        for row, text in enumerate(texts):
            if text in done:
                vectors[row] = vectors[done[text]]
                continue
            ids = np.array([self._tokenizer.encode(text).ids or [self.settings["pad_id"]]], np.int64)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            vectors[row] = self._session.run(None, feed)[0][0]
            done[text] = row
        return vectors


def load_student(folder: Path, verified: bool = False) -> StaticEncoder | OnnxEncoder:
    """Open the tier of a student folder that its student.json says serves.

    Args:
        folder: as `build_student` wrote it.
        verified: the caller has checked the files' hashes, as `Bundle.load` has.

    Raises:
        BundleError: a file is missing, of another format, or not the one that was written.
    """
    serves = _read_settings(Path(folder), (), verified)["serves"]
    return (StaticEncoder if serves == STATIC else OnnxEncoder).load(Path(folder) / serves, verified)


def _read_settings(folder: Path, names: tuple[str, ...], verified: bool) -> dict[str, Any]:
    """The folder's student.json, once the named files are those it speaks of; nothing has parsed them before."""
    try:
        settings = read_json(folder / STUDENT_SETTINGS)
    except RecsysError as error:
        raise BundleError(error.artefact, error.culprit, "distil the student again") from None
    if settings.get("format") != STUDENT_FORMAT:
        raise BundleError(str(folder), f"student format {settings.get('format')}, not {STUDENT_FORMAT}",
                          "distil the student again with this version")
    for name in names:
        path = folder / name
        if not verified and (not path.is_file() or file_hash(path) != settings["files"].get(name)):
            raise BundleError(str(path), f"is missing or differs from its hash in {STUDENT_SETTINGS}",
                              "distil the student again")
    return settings
