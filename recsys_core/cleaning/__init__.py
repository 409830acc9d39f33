"""Cleaning: raw tables in, clean tables out; rows that cannot be right go to quarantine with their reason."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
