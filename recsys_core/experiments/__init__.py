"""Experiments: who sees which variant, and what the logs say about it.

The service asks `Experiments.assign`, nothing else of this room is loaded while it serves. `recsys experiment report` asks
`report_experiment`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
