"""What shapes an answer and explains it: business rules, contributions, one sentence, similar items, a shopper's profile."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
