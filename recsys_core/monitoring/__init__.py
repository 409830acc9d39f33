"""Whether what is served still looks like what was judged: reference profiles, drift, alert rules."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
