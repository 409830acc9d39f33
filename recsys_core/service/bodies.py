"""What requests say: their fields, limits and examples. What the fields mean is explained at `Bundle`'s methods."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from recsys_core.answering import Relation

Id = Annotated[str, Field(min_length=1, max_length=256)] | int
Name = Annotated[str, Field(min_length=1, max_length=256)]
Value = str | int | float | bool | None
EventType = Literal["impression", "view", "click", "add_to_cart", "purchase", "search", "rating", "review"]
Moment = Annotated[str, Field(max_length=64)] | float


class HistoryEvent(TypedDict, total=False):
    """One event of a history that a request brings along."""

    item_id: Required[Id]
    event_type: Annotated[str, Field(max_length=64)]
    timestamp: Moment | None


class Body(BaseModel):
    """A request's body; unknown fields are refused, so that a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Asking(Body):
    """Who asks, when and where."""

    history: list[Id | HistoryEvent] | None = Field(None, max_length=2000, description="oldest first; null: what is known of "
                                                    "user_id, and what was posted to /v1/events")
    user_id: Id | None = Field(None, description="lists for a user are logged as exposures")
    at: Moment | None = Field(None, description="time of the request, ISO 8601 or epoch seconds; null: now")
    segment: Name | None = Field(None, description="a segment's or family's name, or auto; null: the base alone")
    adapter: Name | None = Field(None, description="an id from /v1/adapt; takes the place of a segment")
    context: dict[Name, Value] | None = Field(None, max_length=50, description="value by declared name")


class Listing(Asking):
    """What a list may hold."""

    k: int = Field(10, ge=1, le=1000, description="the most items that are answered")
    candidates: list[Id] | None = Field(None, max_length=20_000, description="the only items that may be answered")
    filters: dict[Name, Any] | None = Field(None, max_length=50, description="value, values, or {min, max} by column")
    shelf: Name | None = Field(None, description="only its items of that day")
    session_id: Name | None = Field(None, description="of the visit, as in its events; null: cut by silence")
    explain: bool | Annotated[str, Field(max_length=16)] = Field(False, description="answer contributions and a sentence, in "
                                                                 "English or in the language of a code such as de")
    fields: list[Name] = Field([], max_length=50, description="columns of the items table to answer with")


class RecommendBody(Listing):
    """Arguments of `Bundle.recommend`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "anna", "k": 5, "segment": "auto"}]})

    user: dict[Name, Value] | None = Field(None, max_length=200, description="attributes by name")
    exclude_seen: bool = Field(False, description="leave out the items of the history")


class SearchBody(Listing):
    """Arguments of `Bundle.search`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "dark roast coffee", "k": 5}]})

    query: str = Field(min_length=1, max_length=512)


class ClickBody(Asking):
    """Arguments of `Bundle.click_probability`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": ["a", "b"], "user_id": "anna"}]})

    items: list[Id] = Field(min_length=1, max_length=1000)
    query: str | None = Field(None, min_length=1, max_length=512)


class SimilarBody(Body):
    """Arguments of `Bundle.similar`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_id": "a", "k": 5}]})

    item_id: Id
    k: int = Field(10, ge=1, le=1000, description="the most items that are answered")
    relation: Relation | None = Field(None, description="only items that are this to it")
    fields: list[Name] = Field([], max_length=50, description="columns of the items table to answer with")


class ProfileBody(Body):
    """Whose profile: of a history, or of what is known of a user."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "anna"}]})

    history: list[Id | HistoryEvent] | None = Field(None, max_length=2000, description="oldest first")
    user_id: Id | None = None


class Labelled(TypedDict, total=False):
    """A row of a support set."""

    item_id: Required[Id]
    label: float


class AdaptBody(Body):
    """Arguments of `Bundle.adapt`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"support": [{"item_id": "a", "label": 1}]}]})

    support: list[Labelled] = Field(max_length=2000)
    page: list[Id] | None = Field(None, max_length=20_000, description="ids of a new page's items")


