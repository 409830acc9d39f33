"""The text encoder: a pretrained language model, fine-tuned on what is taken together."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
