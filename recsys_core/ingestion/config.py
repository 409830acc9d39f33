"""What a shop declares about itself: `shop.yaml`, laid over a preset for layouts people already have."""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Mapping
from copy import deepcopy
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from recsys_core import schema
from recsys_core.errors import ShopError
from recsys_core.oversight import FairnessSpec, PrivacySpec, ReleaseSpec
from recsys_core.reading import read_yaml

SHOP_FILE, PRESETS = "shop.yaml", Path(__file__).parent / "presets"
_read_preset = cache(read_yaml)  # a night opens the shop in every step, and these files come with the code
Table = Literal["items", "events", "users", "judgments", "labels", "shelves", "promotions"]
CONTRACT: dict[str, list[str]] = {
    "items": list(schema.RAW_ITEMS),
    "events": [name for name in schema.RAW_EVENTS if name not in ("source", "context")],
    "users": ["user_id"],
    "judgments": list(schema.JUDGMENTS),
    "labels": list(schema.LABELS),
    "shelves": list(schema.RAW_SHELVES),
    "promotions": [name for name in schema.RAW_PROMOTIONS if name != "context"],
}
WITH_CONTEXT = ("events", "promotions")  # these have a column per name of `context`, too
OPEN_TABLES = ("items", "users")  # these may carry any other column under its own name
RESERVED = ("auto", "request")  # what a request says instead of a segment's name
SEGMENT_NAME = r"^[a-z0-9][a-z0-9_-]*$"


def _without_line_end(value: Any) -> Any:
    """What a YAML block scalar (`|`) leaves of a separator."""
    return value.strip("\r\n") if isinstance(value, str) else value


class SegmentSpec(BaseModel, frozen=True, extra="forbid"):
    """One segment: which events belong to it."""

    name: str = Field(pattern=SEGMENT_NAME,
                      description="partition key and folder name: lower case, digits, - and _")
    kind: Literal["new_users", "scene", "domain", "custom"] = Field(
        description="new_users: a user's first days; scene: a stretch of time; domain: a part of the "
                    "catalogue; custom: anything a predicate can say")
    where: str = Field("true", description="SQL condition over what a request knows (users.*, context.*, "
                       "events.user_id, events.day, events.timestamp) and over the candidates (items.*)")
    start: date | None = Field(None, description="scene: its first local day")
    end: date | None = Field(None, description="scene: its last local day, included")
    first_days: int = Field(60, ge=1, le=36_500, description="new_users: days from a user's first event on")


class FamilySpec(BaseModel, frozen=True, extra="forbid"):
    """One entry that stands for many segments: one per value."""

    name: str = Field(pattern=SEGMENT_NAME, description="unique among segments and families")
    by: str = Field(pattern=r"^(context|users)\..+$",
                    description="what tells its segments apart: context.<declared name> or users.<column>")


class JoinSpec(BaseModel, frozen=True, extra="forbid"):
    """A file whose columns the events lack."""

    file: str = Field(min_length=1, description="its name in the data folder")
    on: str = Field(min_length=1, description="the column that both files have; no two rows of the other file share its value")


class ShopConfig(BaseModel, frozen=True, extra="forbid"):
    """Every field of `shop.yaml`; a preset is the same thing with some of them filled in.

    In `files` and `columns` a plain string must exist in the shop; a list means "the first of these that
    exists", and none of them is fine where the contract does not require the file or column.
    """

    name: str = Field("", description="the shop's name; its folder's name if not given")
    preset: str | None = Field(None, description="a layout to start from, see recsys_core/ingestion/presets")
    data: str | None = Field(None, description="where the files lie, relative to shop.yaml, if elsewhere")
    files: dict[Table, str | list[str]] = Field(
        default_factory=dict, description="file names or glob patterns that differ from the contract's")
    joins: tuple[JoinSpec, ...] = Field((), description="files whose columns the events lack, looked up in this order")
    day_drops: str = Field("events", description="folder of the YYYY-MM-DD.* drops; '.' is the data folder")
    columns: dict[Table, dict[str, str | list[str]]] = Field(default_factory=dict, description="per table: our column → theirs")
    event_types: dict[str, str] = Field(default_factory=dict, description="their event type → ours")
    event_type: str | None = Field(None, description="the type of every event without an event_type column")
    time_zone: str = Field("UTC", description="IANA zone of local days and of timestamps without a zone")
    timestamp_format: str | None = Field(None, description="strptime format of text timestamps, if not ISO")
    first_day: date | None = Field(None, description="leave out days before this one")
    last_day: date | None = Field(None, description="leave out days after this one")
    delimiter: Annotated[str | None, BeforeValidator(_without_line_end)] = Field(
        None, max_length=1, description="what separates the fields of CSV files, where it cannot be told from them")
    encoding: str | None = Field(None, description="encoding of the text files, if not UTF-8")
    decimal: Literal[".", ","] | None = Field(None, description="the decimal mark of numbers in text, where columns mix them")
    null_words: tuple[str, ...] | None = Field(None, description="texts that mean that a value is missing, in any column; "
                                               "without it, the usual ones in numbers and times")
    max_set_aside: float = Field(0.2, ge=0, le=1, description="largest share of a day's (or a file's) records set aside")
    category_separator: Annotated[str, AfterValidator(_without_line_end)] = Field(
        schema.CATEGORY_SEPARATOR, description="splits levels of category paths")
    items_from_events: dict[str, str] = Field(
        default_factory=dict, description="without an items file: item column → column of the event files "
        "(text: the most frequent value; price: the median positive value)")
    users_from_events: dict[str, str] = Field(
        default_factory=dict, description="without a users file: user column → column of the event files")
    context: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...] = Field(
        (), description="names of event columns that a request carries, too: who asks, and where")
    segments: tuple[SegmentSpec, ...] = Field((), description="the segments to adapt to")
    families: tuple[FamilySpec, ...] = Field((), description="one segment per value of a column")
    segment_order: tuple[str, ...] = Field((), description="which segment or family `auto` prefers, best first")
    fairness: FairnessSpec = Field(FairnessSpec(), description="groups of shoppers and items that are looked at")
    release: ReleaseSpec = Field(ReleaseSpec(), description="how a bundle becomes champion")
    privacy: PrivacySpec = Field(PrivacySpec(), description="how many shoppers an adapter needs")
    lateness_days: int = Field(2, ge=0, le=366, description="events this many days late still re-make their day")
    base_model: str | None = Field(None, description="pretrained text encoder: `multilingual`, a Hugging Face id, or a folder; "
                                   "without it, the packaged English one")
    licence: str = Field("", description="what the data may be used under; the bundle's manifest and card repeat it")
    order_only: bool = Field(False, description="events have an order (`position`) but no timestamps")


