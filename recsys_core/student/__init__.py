"""The student as it is served: a folder of tiers, each of which reads queries in the text encoder's vector space."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
