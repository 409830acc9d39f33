"""The text encoder: any pretrained Hugging Face encoder or decoder as one function, texts → vectors.

Trade-offs: weights are always held in float32 and only the matrix products run in bfloat16 (autocast),
so one artefact serves every machine; batches are cut by padded tokens, not rows, because shop texts are
short and uneven and padding would otherwise be most of the work.
"""

from __future__ import annotations

import hashlib
import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from recsys_core.artefacts import read_json, staged_folder, write_json
from recsys_core.errors import ModelError
from recsys_core.text_encoder.pretrained import (
    PACKAGED_MODEL,
    SETTINGS_FILE,
    Pooling,
    default_pooling,
    locate,
    read_backbone,
)
from recsys_core.text_encoder.scripts import unread_share

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

    Network = PreTrainedModel | PeftModel

log = logging.getLogger(__name__)
PART_BATCHES = 8  # a worker's share: some seconds of a small encoder on one core


class EncoderConfig(BaseModel, frozen=True, extra="forbid"):
    """Which pretrained model reads the shop's texts, and how."""

    model: str = Field(PACKAGED_MODEL, description="the packaged default, `multilingual`, a Hugging Face hub id, or a folder")
    revision: str | None = Field(None, description="hub revision (commit, tag, branch); None is its default")
    max_length: int = Field(64, ge=4, description="tokens read of each text; the rest is cut off")
    pooling: Literal["auto", "mean", "cls", "last"] = Field(
        "auto", description="how token states become one vector; auto asks the model's own files")
    batch_tokens: int | None = Field(
        None, ge=1, description="padded tokens per batch; None chooses by device")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="of the matrix products")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes CUDA where there is one")


