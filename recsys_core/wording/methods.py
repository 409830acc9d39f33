"""`Bundle.describe` and `Bundle.assist`: what a bundle says in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypedDict

from recsys_core.arguments import read_id, show
from recsys_core.errors import RequestError
from recsys_core.interactions import Catalogue
from recsys_core.wording.assistant import Answer, answer_message
from recsys_core.wording.context import Context, read_context, read_language
from recsys_core.wording.facts import Facts, read_facts
from recsys_core.wording.grounding import find_faults
from recsys_core.wording.templates import describe_item

INTENT = "intent"  # the labelled task that reads what a message wants


class Description(TypedDict):
    """A text about an item; `source` says who wrote it, "template" or "model"."""

    item_id: str
    text: str
    language: str
    source: str


class Asked(Protocol):
    """What these methods need of a bundle."""

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def tasks(self) -> dict[str, dict[str, Any]]: ...

    def search(self, query: str, k: int = 10, history: Any = None, user_id: str | None = None) -> Sequence[Any]: ...

    def classify(self, task: str, texts: Sequence[str]) -> list[list[tuple[str, float]]]: ...


class Words:
    """The part of `Bundle` that speaks."""

    def describe(self: Asked, item_id: str, language: str = "en", written: Mapping[str, str] | None = None) -> Description:
        """Describe an item by its own data.

        Args:
            item_id: the item.
            language: "en", "de" or "zh"; the item's fields stay in the shop's words.
            written: texts by item id, from `recsys describe --all`. Each is checked against the item's data before it is told;
                one that says more is answered by the template.

        Raises:
            RequestError: an unknown item; a language without templates.

        Examples:
            >>> bundle.describe("k3")["text"]
            'Bamboo board by Alder. You find it under Kitchen › board. Price: 3.00.'
        """
        name, spoken = read_id(item_id, "item_id"), read_language(language)
        row = self.catalogue.row_of.get(name or "")
        if name is None or row is None:
            raise RequestError("item_id", f"item {show(item_id)} is unknown", "send an item of the catalogue")
        facts, made = read_facts(self.catalogue.items, row), (written or {}).get(name)
        if made and not find_faults(made, facts, spoken):
            return {"item_id": name, "text": made, "language": spoken, "source": "model"}
        return {"item_id": name, "text": describe_item(facts, spoken), "language": spoken, "source": "template"}

    def assist(self: Asked, message: str, context: Mapping[str, Any] | None = None) -> Answer:
        """Answer a shopper's message from the catalogue, from order facts, and by intents; hand over where that is not enough.

        Args:
            message: what the shopper says. E-mail addresses, phone and card numbers are masked before anything reads it.
            context: conversation ([{role, text, items}], oldest first), orders ([{order_id, status, date, items}]), user_id or
                history as those of `search`, language, and intents: class → "orders", "catalogue", "handover" or the shop's own
                answer. A class that `intents` leaves out is read by its name: track_order is about orders, find_item about the
                catalogue, others are handed over.

        Returns:
            answer, intent, items, handover and reason; pass an answer and its items on in the next `conversation`.

        Raises:
            RequestError: a message or a context that cannot be read.

        Examples:
            >>> told = bundle.assist("do you sell a glass teapot?")
            >>> told["answer"], told["items"], told["handover"]
            ('I found Glass teapot (2.00) and Glass teapot (1.00).', ['k2', 'k1'], False)
        """
        return answer_message(message, read_context(context), _Shop(self))


class _Shop:
    """A bundle as the assistant asks it."""

    def __init__(self, bundle: Asked) -> None:
        self._bundle = bundle

    def find(self, query: str, k: int, context: Context) -> list[str]:
        found = self._bundle.search(query, k, history=context.history, user_id=context.user_id)
        return [one.item_id for one in found]

    def facts(self, item_id: str) -> Facts | None:
        row = self._bundle.catalogue.row_of.get(item_id)
        return None if row is None else read_facts(self._bundle.catalogue.items, row)

    def intents(self, text: str) -> list[str] | None:
        about = self._bundle.tasks.get(INTENT, {"proven": False})
        if not about["proven"] or about["kind"] != "classes":
            return None
        return [label for label, _ in self._bundle.classify(INTENT, [text])[0]]
