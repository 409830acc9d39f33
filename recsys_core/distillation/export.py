"""Writing the tiers of a student: the token table, and the teacher's network as ONNX in int8 and float32."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_core.artefacts import file_hash, write_json
from recsys_core.distillation.static import StaticStudent
from recsys_core.distillation.vocabulary import ignores_case, whole_words
from recsys_core.errors import ModelError
from recsys_core.student import (
    STUDENT_FLOAT,
    STUDENT_FORMAT,
    STUDENT_MODEL,
    STUDENT_SETTINGS,
    STUDENT_TABLE,
    STUDENT_TOKENIZER,
)
from recsys_core.text_encoder import TextEncoder, pool

if TYPE_CHECKING:
    import torch

OPSET = 18
OUTPUT = "sentence_embedding"  # the exporter's own names collide with a plain "embedding"


def export_static(student: StaticStudent, teacher: dict[str, Any], folder: Path) -> None:
    """Write student.safetensors (int8), tokenizer.json and student.json into a new folder.

    Args:
        teacher: the teacher's fingerprint.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    vectors, scales = student.quantized()
    whole = np.array(whole_words(student.tokenizer) if student.by_word else [], np.int32)
    save_file({"vectors": vectors, "scales": scales, "whole": whole}, str(folder / STUDENT_TABLE))
    student.tokenizer.save(str(folder / STUDENT_TOKENIZER), pretty=False)
    _write_settings(folder, [STUDENT_TABLE, STUDENT_TOKENIZER],
                    {"teacher": teacher, "dim": vectors.shape[1], "by_word": student.by_word,
                     "uncased": ignores_case(student.tokenizer, whole.tolist())})


def export_onnx(encoder: TextEncoder, folder: Path) -> None:
    """Write the network with all its layers in int8 and in float32, tokenizer.json and student.json into a new folder.

    Raises:
        ModelError: if the network cannot be exported.
    """
    folder.mkdir(parents=True)
    _export(encoder, folder / STUDENT_FLOAT)
    _quantize(folder / STUDENT_FLOAT, folder / STUDENT_MODEL)
    encoder.tokenizer.backend_tokenizer.save(str(folder / STUDENT_TOKENIZER))
    _write_settings(folder, [STUDENT_MODEL, STUDENT_FLOAT, STUDENT_TOKENIZER], {
        "teacher": encoder.fingerprint, "dim": encoder.dim, "max_length": encoder.max_length, "pad_id": encoder.pad_id})


def _write_settings(folder: Path, names: list[str], settings: dict[str, Any]) -> None:
    files = {name: file_hash(folder / name) for name in names}
    write_json(folder / STUDENT_SETTINGS, {"format": STUDENT_FORMAT, **settings, "files": files})


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