class TextEncoder:
    """A pretrained transformer with pooling: texts in, L2-normalised float32 vectors out.

    Args:
        model: a `transformers` backbone without a head (weights float32).
        tokenizer: its fast tokenizer.
        pooling: "mean" over tokens, "cls" (first token) or "last" (last token, for decoders).
        max_length: tokens read of each text.
        batch_tokens: padded tokens per batch, None for the device's default.
        dtype: as in `EncoderConfig`.
        device: as in `EncoderConfig`.
        source: the name the weights came under, for lineage.

    Raises:
        ModelError: if the tokenizer is not a fast one (it could not be shipped as tokenizer.json).
    """

    def __init__(self, model: Network, tokenizer: Any, *, pooling: Pooling, max_length: int, batch_tokens: int | None = None,
                 dtype: str = "auto", device: str = "auto", source: str = "") -> None:
        from tokenizers import Tokenizer

        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(source or "text encoder", "its tokenizer has no tokenizer.json form",
                             "convert it to a fast tokenizer and save that beside the weights")
        self.device, self.dtype = _choose_device(device), dtype
        if dtype == "auto":
            self.dtype = "bfloat16" if _bfloat16_is_fast(self.device) else "float32"
        self.model: Network = model.to(self.device).eval()  # type: ignore[arg-type]  # a decorator hides that `to` is a method
        self.tokenizer, self.pooling, self.max_length, self.source = tokenizer, pooling, max_length, source
        self.batch_tokens = batch_tokens or (131_072 if self.device == "cuda" else 2_048)
        self._folder: Path | None = None
        self._rules = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._rules.no_padding()
        self._rules.no_truncation()
        self._tokenizer_hash = hashlib.sha256(self._rules.to_str().encode()).hexdigest()
        self._rules.enable_truncation(max_length)

    @property
    def dim(self) -> int:
        """Width d of the vectors."""
        return self.model.config.hidden_size

    @property
    def light(self) -> bool:
        """Whether the network reads a text in about a millisecond, so that a table of its tokens would save nothing."""
        return self.model.config.model_type == "ngram-network"

    @property
    def pad_id(self) -> int:
        """Token id that fills short rows (masked out); decoders often have none, any id serves."""
        ids = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0)
        return next(token for token in ids if token is not None)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the vectors: hashes of weights and tokenizer, pooling, max_length, dim."""
        return {"weights": weights_hash(self.model), "tokenizer": self._tokenizer_hash,
                "pooling": self.pooling, "max_length": self.max_length, "dim": self.dim}

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, at least one and at most max_length."""
        return [row.ids or [self.pad_id] for row in self._rules.encode_batch_fast(texts)]

    def unknown_share(self, texts: list[str]) -> float:
        """Share of the texts' words that the vocabulary does not know or only spells, 0–1 (another script nears 1).

        A tokenizer that reads bytes knows every script that is not spelled letter by letter.
        """
        return unread_share(texts, self._rules.encode_batch(texts, add_special_tokens=False), self.tokenizer.unk_token_id)

    def cut(self, texts: list[str]) -> list[list[str]]:
        """The texts, longest first, in parts of whole batches: `encode` gives the same vectors for a part and for all of them.

        On an accelerator there is one part: it is quicker than workers without one, and theirs would be other vectors.
        """
        if self.device != "cpu":
            return [texts]
        lengths = np.array([len(row) for row in self.tokenize(texts)])
        order, parts, at = np.argsort(-lengths, kind="stable").tolist(), [], 0
        while at < len(order):
            first = at
            for _ in range(PART_BATCHES):
                at += max(1, self.batch_tokens // lengths[order[at]]) if at < len(order) else 0
            parts.append([texts[row] for row in order[first:at]])
        return parts

    def encode(self, texts: list[str]) -> np.ndarray:
        """Encode texts, each distinct one once, longest first, in batches of `batch_tokens`.

        A batch that does not fit in memory is tried again at half the budget, down to one text.

        Returns:
            float32 [n, d], rows of unit length, in the order of `texts`.
        """
        import torch

        if not texts:
            return np.zeros((0, self.dim), np.float32)
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        ids = self.tokenize(list(row_of))
        lengths = np.array([len(row) for row in ids])
        order, budget, done = np.argsort(-lengths, kind="stable"), self.batch_tokens, 0
        vectors = np.empty((len(ids), self.dim), np.float32)
        with torch.inference_mode():
            while done < len(order):
                rows = order[done:done + max(1, budget // lengths[order[done]])]
                try:
                    vectors[rows] = self.embed([ids[row] for row in rows]).cpu().numpy()
                except (RuntimeError, MemoryError) as error:
                    if len(rows) == 1 or not out_of_memory(error):
                        raise
                    budget = int(lengths[order[done]] * (len(rows) // 2))
                    log.info("out of memory: batches of %d tokens from here on", budget)
                    continue
                done += len(rows)
        return vectors[[row_of[text] for text in texts]]

    def embed(self, ids: list[list[int]], network: torch.nn.Module | None = None) -> torch.Tensor:
        """One padded forward pass: token ids of each text → float32 [n, d] unit vectors on the device.

        Args:
            ids: token ids of each text, as `tokenize` gives them.
            network: run this in place of the encoder's own (the same one under other LoRA layers).
        """
        import torch

        width = max(map(len, ids))
        tokens = torch.tensor([row + [self.pad_id] * (width - len(row)) for row in ids], device=self.device)
        lengths = torch.tensor([len(row) for row in ids], device=self.device)
        mask = (torch.arange(width, device=self.device) < lengths[:, None]).long()
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.dtype == "bfloat16"):
            states = (network or self.model)(input_ids=tokens, attention_mask=mask).last_hidden_state
        return torch.nn.functional.normalize(pool(states.float(), mask, self.pooling), dim=-1)

    def with_model(self, model: Network) -> TextEncoder:
        """The same tokenizer and settings around another network."""
        return TextEncoder(model, self.tokenizer, pooling=self.pooling, max_length=self.max_length,
                           batch_tokens=self.batch_tokens, dtype=self.dtype, device=self.device, source=self.source)

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), tokenizer.json and encoder.json, replacing `folder` in one rename."""
        with staged_folder(Path(folder)) as staging:
            self.model.save_pretrained(str(staging))
            self.tokenizer.save_pretrained(staging)
            write_json(staging / SETTINGS_FILE, {
                "pooling": self.pooling, "max_length": self.max_length, "source": self.source,
                "fingerprint": self.fingerprint})

    @classmethod
    def load(cls, folder: Path, *, batch_tokens: int | None = None, dtype: str = "auto", device: str = "auto") -> TextEncoder:
        """Read what `save` wrote and verify its weights and tokenizer against their recorded hashes.

        Raises:
            ModelError: if a file is missing, unreadable, or not the one that was saved.
        """
        folder = Path(folder)
        if not (folder / SETTINGS_FILE).is_file():
            raise ModelError(str(folder), f"{SETTINGS_FILE} is missing", "make the text encoder again")
        settings = read_json(folder / SETTINGS_FILE)
        model, tokenizer = read_backbone(str(folder), None, local=True)
        encoder = cls(model, tokenizer, pooling=settings["pooling"], max_length=settings["max_length"],
                      batch_tokens=batch_tokens, dtype=dtype, device=device, source=settings["source"])
        for part, recorded in settings["fingerprint"].items():
            if encoder.fingerprint[part] != recorded:
                raise ModelError(str(folder), f"its {part} is not the one in {SETTINGS_FILE}", "make the text encoder again")
        encoder._folder = folder
        return encoder

    def __getstate__(self) -> dict[str, Any]:
        """What was loaded pickles as its folder, and a worker reads the weights itself; its sums depend on its threads."""
        import torch

        settings = {"folder": self._folder, "batch_tokens": self.batch_tokens, "dtype": self.dtype, "device": self.device}
        return self.__dict__ if self._folder is None else {"load": settings, "threads": torch.get_num_threads()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "load" in state:
            import torch

            torch.set_num_threads(state["threads"])
            state = TextEncoder.load(**state["load"]).__dict__
        self.__dict__.update(state)


def load_encoder(config: EncoderConfig) -> TextEncoder:
    """Load the pretrained encoder a config names; nothing is downloaded unless it names a hub id.

    Raises:
        ModelError: naming the folder or id, what is missing or wrong, and the fix.
    """
    source, local = locate(config.model)
    model, tokenizer = read_backbone(source, config.revision, local)
    pooling = config.pooling
    if pooling == "auto":
        pooling = default_pooling(source, model.config.model_type)
    encoder = TextEncoder(model, tokenizer, pooling=pooling, max_length=config.max_length, batch_tokens=config.batch_tokens,
                          dtype=config.dtype, device=config.device, source=config.model)
    log.info("encoder %s: %d-d, %s pooling, %s on %s", config.model, encoder.dim, pooling, encoder.dtype, encoder.device)
    return encoder


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Token states [n, t, d] and a right-padded mask [n, t] → one vector per row [n, d]."""
    import torch

    if pooling == "cls":
        return states[:, 0]
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


def weights_hash(model: torch.nn.Module) -> str:
    """SHA-256 over names, shapes and values of a network's tensors: the same before and after saving."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().float().cpu().contiguous().numpy()
        digest.update(f"{name}{values.shape}".encode())
        digest.update(values)
    return digest.hexdigest()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on an accelerator or on the CPU."""
    return (isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
            or any(text in str(error).lower() for text in ("out of memory", "can't allocate memory")))


def _choose_device(device: str) -> str:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("text encoder", "device is cuda, but there is no CUDA device", "set device: auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def _bfloat16_is_fast(device: str) -> bool:
    """Only hardware with bfloat16 products gains; everywhere else autocast is slower than float32."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
