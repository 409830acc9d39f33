"""The HTTP service: one app per worker, workers that share a bundle's memory, and a supervisor that swaps bundles."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
