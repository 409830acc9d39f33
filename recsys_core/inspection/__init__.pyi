from .inspection import inspect_shop

__all__ = ["inspect_shop"]
