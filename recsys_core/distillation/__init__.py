"""Distillation: the small query encoder, a student in the vector space of the text encoder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
