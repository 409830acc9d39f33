"""Inspection: what lies in a shop's folder, and the `shop.yaml` to start from."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
