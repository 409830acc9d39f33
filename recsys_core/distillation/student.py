"""A small student of the text encoder that reads queries in the teacher's own vector space.

The student is the teacher with most of its layers left out, so it starts close, and is trained until its
vectors point where the teacher's do; documents keep the teacher's vectors. Item texts are long and queries
short, so it also learns from spans of the texts.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.distillation.agreement import Probe
from recsys_core.errors import ModelError
from recsys_core.text_encoder import TextEncoder, VectorCache, affordable_steps, cached_encode, learning_rate

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

BATCHES_PER_CHUNK = 8  # batches are cut from shuffled chunks sorted by length, which saves half the padding


class StudentConfig(BaseModel, frozen=True, extra="forbid"):
    """Size of the student and how it is trained; the defaults take under a minute on two cores."""

    layers: int = Field(4, ge=1, description="teacher layers kept, evenly spaced, the last always among them")
    max_steps: int = Field(100, ge=1, description="optimiser steps at most")
    max_tokens: int = Field(200_000, ge=1, description="tokens trained on at most; long texts get fewer steps")
    batch_texts: int = Field(128, ge=2, description="texts per step")
    query_share: float = Field(0.3, ge=0, description="spans of 1–4 words learnt from, per text")
    learning_rate: float = Field(5e-4, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps with a rising learning rate")
    temperature: float = Field(0.05, gt=0, description="logits are similarities divided by this")
    softening: float = Field(2.0, gt=0, description="T: logits are divided by it again inside the KL term")
    alpha: float = Field(1.0, ge=0, description="weight of the T²·KL term")
    vector_weight: float = Field(30.0, ge=0, description="weight of the vector loss, 1 − cosine")
    held_out: int = Field(300, ge=1, description="texts (and as many spans) held out to measure agreement")


@dataclass(frozen=True)
class Student:
    """A trained student and how far it agrees with its teacher.

    Args:
        encoder: the student.
        teacher: the teacher's fingerprint.
        probes: held-out "text" and "query" probes.
        agreement: each probe's measures.
        curves: one row per tenth of the training: step, loss, cross_entropy, kl, vector.
    """

    encoder: TextEncoder
    teacher: dict[str, Any]
    probes: dict[str, Probe]
    agreement: dict[str, dict[str, float]]
    curves: list[dict[str, float]]


def distil_student(teacher: TextEncoder, texts: Sequence[str], config: StudentConfig, seed: int,
                   cache: VectorCache | None = None) -> Student:
    """Train a student of `teacher` on a shop's texts: cross-entropy + α·T²·KL + vector loss; too few texts leave the teacher.

    Args:
        teacher: the encoder to imitate; it is not changed.
        texts: what it should read well: item texts, category names, logged queries.
        seed: of the held-out texts, the spans and the batches.
        cache: where the teacher's vectors of the texts may already be.

    Raises:
        ModelError: if the teacher has fewer layers than asked for.
    """
    rng = np.random.default_rng(seed)
    distinct = sorted({text for text in texts if text.strip()})
    if len(distinct) < 2 * BATCHES_PER_CHUNK:
        return _own_student(teacher, distinct)
    held = min(config.held_out, len(distinct) // 8)
    order = rng.permutation(len(distinct))
    spans = _spans(distinct, order, max(held, int(config.query_share * len(distinct))), rng)
    vectors = cached_encode(teacher, distinct, cache) if cache else teacher.encode(distinct, progress=True)
    span_vectors = teacher.encode(spans, progress=True)
    probes = {"text": Probe([distinct[row] for row in order[:held]], vectors[order[:held]], vectors),
              "query": Probe(spans[:held], span_vectors[:held], vectors)}
    learnt = [distinct[row] for row in order[held:]] + spans[held:]
    targets = np.concatenate([vectors[order[held:]], span_vectors[held:]])
    student = _shallow_copy(teacher, config.layers)
    curves = _train(student, learnt, targets, config, rng)
    agreement = {name: probe.measure(student.encode(probe.texts)) for name, probe in probes.items()}
    log.info("student of %d layers: %s", config.layers, agreement)
    return Student(student, teacher.fingerprint, probes, agreement, curves)


def _own_student(teacher: TextEncoder, texts: list[str]) -> Student:
    """The teacher with all its layers, for a shop whose texts are too few to learn from; what is left to lose is int8."""
    log.warning("%d distinct texts are too few to learn from: the student keeps all layers of the teacher", len(texts))
    texts = texts or ["nothing"]
    vectors = teacher.encode(texts)
    probe = Probe(texts, vectors, vectors)
    agreement = probe.measure(vectors)
    return Student(teacher, teacher.fingerprint, {"text": probe, "query": probe}, {"text": agreement, "query": agreement}, [])


def distillation_loss(student: torch.Tensor, teacher: torch.Tensor,
                      config: StudentConfig) -> dict[str, torch.Tensor]:
    """The loss and its terms over one batch of vectors [b, d], all of unit length.

    Row i's label is its own teacher vector among the batch's; the soft targets are the teacher's own
    similarities to them (Hinton et al. 2015): CE + α·T²·KL(teacher ‖ student) + w·(1 − cosine).
    """
    import torch
    from torch.nn import functional

    own, wanted = student @ teacher.T / config.temperature, teacher @ teacher.T / config.temperature
    cross_entropy = functional.cross_entropy(own, torch.arange(len(own), device=own.device))
    kl = functional.kl_div(functional.log_softmax(own / config.softening, -1),
                           functional.log_softmax(wanted / config.softening, -1),
                           log_target=True, reduction="batchmean")
    vector = 1 - (student * teacher).sum(-1).mean()
    loss = cross_entropy + config.alpha * config.softening**2 * kl + config.vector_weight * vector
    return {"loss": loss, "cross_entropy": cross_entropy, "kl": kl, "vector": vector}


def _train(student: TextEncoder, texts: list[str], targets: np.ndarray, config: StudentConfig,
           rng: np.random.Generator) -> list[dict[str, float]]:
    """Train the student's layers in place; embeddings stay the teacher's, for words the shop never used."""
    import torch

    student.model.requires_grad_(False)
    parameters = list(layer_list(student.model).requires_grad_(True).parameters())
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    ids = student.tokenize(texts)
    lengths = np.array([len(row) for row in ids])
    steps = affordable_steps(lengths, config.batch_texts, config.max_steps, config.max_tokens)
    batches = _batches(lengths, config.batch_texts, rng)
    curves, terms, every = [], [], max(1, steps // 10)
    for step in range(1, steps + 1):
        rows = next(batches)
        optimizer.param_groups[0]["lr"] = learning_rate(step, steps, config.learning_rate, config.warmup)
        optimizer.zero_grad(set_to_none=True)
        parts = distillation_loss(student.embed([ids[row] for row in rows]),
                                  torch.from_numpy(targets[rows]).to(student.device), config)
        parts["loss"].backward()
        optimizer.step()
        terms.append({name: value.item() for name, value in parts.items()})
        if step % every == 0:
            curves.append({"step": step, **{name: float(np.mean([row[name] for row in terms]))
                                            for name in terms[0]}})
            log.info("distillation: step %(step)d, loss %(loss).3f, 1 - cosine %(vector).4f", curves[-1])
            terms = []
    student.model.requires_grad_(False)
    return curves


def _batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Endless shuffled batches of texts of similar length."""
    size = min(size, len(lengths))
    while True:
        order = rng.permutation(len(lengths))
        for start in range(0, len(order), size * BATCHES_PER_CHUNK):
            chunk = order[start:start + size * BATCHES_PER_CHUNK]
            chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
            cuts = [chunk[low:low + size] for low in range(0, len(chunk) - size + 1, size)]
            yield from (cuts[number] for number in rng.permutation(len(cuts)))


