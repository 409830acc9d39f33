"""Evaluation: who ranks better on later questions, whether that can be chance, and what may be promoted."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
