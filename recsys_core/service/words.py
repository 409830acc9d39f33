"""Endpoints that answer in words: descriptions of items, and the assistant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Required

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from recsys_core.service.bodies import Body, HistoryEvent, Id, Name
from recsys_core.serving import Bundle
from recsys_core.wording import read_written

Said = Annotated[str, Field(min_length=1, max_length=5000)]
Fact = Annotated[str, Field(max_length=500)]
Language = Annotated[str, Field(min_length=2, max_length=16)]
WRITTEN = ("en",)  # languages that a model writes descriptions in


class DescribeBody(Body):
    """Arguments of `Bundle.describe`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_id": "k0"}]})

    item_id: Id
    language: Language = Field("en", description="en, de or zh")


class TurnBody(TypedDict, total=False):
    """One turn of the conversation so far."""

    role: Required[Literal["user", "assistant"]]
    text: Required[Said]
    items: list[Id]


class OrderBody(TypedDict, total=False):
    """What the shop knows of an order."""

    order_id: Required[Id]
    status: Fact | None
    date: Fact | None
    items: list[Id]


class AssistBody(Body):
    """Arguments of `Bundle.assist`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{
        "message": "do you sell steel mugs?", "orders": [{"order_id": "A-17", "status": "sent", "date": "2026-11-20"}]}]})

    message: Said
    conversation: list[TurnBody] = Field([], max_length=200, description="oldest first")
    orders: list[OrderBody] = Field([], max_length=100, description="of the shopper")
    user_id: Id | None = None
    history: list[Id | HistoryEvent] | None = Field(None, max_length=2000, description="oldest first")
    intents: dict[Name, Fact] = Field({}, max_length=500, description="class → orders, catalogue, handover, or your own answer")
    language: Language = Field("en", description="en, de or zh")


class DescribeAnswer(BaseModel):
    """A text about an item."""

    request_id: str
    item_id: str
    text: str
    language: str
    source: Literal["template", "model"]


class AssistAnswer(BaseModel):
    """What the assistant says."""

    request_id: str
    answer: str
    intent: str | None = Field(description="null: unsure, or the bundle knows no intents")
    items: list[str]
    handover: bool = Field(description="whether a person should go on")
    reason: str


def add_word_endpoints(post: Callable[[str, type], Callable[..., Any]], answer: Callable[[Request, dict[str, Any]], Response],
                       bundle: Bundle, home: Path | None) -> None:
    """Add them.

    Args:
        post: a decorator from path and answer's model, see `app`.
        answer: writes an answer with its request's id.
        bundle: what answers.
        home: RECSYS_HOME, where written descriptions may lie; they are read now.
    """
    written = {language: read_written(home, language) for language in WRITTEN}

    @post("/v1/describe", DescribeAnswer)
    def describe(body: DescribeBody, request: Request) -> Response:
        """Describe an item by its own data."""
        if str(body.item_id).strip() not in bundle.catalogue.row_of:
            raise HTTPException(404, f"item {str(body.item_id)[:40]!r} is unknown")
        return answer(request, {**bundle.describe(str(body.item_id), body.language, written.get(body.language))})

    @post("/v1/assist", AssistAnswer)
    def assist(body: AssistBody, request: Request) -> Response:
        """Answer a shopper's message, or hand over."""
        context = body.model_dump(exclude={"message"}, exclude_none=True)
        return answer(request, {**bundle.assist(body.message, context)})
