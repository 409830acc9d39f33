"""Where a library's exception over a shop's files becomes the one sentence that its owner can act on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import polars as pl

from recsys_core.errors import RecsysError, ShopError

Given = ParamSpec("Given")
Result = TypeVar("Result")
Owner = TypeVar("Owner")


@contextmanager
def refusing(artefact: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a ShopError about `artefact`."""
    try:
        yield
    except (RecsysError, MemoryError):
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        words = (str(error).strip().splitlines() or ["no words"])[0][:200]
        raise ShopError(artefact, f"cannot be read ({type(error).__name__}: {words})",
                        "look into the files and shop.yaml (recsys check-shop names what is unusual)") from error


def refuses(method: Callable[Concatenate[Owner, Given], Result]) -> Callable[Concatenate[Owner, Given], Result]:
    """The method of a shop with a `root`, inside `refusing`."""

    @wraps(method)
    def inside(self: Owner, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        with refusing(str(getattr(self, "root", "the shop"))):
            return method(self, *args, **kwargs)

    return inside  # type: ignore[return-value]  # `self` by name, as methods have it
