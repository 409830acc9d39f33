"""The app of one worker: every endpoint, and the one form of its errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

import recsys_core
from recsys_core.collection import EventLog, RedisSessions, Sessions, SqliteSessions
from recsys_core.errors import RecsysError, RequestError
from recsys_core.service.answering import Answering
from recsys_core.service.bodies import (
    AdaptAnswer,
    AdaptBody,
    ClickAnswer,
    ClickBody,
    ErrorAnswer,
    EventsAnswer,
    EventsBody,
    FeedbackBody,
    ItemsAnswer,
    ItemsBody,
    ListAnswer,
    Listing,
    ProfileAnswer,
    ProfileBody,
    RecommendBody,
    SearchBody,
    ShopAnswer,
    SimilarBody,
)
from recsys_core.service.finding import add_finding_endpoints
from recsys_core.service.gate import INTERNAL, TICKET, Gate, Refusal, Ticket, error_body
from recsys_core.service.limits import TokenBuckets
from recsys_core.service.logs import pseudonym
from recsys_core.service.measures import Measures
from recsys_core.service.settings import Scope, ServiceSettings
from recsys_core.service.storefront import describe_shop, item_fields
from recsys_core.service.texts import add_text_endpoints
from recsys_core.service.treatments import Listed, Treatments
from recsys_core.service.words import add_word_endpoints
from recsys_core.serving import Bundle, Recommendations

Handler = TypeVar("Handler", bound=Callable[..., Any])
PAGE = Path(__file__).parent / "page"
FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": why} for status, why in {
        401: "no API key, or an unknown one", 403: "a key without the scope", 413: "a body that is too large",
        422: "a request that makes no sense", 429: "too many requests", 500: "a fault of the service",
        503: "a log that cannot be written", 504: "a request that takes too long"}.items()}
FIXES = {404: "see /openapi.json", 405: "see /openapi.json", 413: "send less at once"}
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}]


def create_app(settings: ServiceSettings, treatments: Treatments, buckets: TokenBuckets,
               draining: Callable[[], bool] = lambda: False) -> Gate:
    """The app that answers from one bundle, or from those that experiments compare.

    Args:
        settings: limits, keys and folders.
        treatments: the bundle and the experiments; they are never written to.
        buckets: rate limits, shared with the other workers.
        draining: whether this worker is about to end.
    """
    bundle = treatments.bundle
    measures = Measures(bundle, settings.collect / "monitor")
    answering = Answering(treatments, EventLog(settings.collect, bundle.parts.router.zone), _open_sessions(settings), measures,
                          settings.adapter_ttl_s)
    scopes: dict[str, Scope | None] = {"/healthz": None, "/readyz": None, "/metrics": None, "/openapi.json": None, "/": None}
    app = FastAPI(title="fewshot-recsys", version=recsys_core.__version__, docs_url=None, redoc_url=None)
    app.include_router(_asking(answering, scopes))
    app.include_router(_telling(answering, scopes))
    app.include_router(_reading(bundle, settings.home, scopes))
    app.include_router(_watching(bundle, measures, draining))
    _answer_errors(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    for file in sorted(PAGE.iterdir()):
        _offer(app, file)
    return Gate(app, settings, scopes, buckets, measures, draining)


def _open_sessions(settings: ServiceSettings) -> Sessions:
    if settings.redis is not None:
        return RedisSessions.connect(settings.redis, settings.sessions)
    return SqliteSessions(settings.collect / "sessions.sqlite", settings.sessions)


def _asking(answering: Answering, scopes: dict[str, Scope | None]) -> APIRouter:
    """Endpoints that answer from the bundle. A call takes about a millisecond, so it runs in the loop's own thread."""
    router = APIRouter(responses=FAULTS)
    post = _poster(router, scopes, "read")

    @post("/v1/recommend", ListAnswer)
    async def recommend(body: RecommendBody, request: Request) -> Response:
        """Rank the catalogue, or one shelf of it, for a shopper."""
        return _list(request, "recommend", body, answering.recommend(body, request.scope[TICKET].request_id))

    @post("/v1/search", ListAnswer)
    async def search(body: SearchBody, request: Request) -> Response:
        """Rank the catalogue for a query, and for the shopper where one is known."""
        return _list(request, "search", body, answering.search(body, request.scope[TICKET].request_id))

    @post("/v1/click-probability", ClickAnswer)
    async def click_probability(body: ClickBody, request: Request) -> Response:
        """How likely each item is taken."""
        probabilities, fallback = answering.click_probability(body)
        return _json(request, {"fallback": fallback, "probabilities": probabilities})

    @post("/v1/adapt", AdaptAnswer)
    async def adapt(body: AdaptBody, request: Request) -> Response:
        """Adapt to a handful of labelled events; requests then name the adapter's id."""
        return _json(request, {"adapter": answering.adapt(body), "expires_in_s": answering.adapter_ttl_s})

    scopes["/v1/shop"] = "read"

    @router.get("/v1/shop", response_model=ShopAnswer, openapi_extra={"security": SECURITY})
    async def shop(request: Request) -> Response:
        """What a page needs to know of the shop: its context, segments, shelves and some sampled shoppers."""
        return _json(request, describe_shop(answering.bundle))

    @post("/v1/similar", ListAnswer)
    async def similar(body: SimilarBody, request: Request) -> Response:
        """Items like one item."""
        if str(body.item_id).strip() not in answering.bundle.catalogue.row_of:
            raise HTTPException(404, f"item {str(body.item_id)[:40]!r} is unknown")
        answers = answering.bundle.similar(str(body.item_id), body.k, body.relation)
        return _json(request, {"variant": None, "fallback": answers.fallback, "items": _items(answers, body.fields)})

    @post("/v1/profile", ProfileAnswer)
    async def profile(body: ProfileBody, request: Request) -> Response:
        """A shopper in a few figures; no event and no id is in it."""
        found, fallback = answering.profile(body)
        return _json(request, {"fallback": fallback, "profile": found})

    add_finding_endpoints(post, _json, answering.bundle)

    def _items(answers: Recommendations, fields: list[str]) -> list[dict[str, Any]]:
        return [{"item_id": one.item_id, "score": one.score, "reasons": one.reasons, "segment": one.segment,
                 "contributions": one.contributions, "sentence": one.sentence, "relation": one.relation,
                 "fields": item_fields(answering.bundle, one.item_id, fields)} for one in answers]

    def _list(request: Request, endpoint: str, body: Listing, listed: Listed) -> Response:
        ticket, answers = request.scope[TICKET], listed.answers
        if body.user_id is not None:
            ticket.fields["user"] = pseudonym(str(body.user_id))
        ticket.fields |= {"items": len(answers), "fallback": answers.fallback is not None}
        answering.expose(ticket.request_id, endpoint, body, listed)
        return _json(request, {"variant": listed.variant, "fallback": answers.fallback, "items": _items(answers, body.fields)})

    return router


