"""A small assistant without a language model: it answers from the catalogue, from order facts it is given, and from intents.

What a message wants is told by the bundle's task `intent` alone. Text of a message is only ever searched for; it can
change neither what the assistant may do nor what it says of items and orders.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Protocol, TypedDict

from recsys_core.amounts import Amount, amounts, unit_kind
from recsys_core.personal import mask_text
from recsys_core.tasks import clean_text
from recsys_core.wording.context import Context, Order
from recsys_core.wording.facts import Facts
from recsys_core.wording.grounding import same_amount
from recsys_core.wording.neutral import word_set
from recsys_core.wording.replies import ASKING, GOING_ON, REPLIES
from recsys_core.wording.templates import describe_item
from recsys_core.words import UNSEGMENTED, tokenize

MOST_ITEMS, MOST_ORDERS = 3, 3
LOOKED_AT = 20  # answers of a search, of which those that name what was asked for are told
LONGEST_QUERY = 300
LEAST_FUZZY, ALIKE = 4, 0.85  # letters of a word that may be misspelt, and how much of it must agree
FEW = 3  # words; a message of no more that begins with a connecting word goes on with the one before
# A label's action where the context names none: by the words of the label's own name, such as track_order.
ORDER_LABELS = word_set("track status delivery shipping shipment arrival")
CATALOGUE_LABELS = word_set("find search browse product products catalogue catalog item items recommend recommendation")


class Answer(TypedDict):
    """What the assistant answers.

    answer: for people. intent: the class that the message was read as; None: unsure, or no such task. items: ids of the items
    that the answer names. handover: whether a person should go on. reason: why, for the log; it holds nothing of the message.
    """

    answer: str
    intent: str | None
    items: list[str]
    handover: bool
    reason: str


class Knows(Protocol):
    """What the assistant asks."""

    def find(self, query: str, k: int, context: Context) -> list[str]:
        """Ids of the best items for a query."""

    def facts(self, item_id: str) -> Facts | None:
        """What is known of an item; None: it is unknown."""

    def intents(self, text: str) -> list[str] | None:
        """Classes of a message, likeliest first, none where it is unsure; None: the bundle has no such task."""


@dataclass(frozen=True)
class _Turn:
    """One message being answered."""

    text: str
    context: Context
    shop: Knows
    intent: str | None = None

    @property
    def words(self) -> Mapping[str, str]:
        return REPLIES[self.context.language]

    def say(self, told: Sequence[str], items: Sequence[str], reason: str, handover: bool = False) -> Answer:
        sentences = [*told, self.words["over"]] if handover else told
        end = self.words["end"]
        text = self.words["gap"].join(one if one.endswith((".", "?", "。", "？")) else one + end for one in sentences)
        return {"answer": text, "intent": self.intent, "items": list(items), "handover": handover, "reason": reason}


@dataclass(frozen=True)
class Wanted:
    """What a query names: words, and amounts that are compared in one unit."""

    words: tuple[str, ...]
    amounts: tuple[Amount, ...]

    def __len__(self) -> int:
        return len(self.words) + len(self.amounts)

    @classmethod
    def of(cls, query: Sequence[str], found: Sequence[Facts]) -> Wanted:
        """From a query's words, as the found items spell them. A unit alone, such as "gallon", must not be named."""
        said, known = tuple(amounts(" ".join(query))), {word for facts in found for word in _names(facts)}
        words = [word for word in query if not unit_kind(word) and not (said and word.isdigit())] or ([] if said else query)
        return cls(tuple(word if word in known or len(word) < LEAST_FUZZY else
                         (get_close_matches(word, known, 1, ALIKE) or [word])[0] for word in words), said)

    def named_by(self, facts: Facts) -> int:
        """How much of it an item's data names."""
        words, held = _names(facts), [one for text in facts.texts() for one in amounts(text)]
        return sum(word in words for word in self.words) + sum(
            any(same_amount(one, other) for other in held) for one in self.amounts)


def _names(facts: Facts) -> set[str]:
    return {word for text in facts.texts() for word in tokenize(text)}


def answer_message(message: Any, context: Context, shop: Knows) -> Answer:
    """Answer one message of a conversation.

    Args:
        message: what the shopper says.
        context: what came before, and what the shop knows of the shopper's orders.
        shop: the catalogue, and what reads intents.

    Raises:
        RequestError: a message that is empty, too long or no text.
    """
    raw = clean_text(message, "message")
    text = mask_text(raw)
    found = shop.intents(text)
    turn = _Turn(text, context, shop, found[0] if found else None)
    if named := [order for order in context.orders if order.order_id and order.order_id.casefold() in _pieces(raw)]:
        return turn.say([_tell_order(order, turn) for order in named[:MOST_ORDERS]], [], "an order of the context is named")
    if found is None or turn.intent is None:
        return _from_catalogue(turn, "no intent is known" if found is None else "the intent is not sure")
    return _act(turn.intent, turn, raw)


def _act(intent: str, turn: _Turn, raw: str) -> Answer:
    """Do what an intent asks for."""
    said = turn.context.intents.get(intent)
    words = set(intent.casefold().replace("-", "_").replace(" ", "_").split("_"))
    if said not in (None, "orders", "catalogue", "handover"):
        return turn.say([str(said)], [], "the shop's own answer to this intent")
    if said == "orders" or (said is None and words & ORDER_LABELS):
        return _from_orders(turn, raw)
    if said == "catalogue" or (said is None and words & CATALOGUE_LABELS):
        return _from_catalogue(turn, "the intent is about the catalogue")
    return turn.say([turn.words["not_mine"]], [], "the intent is left to people", handover=True)