def _spans(texts: list[str], order: np.ndarray, count: int, rng: np.random.Generator) -> list[str]:
    """Up to `count` distinct spans of 1–4 words, held-out texts' spans first, none a whole text."""
    known = set(texts)
    spans: dict[str, None] = {}
    for row in np.resize(order, count):
        words = texts[row].split()
        width = int(rng.integers(1, 5))
        start = int(rng.integers(0, max(1, len(words) - width + 1)))
        spans[" ".join(words[start:start + width])] = None
    return [span for span in spans if span not in known]


def layer_list(network: PreTrainedModel | PeftModel) -> torch.nn.ModuleList:
    """The list of a transformer's layers, whatever its architecture calls it.

    Raises:
        ModelError: if no module list is as long as the configuration says.
    """
    import torch

    for module in network.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == network.config.num_hidden_layers:
            return module
    raise ModelError("student", f"no list of {network.config.num_hidden_layers} layers in the teacher",
                     "use a teacher whose layers are one module list")


def _shallow_copy(teacher: TextEncoder, layers: int) -> TextEncoder:
    """The teacher with some of its layers, evenly spaced (as DistilBERT, Sanh et al. 2019, starts).

    The last layer must stay: it writes the vector space the student has to live in, and without it a
    student of three layers agreed far less after the same training (cosine .88 against .97).
    """
    import torch

    network = copy.deepcopy(teacher.model)
    every = layer_list(network)
    if layers > len(every):
        raise ModelError("student", f"{layers} layers asked for, the teacher has {len(every)}",
                         "set layers lower")
    chosen = np.linspace(len(every) - 1, 0, layers).round().astype(int)[::-1].tolist()
    kept = torch.nn.ModuleList(every[number] for number in chosen)
    for module in network.modules():
        for name, child in module.named_children():
            if child is every:
                setattr(module, name, kept)
    inner: Any  # `layer_idx` is an attribute of Transformers' modules that PyTorch's do not declare
    for number, layer in enumerate(kept):
        for inner in layer.modules():
            if hasattr(inner, "layer_idx"):
                inner.layer_idx = number
    network.config.num_hidden_layers = layers
    if getattr(network.config, "layer_types", None):
        network.config.layer_types = [network.config.layer_types[number] for number in chosen]
    return teacher.with_model(network)
