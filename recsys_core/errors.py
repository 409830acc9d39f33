"""One family of errors; each names the artefact, the culprit and the fix."""

from __future__ import annotations


class RecsysError(Exception):
    """Base of every error this project raises on purpose.

    Args:
        artefact: what could not be read, made or trusted (a file, a table, a bundle, an adapter).
        culprit: the column, row, value or hash at fault.
        fix: what the reader can do about it.
    """

    def __init__(self, artefact: str, culprit: str, fix: str) -> None:
        self.artefact, self.culprit, self.fix = str(artefact), str(culprit), str(fix)
        super().__init__(f"{self.artefact}: {self.culprit}. Fix: {self.fix}")

    def __reduce__(self) -> tuple[type[RecsysError], tuple[str, str, str]]:  # a worker's error is raised again elsewhere
        return type(self), (self.artefact, self.culprit, self.fix)


class ShopError(RecsysError):
    """The shop folder or its `shop.yaml` breaks the shop contract."""


class DataError(RecsysError):
    """A table breaks its contract: schema, keys, row counts, empty days."""


class LeakageError(DataError):
    """Something later than a cut-off would reach training or support rows."""


class ModelError(RecsysError):
    """A model, encoder or tokenizer cannot be loaded or trained."""


class AdapterError(RecsysError):
    """An adapter does not fit its base, its segment or its support set."""


class BundleError(RecsysError):
    """A bundle is incomplete, tampered with, or of another format."""


class RequestError(RecsysError):
    """A request cannot be answered as asked: an empty query, a column that does not exist, a bad time."""


class ExperimentError(RecsysError):
    """An experiment's declaration or its logs make no sense."""
