"""Answering requests from a published bundle."""

from recsys_core.serving.bundle import Bundle, Recommendation

__all__ = ["Bundle", "Recommendation"]
