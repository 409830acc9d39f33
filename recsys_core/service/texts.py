"""Endpoints that read texts: classes, intents, attributes, and how well items answer a query.

A text costs the transformer some 2 ms, so these answer in threads of their own: lists do not wait for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsys_core.service.bodies import Body, Id, Name
from recsys_core.serving import Bundle

Text = Annotated[str, Field(min_length=1, max_length=5000)]
AT_ONCE = 100  # texts of one request


class ClassifyBody(Body):
    """Arguments of `Bundle.classify`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"task": "intent", "texts": ["where is my order"]}]})

    task: Name = Field(description="a proven task of classes")
    texts: list[Text] = Field(min_length=1, max_length=AT_ONCE)


class IntentBody(Body):
    """Arguments of `Bundle.intent`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "where is my order"}]})

    text: Text


class AttributesBody(Body):
    """Arguments of `Bundle.extract`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"texts": ["Steel mug"]}]})

    texts: list[Text] = Field(min_length=1, max_length=AT_ONCE)
    category: Text | None = Field(None, description="of all texts, as in the items table; null: unknown")


class MatchBody(Body):
    """Arguments of `Bundle.match`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "dark roast", "texts": ["Dark roast coffee", "Mug"]}]})

    query: str = Field(min_length=1, max_length=512)
    item_ids: list[Id] | None = Field(None, min_length=1, max_length=1000)
    texts: list[Text] | None = Field(None, min_length=1, max_length=AT_ONCE, description="in place of items")

    @model_validator(mode="after")
    def _names_either(self) -> MatchBody:
        if (self.item_ids is None) == (self.texts is None):
            raise ValueError("send either item_ids or texts")
        return self


class Labelled(BaseModel):
    """A class of a text."""

    label: str
    probability: float


class ClassifyAnswer(BaseModel):
    """Classes per text, likeliest first; none where it is unsure, or where the text is of none."""

    request_id: str
    classes: list[list[Labelled]]


class IntentAnswer(BaseModel):
    """What the text wants, likeliest first; none where it is unsure, or where it wants none of what was learned."""

    request_id: str
    intents: list[Labelled]


class AttributesAnswer(BaseModel):
    """Attributes with their words, per text."""

    request_id: str
    attributes: list[dict[str, str]]


class MatchAnswer(BaseModel):
    """A grade per item or text."""

    request_id: str
    grades: list[float] = Field(description="0 … 1")


def add_text_endpoints(post: Callable[[str, type], Callable[..., Any]], answer: Callable[[Request, dict[str, Any]], Response],
                       bundle: Bundle) -> None:
    """Add them.

    Args:
        post: a decorator from path and answer's model, see `app`.
        answer: writes an answer with its request's id.
        bundle: what answers.
    """
    @post("/v1/classify", ClassifyAnswer)
    def classify(body: ClassifyBody, request: Request) -> Response:
        """The classes of texts, by a labelled task."""
        return answer(request, {"classes": [_labelled(one) for one in bundle.classify(body.task, body.texts)]})

    @post("/v1/intent", IntentAnswer)
    def intent(body: IntentBody, request: Request) -> Response:
        """What an utterance or a query wants: the task named intent."""
        return answer(request, {"intents": _labelled(bundle.intent(body.text))})

    @post("/v1/attributes", AttributesAnswer)
    def attributes(body: AttributesBody, request: Request) -> Response:
        """Attributes that texts name."""
        return answer(request, {"attributes": bundle.extract(body.texts, body.category)})

    @post("/v1/match", MatchAnswer)
    def match(body: MatchBody, request: Request) -> Response:
        """How well items, or any texts, answer a query."""
        ids = None if body.item_ids is None else [str(item) for item in body.item_ids]
        return answer(request, {"grades": bundle.match(body.query, ids, body.texts)})


def _labelled(found: list[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"label": label, "probability": probability} for label, probability in found]