class EventBody(Body):
    """One thing that a shopper did; columns of the shop contract's events."""

    user_id: Id
    event_type: EventType
    item_id: Id | None = Field(None, description="needed by all but searches")
    query: str | None = Field(None, min_length=1, max_length=512, description="needed by searches; personal data is masked")
    timestamp: Moment | None = Field(None, description="ISO 8601 or epoch seconds; null: now")
    event_id: Name | None = Field(None, description="a row with the same id as an earlier one of the day is its copy")
    session_id: Name | None = None
    price: float | None = Field(None, ge=0, le=1e12, allow_inf_nan=False)
    quantity: float | None = Field(None, gt=0, le=1e12, allow_inf_nan=False)
    rating: float | None = Field(None, ge=-1e6, le=1e6, allow_inf_nan=False)
    review: str | None = Field(None, max_length=20_000, description="personal data is masked")
    context: dict[Name, Value] | None = Field(None, max_length=50)
    position: int | None = Field(None, ge=1, le=1_000_000)
    propensity: float | None = Field(None, gt=0, le=1)

    @model_validator(mode="after")
    def _names_its_object(self) -> EventBody:
        if self.event_type == "search" and self.query is None:
            raise ValueError("a search needs a query")
        if self.event_type != "search" and self.item_id is None:
            raise ValueError(f"{self.event_type} needs an item_id")
        return self


class ItemsBody(Body):
    """New and changed items."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [{"item_id": "k9", "title": "Ceramic sieve"}]}]})

    items: list[dict[Name, Value]] = Field(min_length=1, max_length=1000, description="whole rows of the items table")


class EventsBody(Body):
    """Events of one or many shoppers."""

    model_config = ConfigDict(json_schema_extra={"examples": [
        {"events": [{"user_id": "anna", "event_type": "click", "item_id": "a"}]}]})

    events: list[EventBody] = Field(min_length=1, max_length=1000)


class FeedbackBody(Body):
    """A thumb up or down for an item of an answered list."""

    model_config = ConfigDict(json_schema_extra={"examples": [
        {"request_id": "6f1c2d", "user_id": "anna", "item_id": "a", "value": "up"}]})

    request_id: Name = Field(description="of the answer that held the item")
    user_id: Id
    item_id: Id
    value: Literal["up", "down"]


class Item(BaseModel):
    """One answered item, as `Recommendation` explains it."""

    item_id: str
    score: float = Field(description="a logit")
    reasons: dict[str, float] = Field(description="named parts that add up to the score")
    segment: str | None = Field(description="whose adapter took part")
    contributions: list[dict[str, str | float]] = Field([], description="source, name, value; they add up to the score")
    sentence: str | None = Field(None, description="why the item is there")
    relation: Relation | None = Field(None, description="what it is to the item that similar ones were asked of")
    fields: dict[str, str | int | float | None] = Field(description="the columns that were asked for")


class ShopAnswer(BaseModel):
    """What a page needs to know of a shop."""

    request_id: str
    shop: str
    items: int
    through: str | None = Field(description="the newest day")
    context: dict[str, list[str]] = Field(description="values that a promoted family answers, by declared name")
    segments: dict[str, dict[str, str]] = Field(description="decision and reason by name")
    shelves: list[str]
    shoppers: list[dict[str, Any]] = Field(description="sampled histories; they name nobody")
    titles: dict[str, str | None] = Field(description="of the shoppers' items")


class ListAnswer(BaseModel):
    """A ranked list."""

    request_id: str
    variant: str | None = Field(description="experiment:variant, with commas between; null: none runs")
    fallback: str | None = Field(description="what the request asked for and did not get; null: nothing")
    items: list[Item] = Field(description="best first")


class ProfileAnswer(BaseModel):
    """A shopper in a few figures, as `Bundle.profile` explains them."""

    request_id: str
    fallback: str | None
    profile: dict[str, Any]


class ClickAnswer(BaseModel):
    """How likely each asked item is taken."""

    request_id: str
    fallback: str | None
    probabilities: list[float]


class AdaptAnswer(BaseModel):
    """The adapter's id, and for how long it is kept."""

    request_id: str
    adapter: str
    expires_in_s: float


class EventsAnswer(BaseModel):
    """How many events were logged, and under which ids."""

    request_id: str
    accepted: int
    event_ids: list[str]


class ItemsAnswer(BaseModel):
    """How many items were accepted."""

    request_id: str
    upserted: int


class Fault(BaseModel):
    """What was wrong, and what to do about it."""

    artefact: str
    culprit: str
    fix: str
    request_id: str


class ErrorAnswer(BaseModel):
    """Every error has this form."""

    error: Fault
