"""Exporting the student: ONNX, int8, and the agreement of what will really be served."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_core.artefacts import file_hash, staged_folder, write_json
from recsys_core.distillation.student import Student
from recsys_core.errors import ModelError
from recsys_core.serving import (
    STUDENT_FORMAT,
    STUDENT_MODEL,
    STUDENT_SETTINGS,
    STUDENT_TOKENIZER,
    OnnxEncoder,
)
from recsys_core.text_encoder import TextEncoder, pool

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

OPSET = 18
OUTPUT = "sentence_embedding"  # the exporter's own names collide with a plain "embedding"


def export_onnx(student: Student, folder: Path) -> dict[str, Any]:
    """Write student.onnx (int8), tokenizer.json and student.json, replacing `folder` in one rename.

    Returns:
        the content of student.json: format, pooling, max_length, dim, pad_id, fingerprints of teacher and student,
        file hashes, and the agreement with the teacher. That is measured in float32 and, as served, in int8.

    Raises:
        ModelError: if the network cannot be exported; the previous student stays in place.
    """
    encoder = student.encoder
    with staged_folder(Path(folder)) as staging:
        precise = staging / "float.onnx"
        _export(encoder, precise)
        _quantize(precise, staging / STUDENT_MODEL)
        precise.unlink()
        encoder.tokenizer.backend_tokenizer.save(str(staging / STUDENT_TOKENIZER))
        settings: dict[str, Any] = {
            "format": STUDENT_FORMAT, "pooling": encoder.pooling, "max_length": encoder.max_length,
            "dim": encoder.dim, "pad_id": encoder.pad_id, "teacher": student.teacher,
            "student": encoder.fingerprint, "agreement": {"float32": student.agreement},
            "files": {name: file_hash(staging / name) for name in (STUDENT_MODEL, STUDENT_TOKENIZER)},
        }
        write_json(staging / STUDENT_SETTINGS, settings)
        served = OnnxEncoder.load(staging)
        settings["agreement"]["int8"] = {name: probe.measure(served.encode(probe.texts))
                                         for name, probe in student.probes.items()}
        write_json(staging / STUDENT_SETTINGS, settings)
    log.info("student exported: int8 agreement %s", settings["agreement"]["int8"])
    return settings


def _export(encoder: TextEncoder, path: Path) -> None:
    """The network with pooling and normalisation as one float32 ONNX graph with free batch and length."""
    import torch

    tokens = encoder.tokenize(["two short texts", "of different length, padded"])
    width = max(map(len, tokens))
    ids = torch.tensor([row + [encoder.pad_id] * (width - len(row)) for row in tokens])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in tokens])
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=encoder.max_length)
    axes = {0: batch, 1: length}
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _sentence_network(encoder), (ids, mask), str(path), dynamo=True, opset_version=OPSET,
                input_names=["input_ids", "attention_mask"], output_names=[OUTPUT],
                dynamic_shapes=(axes, axes), external_data=False, verbose=False)
    except Exception as error:  # the exporter raises what it likes
        raise ModelError("student", f"its network cannot become ONNX ({type(error).__name__}: {error})",
                         "use an encoder architecture the exporter knows (BERT, MPNet, RoBERTa …)") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _sentence_network(encoder: TextEncoder) -> torch.nn.Module:
    import torch

    class Sentence(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = copy.deepcopy(encoder.model).cpu().eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return torch.nn.functional.normalize(pool(states, attention_mask, encoder.pooling), dim=-1)

    return Sentence().eval()


def _quantize(source: Path, target: Path) -> None:
    """int8 weights per output channel, activations scaled at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises a pre-processing that the exporter has already done
    try:
        quantize_dynamic(source, target, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
    finally:
        root.setLevel(level)
