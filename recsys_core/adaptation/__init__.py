"""Few-shot adaptation: from the shots of a segment, a shopper or a page to an adapter locked to its base."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