def contract_columns(table: str, config: ShopConfig) -> list[str]:
    """The columns of a table that have a meaning, by our names."""
    return [*CONTRACT[table], *(config.context if table in WITH_CONTEXT else ())]


def load_config(folder: Path) -> ShopConfig:
    """Read `folder/shop.yaml` (all defaults where there is none) over the preset it names.

    Raises:
        ShopError: broken YAML, an unknown field, preset, column or time zone, an inconsistent segment.
    """
    path = folder / SHOP_FILE
    settings = read_yaml(path) if path.exists() else {}
    preset = settings.get("preset")
    if preset is not None:
        settings = _overlay(preset_settings(str(preset), str(path)), settings)
    settings.setdefault("name", folder.resolve().name)
    return make_config(settings, str(path))


def make_config(settings: Mapping[str, Any], artefact: str) -> ShopConfig:
    """Check `settings` and return them as a config; `artefact` is the file an error should name."""
    try:
        config = ShopConfig.model_validate(settings)
    except ValidationError as error:
        raise _as_shop_error(error, artefact) from None
    for check in (_check_consistency, _check_context, _check_names, _check_segments):
        check(config, artefact)
    return config


def preset_names() -> list[str]:
    """Names of the presets that come with the product, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset_settings(name: str, artefact: str) -> dict[str, Any]:
    """The settings of one preset."""
    if name not in preset_names():
        raise ShopError(artefact, f"unknown preset {name!r}{nearest(name, preset_names())}",
                        f"use one of {', '.join(preset_names())}, or leave `preset` out")
    return {**deepcopy(_read_preset(PRESETS / f"{name}.yaml")), "preset": name}


def nearest(word: str, known: list[str]) -> str:
    """`" (did you mean 'x'?)"` for the closest known word, or nothing.

    >>> nearest("time_zon", ["time_zone", "name"])
    " (did you mean 'time_zone'?)"
    """
    close = difflib.get_close_matches(word.lower(), known, 1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _overlay(preset: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The shop's own fields win; `files` are merged by table and `columns` by table and column.

    Segments or families of the shop replace the preset's, and with them the preset's order.
    """
    merged = {**preset, **settings}
    if {"segments", "families"} & set(settings) and "segment_order" not in settings:
        merged.pop("segment_order", None)
    for field in ("files", "event_types"):
        if isinstance(settings.get(field), dict) and isinstance(preset.get(field, {}), dict):
            merged[field] = {**preset.get(field, {}), **settings[field]}
    if isinstance(settings.get("columns"), dict):
        ours = preset.get("columns", {})
        merged["columns"] = {**ours, **{
            table: {**(ours.get(table) or {}), **mapping} if isinstance(mapping, dict) else mapping
            for table, mapping in settings["columns"].items()}}
    return merged


def _as_shop_error(error: ValidationError, artefact: str) -> ShopError:
    first = error.errors()[0]
    if not first["loc"]:
        return ShopError(artefact, first["msg"], "correct the value")
    place = [part for part in first["loc"] if part not in ("[key]", "str", "list[str]")]
    field, where = str(place[-1]), " → ".join(str(part) for part in place)
    if first["type"] == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {"segments": SegmentSpec, "families": FamilySpec, "joins": JoinSpec,
                                             "fairness": FairnessSpec, "release": ReleaseSpec, "privacy": PrivacySpec}
        known = list(models.get(str(place[0]), ShopConfig).model_fields)
        return ShopError(artefact, f"unknown field {where!r}{nearest(field, known)}", f"use only {', '.join(known)}")
    given = first.get("input")
    fix = "write it as text, in quotes" if first["type"] == "string_type" else "correct the value"
    return ShopError(artefact, f"field {where!r}: {first['msg']} (got {str(given)[:80]!r})", fix)


