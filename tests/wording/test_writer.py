"""What a causal model may write, and what becomes of its texts; the model is a stand-in that picks tokens as it is told."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from recsys_core.wording.grounding import find_faults
from recsys_core.wording.phrases import Phrasebook, item_phrases
from recsys_core.wording.writer import WordsConfig, reads_well, write_texts
from tests.wording.planted import facts_of

END = 0


class Tokenizer:
    """A token per word with the space before it, or per mark."""

    eos_token_id = END

    def __init__(self):
        self.words = ["<end>"]

    def _token(self, word):
        if word not in self.words:
            self.words.append(word)
        return self.words.index(word)

    def __call__(self, text, add_special_tokens=False):
        return {"input_ids": [self._token(one) for one in re.findall(r" ?[^\s.,]+|[.,]", text)]}

    def decode(self, row, skip_special_tokens):
        return "".join(self.words[token] for token in row if token != END)


class Model:
    """Writes what it wants, where the tokens that it may write next allow it; else the end."""

    def __init__(self, tokenizer, wants):
        self.tokenizer, self.wants, self.asked = tokenizer, wants, []

    def __call__(self, input_ids, use_cache):
        return SimpleNamespace(past_key_values=SimpleNamespace(batch_repeat_interleave=lambda times: None))

    def generate(self, input_ids, max_new_tokens, prefix_allowed_tokens_fn, do_sample, **options):
        self.asked.append((len(input_ids), do_sample))
        rows = []
        for row, prompt in enumerate(input_ids.tolist()):
            wanted = self.tokenizer(self.wants(do_sample, self.tokenizer.decode(prompt, True)))["input_ids"]
            ids = list(prompt)
            for token in wanted[:max_new_tokens]:
                ids.append(token if token in prefix_allowed_tokens_fn(row, torch.tensor(ids)) else END)
                if ids[-1] == END:
                    break
            rows.append(ids[len(prompt):])
        width = max(map(len, rows))
        return torch.cat([input_ids, torch.tensor([row + [END] * (width - len(row)) for row in rows])], dim=1)


def written(wants, *names, **config):
    tokenizer = Tokenizer()
    model = Model(tokenizer, wants)
    told = {facts.item_id: text for facts, text in write_texts(
        [facts_of(name) for name in names], model, tokenizer, WordsConfig(**config))}
    return told, model


def test_a_grounded_text_is_told_and_anything_else_is_left_to_the_template():
    told, _ = written(lambda sample, prompt: " by Alder is found under Kitchen." if "Grey" in prompt[-90:] else
                      " The best mug is organic.", "m1", "o1")
    assert told == {"m1": "Steel mug by Alder is found under Kitchen."}


def test_a_text_that_does_not_hold_is_tried_again_by_sampling():
    told, model = written(lambda sample, prompt: " This Steel mug is grey." if sample else " steel.", "m1", tries=3)
    assert told == {"m1": "This Steel mug is grey."} and model.asked == [(1, False), (1, True)]
    assert written(lambda sample, prompt: " steel.", "m1", tries=2)[0] == {}


def test_items_that_differ_by_their_id_alone_are_written_about_once():
    tokenizer = Tokenizer()
    model = Model(tokenizer, lambda sample, prompt: " is grey.")
    items = [replace(facts_of("m1"), item_id=name) for name in ("a", "b", "c")]
    told = [(one.item_id, text) for one, text in write_texts(items, model, tokenizer, WordsConfig())]
    assert [name for name, _ in told] == ["a", "b", "c"] and model.asked == [(1, False)]


def test_batches_are_no_larger_than_told():
    _, model = written(lambda sample, prompt: " Nothing", "m1", "m2", "o1", batch=2, tries=1)
    assert model.asked == [(2, False), (1, False)]


def test_a_limit_leaves_whole_sentences():
    told, _ = written(lambda sample, prompt: " is grey. It is found under Kitchen.", "m1", longest=8)
    assert told == {"m1": "Steel mug is grey."}


def test_phrases_keep_numbers_with_their_unit():
    phrases = item_phrases(facts_of("m1"), "en")
    assert {"12 oz", "Steel mug", "steel mug", "Alder", "Kitchen", "kitchen", "brand", "This", "12.50"} <= set(phrases)
    assert not {"12", "oz", "warm"} & set(phrases)
    assert not {"brand", "by", "cost", "size"} & set(item_phrases(facts_of("b1"), "en"))


def test_a_phrasebook_allows_whole_phrases_marks_and_the_end():
    tokenizer = Tokenizer()

    def tokens(text):
        return tokenizer(text)["input_ids"]

    book = Phrasebook(["Steel mug", "Steel", "is grey"], tokens, END)

    def following(text):
        return {tokenizer.words[token] for token in book.following(tokens(text))}

    assert following("") == {" Steel", " is"}
    assert following(" Steel") == {" mug", " Steel", " is", ".", ","}
    assert following(" is") == {" grey"}
    assert following(" is grey.") == {" Steel", " is", "<end>"}
    assert following(" is mug") == {"<end>"}


@pytest.mark.parametrize(("text", "well"), [
    ("Steel mug is grey.", True), ("Steel mug is grey", False), ("steel mug is grey.", False), ("It is grey.", False),
    ("Steel mug is of.", False), ("Steel mug. It is grey.", False), ("Steel mug is grey. Steel mug is grey.", False),
    ("Steel mug is is grey.", False), ("Steel mug by Alder is a product by Alder.", False),
    ("Steel mug is a product of the Alder.", False), ("Steel mug is grey and is a steel mug is grey.", False), ("", False)])
def test_what_reads_well(text, well):
    assert reads_well(text, facts_of("m1")) == well
    assert find_faults(text, facts_of("m1")) == []
