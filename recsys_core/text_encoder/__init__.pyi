from .encoder import EncoderConfig, TextEncoder, load_encoder, pool
from .finetune import FinetuneConfig
from .multilingual import MULTILINGUAL
from .ngrams import NgramReader
from .pairs import PairConfig
from .pretrained import PACKAGED_MODEL, locate
from .scripts import UNKNOWN_LIMIT, check_reading
from .tune import TextEncoderArtefact, build_text_encoder
from .vectors import Encodes, VectorCache, cached_encode

__all__ = [
    "MULTILINGUAL", "PACKAGED_MODEL", "UNKNOWN_LIMIT", "EncoderConfig", "Encodes", "FinetuneConfig", "NgramReader", "PairConfig",
    "TextEncoder", "TextEncoderArtefact", "VectorCache", "build_text_encoder", "cached_encode",
    "check_reading", "load_encoder", "locate", "pool",
]