def _check_consistency(config: ShopConfig, artefact: str) -> None:
    for table, mapping in config.columns.items():
        known = contract_columns(table, config)
        for ours in mapping:
            if table not in OPEN_TABLES and ours not in known:
                raise ShopError(
                    artefact, f"columns → {table}: unknown column {ours!r}{nearest(ours, known)}",
                    f"map our names ({', '.join(known)}) to yours, as `ours: theirs`"
                    + (", or declare the name in `context`" if table in WITH_CONTEXT else ""))
    try:
        ZoneInfo(config.time_zone)
        pl.select(pl.lit(datetime(2000, 1, 1)).dt.replace_time_zone(config.time_zone))
    except (KeyError, ValueError, OSError, pl.exceptions.PolarsError):
        raise ShopError(artefact, f"unknown time_zone {config.time_zone!r}",
                        "use an IANA name such as Europe/London or UTC") from None
    if config.order_only and config.time_zone != "UTC":
        raise ShopError(artefact, f"order_only together with time_zone {config.time_zone!r}",
                        "leave time_zone out: a shop without timestamps has no clock")
    if config.first_day and config.last_day and config.first_day > config.last_day:
        raise ShopError(artefact, f"first_day {config.first_day} is after last_day {config.last_day}", "swap them")
    for field in ("category_separator", "delimiter"):
        if getattr(config, field) == "":
            raise ShopError(artefact, f"{field} is empty or a line end", f'write it in quotes, e.g. {field}: "|"')
    if config.delimiter is not None and (not config.delimiter.isascii() or config.delimiter in '"\0'):
        raise ShopError(artefact, f"delimiter {config.delimiter!r} cannot separate fields", "name one ASCII character, "
                        "such as ; or |")
    if config.encoding is not None and not _is_text_encoding(config.encoding):
        raise ShopError(artefact, f"unknown encoding {config.encoding!r}", "use a name such as utf-8, cp1252, cp1251 or utf-16")
    types = [*config.event_types.values(), *([config.event_type] if config.event_type else [])]
    for event_type in types:
        if event_type not in schema.EVENT_TYPES:
            raise ShopError(artefact, f"unknown event type {event_type!r}"
                            f"{nearest(event_type, list(schema.EVENT_TYPES))}",
                            f"use one of {', '.join(schema.EVENT_TYPES)}")


def _is_text_encoding(name: str) -> bool:
    try:
        "a".encode(codecs.lookup(name).name)
    except (LookupError, ValueError):
        return False
    return True


def _check_context(config: ShopConfig, artefact: str) -> None:
    """Every declared name stands for one column, and for none that has a meaning already."""
    taken = {*schema.CLEAN_EVENTS, *schema.RAW_PROMOTIONS, *schema.RAW_SHELVES}
    for name in config.context:
        if name in taken:
            raise ShopError(artefact, f"context names {name!r}, a column of the contract", "give it another name "
                            f"and map it: columns: {{events: {{<name>: {name}}}}}")
        if config.context.count(name) > 1:
            raise ShopError(artefact, f"context names {name!r} twice", "name it once")


def _check_names(config: ShopConfig, artefact: str) -> None:
    """Names are unique among segments and families, no word of a request, and the order knows no others."""
    names = [*(one.name for one in config.segments), *(one.name for one in config.families)]
    for name in names:
        if name in RESERVED:
            raise ShopError(artefact, f"a segment or family is called {name!r}, a word that requests use",
                            "give it another name")
        if names.count(name) > 1:
            raise ShopError(artefact, f"two segments or families are called {name!r}", "give each its own name")
    for name in config.segment_order:
        if name not in names:
            raise ShopError(artefact, f"segment_order names {name!r}, which no segment or family has"
                            f"{nearest(name, names)}", f"use {', '.join(names) or 'no segment_order'}")


def _check_segments(config: ShopConfig, artefact: str) -> None:
    """What a segment declares must fit its kind."""
    for segment in config.segments:
        place = f"segment {segment.name!r} of kind {segment.kind}"
        if segment.kind == "scene":
            if segment.start is None or segment.end is None:
                raise ShopError(artefact, f"{place} has no start and end", "give both as YYYY-MM-DD")
            if segment.start > segment.end:
                raise ShopError(artefact, f"{place} starts after it ends", "swap start and end")
        elif segment.start is not None or segment.end is not None:
            raise ShopError(artefact, f"{place} has a start or end", "make it a scene, or leave them out")
        if segment.kind != "new_users" and "first_days" in segment.model_fields_set:
            raise ShopError(artefact, f"{place} has first_days", "make it new_users, or leave it out")
        if segment.kind in ("domain", "custom") and segment.where.strip().lower() == "true":
            raise ShopError(artefact, f"{place} selects every event", "say which events in `where`")
