from .span_adapter import SpanAdapter
from .spans import fit_spans
from .tokens import token_bounds

__all__ = ["SpanAdapter", "fit_spans", "token_bounds"]
