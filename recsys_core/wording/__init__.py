"""What is said of items, and to shoppers: descriptions, a checker of what a text claims, a small assistant."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
