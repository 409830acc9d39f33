"""What a shop declares about its experiments: `experiments.yaml` in RECSYS_HOME."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from recsys_core.errors import ExperimentError
from recsys_core.reading import read_yaml

EXPERIMENTS_FILE = "experiments.yaml"
NAME = r"^[a-z0-9][a-z0-9_-]*$"


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_in_utc)]


class Variant(BaseModel, frozen=True, extra="forbid"):
    """One treatment. What it does not name stays as the request and the service have it."""

    name: str = Field(pattern=NAME)
    share: float = Field(gt=0, le=1, description="of the audience; what the shares leave over takes no part")
    bundle: Path | None = Field(None, description="folder of another bundle that answers, relative to RECSYS_HOME")
    segment: str | None = Field(None, description="takes the place of the request's segment: auto, a name, null for the base")

    @property
    def changes(self) -> frozenset[str]:
        """What this variant sets: of `bundle`, `segment`; a `segment: null` that stands there counts."""
        return frozenset(self.model_fields_set & {"bundle", "segment"})


class ExperimentConfig(BaseModel, frozen=True, extra="forbid"):
    """One experiment. Its name salts the assignment, so other shares or variants need another name."""

    name: str = Field(pattern=NAME)
    variants: tuple[Variant, ...] = Field(min_length=2, description="the first is what the others are compared with")
    start: Moment = Field(description="first moment; without a zone it is UTC")
    end: Moment = Field(description="first moment after it")
    audience: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="attribute of the user or name of the context → accepted values; all must hold")
    method: Literal["ab", "interleave"] = Field(
        "ab", description="ab: each user sees one variant; interleave: each list is drawn from both variants in turns")
    window_hours: float = Field(24, gt=0, description="how long after the first exposure a user's outcomes count")

    @model_validator(mode="after")
    def _fits_together(self) -> ExperimentConfig:
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError(f"two variants of {self.name!r} share a name")
        if sum(variant.share for variant in self.variants) > 1 + 1e-9:
            raise ValueError(f"the shares of {self.name!r} add up to more than 1")
        if self.start >= self.end:
            raise ValueError(f"{self.name!r} ends before it starts")
        if self.method == "interleave" and len(names) != 2:
            raise ValueError(f"{self.name!r} interleaves {len(names)} variants; two can be")
        return self

    @property
    def changes(self) -> frozenset[str]:
        """What any of its variants sets; of an interleaved one the list itself, too, which can be drawn once."""
        drawn = frozenset({"list"} if self.method == "interleave" else ())
        return drawn.union(*(variant.changes for variant in self.variants))


class _File(BaseModel, frozen=True, extra="forbid"):
    experiments: tuple[ExperimentConfig, ...] = ()


def read_experiments(path: Path) -> tuple[ExperimentConfig, ...]:
    """Read an `experiments.yaml`; none where the file does not exist.

    Raises:
        ShopError: the file is no YAML mapping.
        ExperimentError: a field that does not exist or makes no sense; two experiments with one name; two at the same time
            that change the same thing, so that neither could be told from the other.
    """
    if not path.exists():
        return ()
    try:
        found = _File.model_validate(read_yaml(path)).experiments
    except ValidationError as error:
        first = error.errors()[0]
        where = " → ".join(map(str, first["loc"])) or "the file"
        raise ExperimentError(str(path), f"{where}: {first['msg']}", "correct the field it names") from None
    for at, one in enumerate(found):
        for other in found[:at]:
            if one.name == other.name:
                raise ExperimentError(str(path), f"two experiments are called {one.name!r}", "give each its own name")
            both = one.changes & other.changes
            if both and one.start < other.end and other.start < one.end:
                raise ExperimentError(str(path), f"{other.name!r} and {one.name!r} change the {' and '.join(sorted(both))} "
                                      "at the same time", "let one end before the other starts")
    return found
