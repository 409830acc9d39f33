from .encoder import UNKNOWN_LIMIT, EncoderConfig, TextEncoder, check_reading, load_encoder, pool
from .finetune import FinetuneConfig
from .ngrams import NgramReader
from .pairs import PairConfig
from .pretrained import PACKAGED_MODEL, locate
from .schedule import affordable_steps, learning_rate
from .tune import TextEncoderArtefact, build_text_encoder
from .vectors import Encodes, VectorCache, cached_encode

__all__ = [
    "PACKAGED_MODEL", "UNKNOWN_LIMIT", "EncoderConfig", "Encodes", "FinetuneConfig", "NgramReader", "PairConfig",
    "TextEncoder", "TextEncoderArtefact", "VectorCache", "affordable_steps", "build_text_encoder", "cached_encode",
    "check_reading", "learning_rate", "load_encoder", "locate", "pool",
]
