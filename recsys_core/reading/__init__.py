"""Reading: bytes to tables. What is inside a file, its records as text, and an independent count of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