def _reading(bundle: Bundle, home: Path | None, scopes: dict[str, Scope | None]) -> APIRouter:
    """Endpoints that read texts, and those that write them."""
    router = APIRouter(responses=FAULTS)
    add_text_endpoints(_poster(router, scopes, "read"), _json, bundle)
    add_word_endpoints(_poster(router, scopes, "read"), _json, bundle, home)
    return router


def _telling(answering: Answering, scopes: dict[str, Scope | None]) -> APIRouter:
    """Endpoints that the service learns from."""
    router = APIRouter(responses=FAULTS)
    post = _poster(router, scopes, "write")

    @post("/v1/events", EventsAnswer)
    async def events(body: EventsBody, request: Request) -> Response:
        """Log what shoppers did: their next lists know it, and tonight's chain ingests it."""
        ids = answering.collect(body.events)
        return _json(request, {"accepted": len(ids), "event_ids": ids})

    @post("/v1/feedback", EventsAnswer)
    async def feedback(body: FeedbackBody, request: Request) -> Response:
        """Log a thumb: up counts as a rating, down keeps the item out of the shopper's next lists."""
        ids = answering.judge(body)
        return _json(request, {"accepted": len(ids), "event_ids": ids})

    @post("/v1/items", ItemsAnswer)
    async def items(body: ItemsBody, request: Request) -> Response:
        """Add or change items: within seconds the next generation of workers knows them, until a bundle brings them itself."""
        return _json(request, {"upserted": answering.upsert(body.items)})

    return router


def _watching(bundle: Bundle, measures: Measures, draining: Callable[[], bool]) -> APIRouter:
    """Endpoints for those who operate the service."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the worker lives."""
        return {"status": "ok"}

    @router.get("/readyz", responses={503: {"description": "the worker ends"}})
    async def readyz(response: Response) -> dict[str, Any]:
        """Whether the worker should be sent requests, and what it serves."""
        response.status_code = 503 if draining() else 200
        return {"status": "ends" if draining() else "ready", "items": len(bundle.catalogue),
                "lineage": bundle.manifest["lineage"]}

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters of all workers, in Prometheus' text form."""
        return Response(measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _offer(app: FastAPI, file: Path) -> None:
    """One file of the page; a folder mounted at / would answer for every path that has no such method."""
    @app.get("/" if file.name == "index.html" else f"/{file.name}", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(file)


def _poster(router: APIRouter, scopes: dict[str, Scope | None], scope: Scope
            ) -> Callable[[str, type], Callable[[Handler], Handler]]:
    """A decorator that adds an endpoint with what it answers and the scope that it needs."""
    def post(path: str, model: type) -> Callable[[Handler], Handler]:
        scopes[path] = scope
        return router.post(path, response_model=model, openapi_extra={"security": SECURITY})

    return post


def _json(request: Request, answer: dict[str, Any], status: int = 200) -> Response:
    """An answer with its request's id; no model checks our own values, which would cost more than the list."""
    ticket: Ticket = request.scope[TICKET]
    answer = {"request_id": ticket.request_id, **answer}
    try:
        body = orjson.dumps(answer)
    except TypeError:  # half a surrogate pair in an echoed text, an integer beyond 64 bits
        body = json.dumps(answer).encode()
    return Response(body, status, media_type="application/json")


def _answer_errors(app: FastAPI) -> None:
    """Give every error its one form."""
    def fault(request: Request, refusal: Refusal, headers: Any = None) -> Response:
        body = error_body(refusal, request.scope[TICKET].request_id)
        return Response(body, refusal.status, headers=headers, media_type="application/json")

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
        return fault(request, Refusal(422, where[:200], str(first["msg"])[:300], "see /openapi.json"))

    @app.exception_handler(RecsysError)
    async def refused(request: Request, error: RecsysError) -> Response:
        status = 422 if isinstance(error, RequestError) else 503
        return fault(request, Refusal(status, error.artefact, error.culprit, error.fix))

    @app.exception_handler(Exception)  # the gate hears of it, too, and logs it
    async def failed(request: Request, error: Exception) -> Response:
        return fault(request, INTERNAL)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        fix = FIXES.get(error.status_code, "send JSON as /openapi.json says")
        return fault(request, Refusal(error.status_code, request.url.path[:200], str(error.detail), fix), error.headers)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, routes=app.routes,
                            description="Lists, searches and probabilities from one bundle, and what they learn from.")
        found["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"}, "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        app.openapi_schema = found
    return app.openapi_schema
