"""Reads queries with the distilled student: onnxruntime and tokenizers only, no training library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recsys_core.artefacts import file_hash, read_json
from recsys_core.errors import BundleError, RecsysError

STUDENT_MODEL = "student.onnx"
STUDENT_TOKENIZER = "tokenizer.json"
STUDENT_SETTINGS = "student.json"
STUDENT_FORMAT = 1


class OnnxEncoder:
    """The student as it is served: texts in, unit vectors in the teacher's space out.

    Args:
        session: an onnxruntime session of student.onnx.
        tokenizer: a `tokenizers.Tokenizer`.
        settings: the content of student.json.
    """

    def __init__(self, session: Any, tokenizer: Any, settings: dict[str, Any]) -> None:
        self.settings, self._session, self._tokenizer = settings, session, tokenizer
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

    @classmethod
    def load(cls, folder: Path, threads: int = 1, verified: bool = False) -> OnnxEncoder:
        """Verify and open a student folder.

        Args:
            folder: as `export_onnx` wrote it.
            threads: onnxruntime's threads per query; one is fastest for short texts.
            verified: the caller has checked the files' hashes, as `Bundle.load` has.

        Raises:
            BundleError: if a file is missing, of another format, or not the one that was exported.
        """
        import onnxruntime
        from tokenizers import Tokenizer

        folder = Path(folder)
        try:
            settings = read_json(folder / STUDENT_SETTINGS)
        except RecsysError as error:
            raise BundleError(error.artefact, error.culprit, "distil the student again") from None
        if settings.get("format") != STUDENT_FORMAT:
            raise BundleError(str(folder), f"student format {settings.get('format')}, not {STUDENT_FORMAT}",
                              "distil the student again with this version")
        for name in (STUDENT_MODEL, STUDENT_TOKENIZER):  # before anything parses them
            path = folder / name
            if not verified and (not path.is_file() or file_hash(path) != settings["files"].get(name)):
                raise BundleError(str(path), f"is missing or differs from its hash in {STUDENT_SETTINGS}",
                                  "distil the student again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        session = onnxruntime.InferenceSession((folder / STUDENT_MODEL).read_bytes(), options,
                                               providers=["CPUExecutionProvider"])
        return cls(session, Tokenizer.from_file(str(folder / STUDENT_TOKENIZER)), settings)

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
