"""The base model: the session model (a ranker of named parts) and the click head, for everybody."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
