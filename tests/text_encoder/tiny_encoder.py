"""A randomly initialised encoder of a few kilobytes, saved the way a real one is."""

from __future__ import annotations

from pathlib import Path

WORDS = [
    "red", "blue", "green", "big", "small", "tea", "coffee", "mug", "cup", "plate", "lamp", "rug",
    "chair", "milk", "bread", "cheese", "butter", "apple", "pear", "fruit", "dairy", "kitchen",
    "home", "bakery", "acme", "zen", "set", "of", "organic", "fresh",
]


def write_tiny_bert(folder: Path, layers: int = 2, seed: int = 0, words: list[str] = WORDS) -> Path:
    """A BERT of 32 dimensions whose vocabulary is `words`, in `folder` as safetensors + tokenizer.json."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(BertConfig(
            vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=layers, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=64, initializer_range=0.2))
    model.save_pretrained(folder)
    BertTokenizerFast(vocab={word: row for row, word in enumerate(vocabulary)}).save_pretrained(folder)
    return folder


def write_tiny_llama(folder: Path) -> Path:
    """A two-layer decoder without a padding token, with the same words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: row for row, word in enumerate(["<unk>", "</s>", *WORDS])}
    rules = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(
            vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, intermediate_size=64, max_position_embeddings=64))
    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=rules, unk_token="<unk>", eos_token="</s>")
    tokenizer.save_pretrained(folder)
    return folder
