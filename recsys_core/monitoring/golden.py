"""Golden requests: answered by what was trained, asked of the bundle when it is made and wherever it is served.

Another machine's arithmetic may differ in the last digits, an int8 encoder's in the second; what must not differ is who is
recommended.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys_core.artefacts import read_json
from recsys_core.serving import GOLDEN, Bundle, Recommendation

GOLDEN_K = 10
TOLERANCE = {"recommend": 0.01, "search": 0.5}  # logits


def self_test(bundle: Bundle) -> list[str]:
    """Ask every golden request and compare with the training side's answer.

    Args:
        bundle: with its golden.json.

    Returns:
        one phrase per request that is answered differently; empty: all is well.
    """
    faults = []
    for place, golden in enumerate(read_json(bundle.folder / GOLDEN)):
        request = golden["request"]
        tolerance = TOLERANCE["search" if "query" in request else "recommend"]
        found = {a.item_id: a.score for a in _ask(bundle, request)}
        wanted = dict(zip(golden["items"], golden["scores"], strict=True))
        floor = min(golden["scores"], default=0.0) + tolerance  # below it an item may have dropped out
        wrong = [item for item, score in wanted.items()
                 if abs(found.get(item, score if score <= floor else np.inf) - score) > tolerance]
        if wrong or len(found) != len(wanted):
            first = next(iter(wrong), "")
            what = f"item {first} scores {found[first]:.3f}, trained {wanted[first]:.3f}" if first in found else \
                f"item {first} is missing" if first else f"{len(found)} items, trained {len(wanted)}"
            faults.append(f"golden request {place} ({_name(request)}) is answered differently: {what}")
    return faults


def _ask(bundle: Bundle, request: dict[str, Any]) -> list[Recommendation]:
    return bundle.search(**request, k=GOLDEN_K) if "query" in request else bundle.recommend(**request, k=GOLDEN_K)


def _name(request: dict[str, Any]) -> str:
    """What a request is about, for people."""
    if "query" in request:
        return f"query {request['query'][:40]!r}"
    said = [f"{name} {request[name]}" for name in ("segment", "shelf") if request.get(name)]
    return ", ".join([f"{len(request['history'])} known events", *said])
