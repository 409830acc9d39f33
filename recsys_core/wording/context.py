"""What comes with a message: the conversation so far, order facts, who asks, and what the shop makes of intents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recsys_core.arguments import is_missing, read_id, read_ids, read_list, read_mapping, read_scalar, show
from recsys_core.errors import RequestError
from recsys_core.schema import as_text
from recsys_core.tasks import clean_text
from recsys_core.wording.templates import DESCRIPTIONS, ENGLISH

MOST_TURNS, MOST_ORDERS, MOST_INTENTS = 200, 1000, 1000
LONGEST_FACT = 500  # characters of an order's id, status or date, and of a shop's own answer
FIELDS = frozenset(("conversation", "orders", "user_id", "history", "intents", "language"))
ROLES = ("user", "assistant")


@dataclass(frozen=True)
class Told:
    """A turn of the conversation.

    Args:
        role: who spoke, "user" or "assistant".
        text: what was said.
        items: ids of the items that an answer named.
    """

    role: str
    text: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Order:
    """What the shop says of an order; "" and (): nothing. `items` are ids or titles."""

    order_id: str
    status: str = ""
    date: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """Everything that an answer may draw on beside the catalogue.

    Args:
        conversation: the oldest turn first.
        orders: of the shopper.
        user_id: as that of `Bundle.search`.
        history: as that of `Bundle.search`.
        intents: what to do with a class of the task `intent`: "orders", "catalogue", "handover", or the shop's own answer.
        language: of the answer.
    """

    conversation: tuple[Told, ...] = ()
    orders: tuple[Order, ...] = ()
    user_id: str | None = None
    history: list[Any] | None = None
    intents: Mapping[str, str] = field(default_factory=dict)
    language: str = ENGLISH


def read_context(given: Any) -> Context:
    """A context out of plain values.

    Args:
        given: a mapping with some of the fields of `Context`; a turn is {role, text, items}, an order {order_id, status, date,
            items}. A missing one is empty.

    Raises:
        RequestError: a field that there is not, or a value that cannot be read.
    """
    values = read_mapping(given, "context")
    if unknown := sorted(values.keys() - FIELDS):
        raise RequestError("context", f"has an unknown field {unknown[0][:40]!r}", f"use {', '.join(sorted(FIELDS))}")
    intents = read_mapping(values.get("intents"), "context, intents")
    return Context(
        tuple(_read_turn(turn, place) for place, turn in enumerate(_read_rows(values, "conversation", MOST_TURNS))),
        tuple(_read_order(order, place) for place, order in enumerate(_read_rows(values, "orders", MOST_ORDERS))),
        read_id(values.get("user_id"), "context, user_id"),
        None if is_missing(values.get("history")) else read_list(values["history"], "context, history", "events"),
        {name: _read_text(value, f"context, intents, {name[:40]!r}") for name, value in list(intents.items())[:MOST_INTENTS]},
        read_language(values.get("language")))


def read_language(language: Any) -> str:
    """A language that there are templates of.

    Raises:
        RequestError: there are none of this one.

    >>> read_language(None), read_language("de-AT")
    ('en', 'de')
    """
    if is_missing(language):
        return ENGLISH
    found = language.strip().lower().replace("_", "-").partition("-")[0] if isinstance(language, str) else ""
    if found not in DESCRIPTIONS:
        raise RequestError("language", f"there are no templates for {show(language)}", f"use one of {', '.join(DESCRIPTIONS)}")
    return found


def _read_rows(values: Mapping[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    """A field's rows, each a mapping.

    Raises:
        RequestError: no list of at most so many mappings.
    """
    if is_missing(values.get(name)):
        return []
    rows = read_list(values[name], f"context, {name}", name)
    if len(rows) > most:
        raise RequestError(f"context, {name}", f"has {len(rows):,} entries", f"send the newest {most:,}")
    return [read_mapping(row, f"context, {name}, entry {place}") for place, row in enumerate(rows)]


def _read_turn(turn: Mapping[str, Any], place: int) -> Told:
    where = f"context, conversation, entry {place}"
    role = turn.get("role")
    if role not in ROLES:
        raise RequestError(where, f"the role is {show(role)}", f"use {' or '.join(ROLES)}")
    return Told(role, clean_text(turn.get("text"), where), _read_items(turn, where))


def _read_order(order: Mapping[str, Any], place: int) -> Order:
    where = f"context, orders, entry {place}"
    name = read_id(order.get("order_id"), where)
    if name is None:
        raise RequestError(where, "has no order_id", "send it")
    return Order(name, _read_text(order.get("status"), where), _read_text(order.get("date"), where), _read_items(order, where))


def _read_items(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    items = [] if is_missing(row.get("items")) else read_ids(row["items"], f"{where}, items")
    return tuple(item for item in items if item)


def _read_text(value: Any, where: str) -> str:
    """A fact as one line of text; "": missing.

    Raises:
        RequestError: no single value, or a long one.
    """
    found = read_scalar(value, where)
    text = "" if found is None else " ".join(as_text(found).split())
    if len(text) > LONGEST_FACT:
        raise RequestError(where, f"has {len(text):,} characters", f"send at most {LONGEST_FACT}")
    return text