def _from_orders(turn: _Turn, raw: str) -> Answer:
    """Tell the newest orders; a number that is none of theirs is not guessed at."""
    orders = turn.context.orders
    if any(sum(letter.isdigit() for letter in piece) >= 4 for piece in _pieces(raw)):
        return turn.say([turn.words["unknown_order"]], [], "the message names an order that the context lacks", handover=True)
    if not orders:
        return turn.say([turn.words["no_orders"]], [], "the context has no orders", handover=True)
    newest = sorted(orders, key=lambda order: order.date, reverse=True)[:MOST_ORDERS]
    many = [turn.words["more"].format(what=len(orders))] if len(orders) > MOST_ORDERS else []
    return turn.say([*many, *(_tell_order(order, turn) for order in newest)], [], "order facts of the context")


def _tell_order(order: Order, turn: _Turn) -> str:
    """An order in one or two sentences, of its facts alone."""
    words = turn.words
    text = words["order"].format(what=order.order_id)
    text += words["date"].format(what=order.date) if order.date else ""
    text += words["status"].format(what=order.status) if order.status else ""
    titles = [facts.title if (facts := turn.shop.facts(item)) else item for item in order.items]
    return text + (words["end"] + words["gap"] + words["holds"].format(what=_joined(titles, words)) if titles else "")


def _from_catalogue(turn: _Turn, reason: str) -> Answer:
    """Tell the best items that name what is asked for."""
    query = asked_for(turn.text, turn.context)
    if not query:
        return _of_item(turn, reason)
    ranked = turn.shop.find(" ".join(query)[:LONGEST_QUERY], LOOKED_AT, turn.context)
    found = [facts for item in ranked if (facts := turn.shop.facts(item)) is not None]
    wanted = Wanted.of(query, found)
    named = [(wanted.named_by(facts), facts) for facts in found]
    most = max((count for count, _ in named), default=0)
    if most == 0 or 2 * most < len(wanted):
        said = turn.words["nothing" if turn.intent else "unsure"]
        return turn.say([said], [], f"{reason}; the catalogue names at most {most} of {len(wanted)} parts", handover=True)
    best = list({_name(facts, turn): facts for count, facts in reversed(named) if count == most}.values())[::-1][:MOST_ITEMS]
    if len(best) == 1 and most == len(wanted):
        return turn.say([describe_item(best[0], turn.context.language)], [best[0].item_id], f"{reason}; one item fits best")
    told = turn.words["found" if most == len(wanted) else "close"].format(
        what=_joined([_name(facts, turn) for facts in best], turn.words))
    return turn.say([told], [facts.item_id for facts in best], f"{reason}; items that name {most} of {len(wanted)} parts")


def _of_item(turn: _Turn, reason: str) -> Answer:
    """A message that names nothing is about the items told last, if any were."""
    last = next((told.items for told in reversed(turn.context.conversation) if told.role == "assistant"), ())
    known = [facts for item in last[:1] if (facts := turn.shop.facts(item)) is not None]
    if not known:
        return turn.say([turn.words["ask"]], [], f"{reason}; the message names nothing")
    return turn.say([describe_item(known[0], turn.context.language)], [known[0].item_id], f"{reason}; about the item told last")


def asked_for(text: str, context: Context) -> list[str]:
    """What a message looks for, as words: its own, and where it goes on with the message before, that one's too.

    Args:
        text: the message.
        context: with the messages before it.
    """
    words: list[str] = []
    for message in (*(mask_text(told.text) for told in context.conversation if told.role == "user"), text):
        own = _naming(message, context.language)
        words = [*words, *own] if _goes_on(message, own, context.language) else own
    return list(dict.fromkeys(words))


def _goes_on(message: str, own: Sequence[str], language: str) -> bool:
    """Whether a message that names something is short and begins with a connecting word."""
    plain = " ".join(message.casefold().split())
    return 0 < len(own) <= FEW and plain.startswith(GOING_ON[language])


def _naming(text: str, language: str) -> list[str]:
    """Words of a message as search reads them, without those that only ask."""
    plain = unicodedata.normalize("NFKC", text)
    for phrase in sorted(ASKING[language], key=len, reverse=True):
        plain = plain.replace(phrase, " ") if UNSEGMENTED.fullmatch(phrase) else plain
    return [word for word in tokenize(plain) if word not in _asking(language)]


@cache
def _asking(language: str) -> frozenset[str]:
    return frozenset(word for phrase in ASKING[language] for word in tokenize(phrase))


def _name(facts: Facts, turn: _Turn) -> str:
    """A title with what tells it from others of the same title."""
    details = [*facts.sizes, *([] if facts.price is None else [f"{facts.price:.2f}"])]
    return turn.words["details"].format(title=facts.title, what=", ".join(details)) if details else facts.title


def _joined(names: Sequence[str], words: Mapping[str, str]) -> str:
    return names[0] if len(names) == 1 else words["and"].format(first=", ".join(names[:-1]), last=names[-1])


def _pieces(text: str) -> set[str]:
    return {piece.strip(".,;:!?()[]\"'#").casefold() for piece in text.split()}
