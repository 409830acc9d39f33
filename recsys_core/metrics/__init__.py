"""Metrics: ranking and outcome measures, bootstrap intervals, and the trivial rankers that come for free."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
