"""A smaller vocabulary for the static student: every token is a row of its table, and most are in no shop's texts.

What the shop's texts use stays, then the teacher's tokens in their own order, which is by frequency in the vocabularies of
BERT, BPE and Unigram. Characters always stay, so that a word never seen still falls into pieces.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def trim_tokenizer(tokenizer: Tokenizer, texts: Sequence[str], limit: int) -> Tokenizer:
    """A copy of the tokenizer that adds no special tokens and knows about `limit` tokens.

    Args:
        tokenizer: its vocabulary is trimmed where its model is WordPiece, WordLevel, BPE or Unigram; others keep theirs.
        texts: whose tokens stay, the most frequent first.
        limit: tokens kept; a few more where single characters alone are more.
    """
    from tokenizers import Tokenizer

    whole = json.loads(tokenizer.to_str()) | {"post_processor": None, "truncation": None, "padding": None}
    model = whole["model"]
    plain = Tokenizer.from_str(json.dumps(whole))
    if plain.get_vocab_size() <= limit or model["type"] not in ("WordPiece", "WordLevel", "BPE", "Unigram"):
        return plain
    times = Counter(token for read in plain.encode_batch(list(texts), add_special_tokens=False) for token in read.tokens)
    names = _names(model)
    added = {token["content"] for token in whole["added_tokens"]}
    unknown = model["vocab"][model["unk_id"]][0] if model.get("unk_id") is not None else model.get("unk_token")
    always = [name for name in names if name in added or name == unknown or _is_piece(name, model)]
    wanted = [*sorted(times, key=lambda name: (-times[name], name)), *names]
    kept = _with_parents(model, always, wanted, limit) if model["type"] == "BPE" else _first(always, wanted, limit)
    places = {name: place for place, name in enumerate(name for name in names if name in kept)}
    if model["type"] == "Unigram":
        model["vocab"] = [entry for entry in model["vocab"] if entry[0] in kept]
        model["unk_id"] = places.get(unknown) if unknown is not None else None
    else:
        model["vocab"] = places
    if model["type"] == "BPE":
        model["merges"] = [merge for merge in model["merges"] if {*_pair(merge), "".join(_pair(merge))} <= kept]
    extra = len(places)
    for token in whole["added_tokens"]:
        if token["content"] in places:
            token["id"] = places[token["content"]]
        else:
            token["id"], extra = extra, extra + 1
    return Tokenizer.from_str(json.dumps(whole))


def token_texts(tokenizer: Tokenizer) -> list[str]:
    """Each token as a text that a teacher can read, in the order of the ids.

    >>> from tokenizers import Tokenizer, models
    >>> token_texts(Tokenizer(models.WordPiece({"tea": 0, "##pot": 1}, unk_token="tea")))
    ['tea', 'pot']
    """
    prefix = json.loads(tokenizer.to_str())["model"].get("continuing_subword_prefix") or ""
    size = max(tokenizer.get_vocab().values()) + 1
    names = [tokenizer.id_to_token(number) or "" for number in range(size)]
    if prefix:
        return [name.removeprefix(prefix) or name for name in names]
    return [tokenizer.decode([number]).strip() or name for number, name in enumerate(names)]


def reads_by_word(tokenizer: Tokenizer, texts: Iterable[str]) -> bool:
    """Whether the tokens of these texts are those of their words, one word after the other."""
    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    return all(ids(text) == [token for word in text.split() for token in ids(word)] for text in texts)


def whole_words(tokenizer: Tokenizer) -> list[int]:
    """Ids of the tokens that a word of the same letters is read as, in order.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> tokenizer = Tokenizer(models.WordPiece({"?": 0, "tea": 1, "##pot": 2, "of tea": 3}, unk_token="?"))
    >>> tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    >>> whole_words(tokenizer)
    [0, 1]
    """
    words = [(token, name) for name, token in tokenizer.get_vocab().items() if name.split() == [name]]
    read = tokenizer.encode_batch([name for _, name in words], add_special_tokens=False)
    return sorted(token for (token, _), found in zip(words, read, strict=True) if found.ids == [token])


def ignores_case(tokenizer: Tokenizer, words: Sequence[int]) -> bool:
    """Whether those of these whole words that are ASCII are read alike in upper case."""
    plain = [(word, name) for word in words if (name := tokenizer.id_to_token(word) or "").isascii()]
    read = tokenizer.encode_batch([name.upper() for _, name in plain], add_special_tokens=False)
    return all(found.ids == [word] for (word, _), found in zip(plain, read, strict=True))


def _names(model: dict[str, Any]) -> list[str]:
    """The model's tokens in the order of their ids."""
    if model["type"] == "Unigram":
        return [name for name, _ in model["vocab"]]
    return sorted(model["vocab"], key=model["vocab"].__getitem__)


def _is_piece(name: str, model: dict[str, Any]) -> bool:
    """Single characters and bytes, which every word can fall into."""
    bare = name.removeprefix(model.get("continuing_subword_prefix") or "##")
    return len(bare) <= 1 or (name.startswith("<0x") and len(name) == 6)


def _first(always: Sequence[str], wanted: Sequence[str], limit: int) -> set[str]:
    room = max(0, limit - len(always))
    fixed = set(always)
    return fixed | set([name for name in dict.fromkeys(wanted) if name not in fixed][:room])


def _pair(merge: str | list[str]) -> list[str]:
    return merge.split(" ") if isinstance(merge, str) else merge


def _with_parents(model: dict[str, Any], always: Sequence[str], wanted: Sequence[str], limit: int) -> set[str]:
    """As `_first`, and whatever a kept token is merged from."""
    parents: dict[str, list[str]] = {}
    for merge in model["merges"]:
        parents.setdefault("".join(_pair(merge)), _pair(merge))
    kept = set(always)
    for name in wanted:
        needed, ahead = set(), [name]
        while ahead:
            one = ahead.pop()
            if one not in kept and one not in needed:
                needed.add(one)
                ahead += parents.get(one, [])
        if len(kept) + len(needed) <= limit:
            kept |= needed
    return kept
