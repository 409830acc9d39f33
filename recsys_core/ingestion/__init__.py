"""Ingestion: whatever a shop delivers, as the contract's raw tables, one local day at a time."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
