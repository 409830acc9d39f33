"""Interactions: events, histories and questions as integer arrays, and the windows of time they fall in."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
