import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from recsys_core.distillation.vocabulary import ignores_case, reads_by_word, trim_tokenizer, whole_words

TEXTS = ["red enamel mug", "blue enamel teapot", "teapots and mugs", "a red garden lamp"]
OTHERS = ["wooden trains", "puzzle with magnets", "green olives and goat cheese", "smoked ham", "fig jam", "race cars"] * 3


def trained(kind):
    """A small tokenizer of each kind of model, trained on all texts."""
    special = ["[UNK]", "[CLS]"]
    made = {"WordPiece": (models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=200, special_tokens=special)),
            "BPE": (models.BPE(unk_token="[UNK]"), trainers.BpeTrainer(vocab_size=200, special_tokens=special)),
            "WordLevel": (models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(special_tokens=special)),
            "Unigram": (models.Unigram(), trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="[UNK]"))}
    tokenizer = Tokenizer(made[kind][0])
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace() if kind == "Unigram" else pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(TEXTS + OTHERS, made[kind][1])
    return tokenizer


def tokens(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).tokens


@pytest.mark.parametrize(("kind", "share"), [("WordPiece", 0.75), ("BPE", 0.75), ("WordLevel", 0.75), ("Unigram", 0.9)])
def test_texts_of_the_shop_read_as_before_and_others_fall_into_pieces(kind, share):
    whole = trained(kind)
    limit = int(whole.get_vocab_size() * share)
    small = trim_tokenizer(whole, TEXTS, limit)
    assert small.get_vocab_size() <= limit < whole.get_vocab_size()
    assert [tokens(small, text) for text in TEXTS] == [tokens(whole, text) for text in TEXTS]
    ids = sorted(small.get_vocab().values())
    assert ids == list(range(len(ids)))
    if kind != "WordLevel":
        strange = [tokens(small, text) for text in OTHERS]
        assert not any("[UNK]" in found for found in strange)
        assert sum(map(len, strange)) > sum(len(tokens(whole, text)) for text in OTHERS)


def test_a_vocabulary_within_the_limit_stays():
    whole = trained("WordPiece")
    assert trim_tokenizer(whole, TEXTS, 500).get_vocab() == whole.get_vocab()


def test_it_is_known_whether_words_are_read_alone():
    assert reads_by_word(trained("WordPiece"), ["red mug, blue teapot"])
    across = Tokenizer(models.BPE({"a": 0, " ": 1, "a ": 2}, [("a", " ")]))
    assert not reads_by_word(across, ["a a"]) and np.array(across.encode("a a").ids).size == 2


def test_whole_words_and_their_case():
    folded, exact = trained("WordLevel"), trained("WordLevel")
    exact.normalizer = None
    words = {folded.id_to_token(token) for token in whole_words(folded)}
    assert {"red", "mug"} <= words and "blue teapot" not in words
    assert ignores_case(folded, [folded.token_to_id("red")])
    assert not ignores_case(exact, [exact.token_to_id("red")])
