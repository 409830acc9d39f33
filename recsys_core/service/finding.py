"""Endpoints around a search: completions while a shopper types, and what narrows what was found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field

from recsys_core.service.bodies import Body, Id, Moment, Name
from recsys_core.serving import Bundle


class SuggestBody(Body):
    """Arguments of `Bundle.suggest`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prefix": "dark r", "k": 5}]})

    prefix: str = Field(min_length=1, max_length=512)
    k: int = Field(8, ge=1, le=100, description="the most phrases that are answered")


class FacetsBody(Body):
    """Arguments of `Bundle.facets`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "coffee", "columns": ["brand"]}]})

    query: str = Field(min_length=1, max_length=512)
    columns: list[Name] = Field(min_length=1, max_length=20, description="of the items")
    candidates: list[Id] | None = Field(None, max_length=20_000, description="the only items that may be found")
    filters: dict[Name, Any] | None = Field(None, max_length=50, description="value, values, or {min, max} by column")
    shelf: Name | None = Field(None, description="only its items of that day")
    at: Moment | None = Field(None, description="time of the request; null: now")


class SuggestAnswer(BaseModel):
    """Phrases that a prefix begins, the most taken first."""

    request_id: str
    phrases: list[str]


class FacetsAnswer(BaseModel):
    """Values with the number of found items that have them, by column."""

    request_id: str
    facets: dict[str, list[dict[str, Any]]] = Field(description="value, as a filter takes it, and count")


def add_finding_endpoints(post: Callable[[str, type], Callable[..., Any]], answer: Callable[[Request, dict[str, Any]], Response],
                          bundle: Bundle) -> None:
    """Add them.

    Args:
        post: a decorator from path and answer's model, see `app`.
        answer: writes an answer with its request's id.
        bundle: what answers.
    """
    @post("/v1/suggest", SuggestAnswer)
    async def suggest(body: SuggestBody, request: Request) -> Response:
        """Completions of a prefix: titles, categories and brands."""
        return answer(request, {"phrases": bundle.suggest(body.prefix, body.k)})

    @post("/v1/facets", FacetsAnswer)
    async def facets(body: FacetsBody, request: Request) -> Response:
        """How many of the items that a query finds have which value."""
        found = bundle.facets(body.query, body.columns, body.candidates, body.filters, body.at, body.shelf)
        return answer(request, {"facets": found})
