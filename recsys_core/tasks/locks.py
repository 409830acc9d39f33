"""What a task's adapter is locked to: whose vectors it was solved for, and how its own features are made."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def task_lock(encoder: Any, features: object) -> dict[str, str]:
    """Digests by name: the encoder's weights and reading, its tokenizer, and the kind's features (JSON)."""
    reading = {name: value for name, value in encoder.fingerprint.items() if name != "tokenizer"}
    digests = {name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
               for name, value in (("encoder", reading), ("features", features))}
    return {**digests, "tokenizer": encoder.fingerprint["tokenizer"]}
