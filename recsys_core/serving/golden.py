"""Golden requests: asked when a bundle is made, asked again wherever it is served.

Another machine's arithmetic may differ in the last digits, an int8 encoder's in the second; what
must not differ is who is recommended.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys_core.artefacts import read_json
from recsys_core.serving.answers import Recommendation
from recsys_core.serving.bundle import Bundle
from recsys_core.serving.files import GOLDEN

K = 10
KNOWN = {"none": 0, "little": 2, "full": 5}  # steps known of a golden request's shopper, by audience
TOLERANCE = {"recommend": 0.01, "search": 0.5}  # logits


def golden_requests(bundle: Bundle) -> list[dict[str, Any]]:
    """A few requests that touch every path: no history, short and longer ones, segments, families, a shelf, search."""
    catalogue, popularity = bundle.catalogue, bundle.popularity
    best = [catalogue.item_ids[row] for row in np.lexsort((np.arange(len(popularity)), -popularity))[:5]]
    requests: list[dict[str, Any]] = [{"history": history} for history in ([], best[:1], best)]
    for name, segment in sorted(bundle.segments.items()):
        if segment["decision"] == "promoted":
            requests.append({**_member_request(bundle, name, segment), "history": best[:KNOWN[segment["audiences"][0]]],
                             "segment": name, "at": f"{segment['start']}T12:00:00" if segment["start"] else None})
    for shelf in bundle.parts.shelves.names[:1]:
        opened = bundle.parts.shelves.opened(shelf)
        requests.append({"history": best[:2], "shelf": shelf, "at": f"{opened}T12:00:00" if opened else None})
    titles = catalogue.items["title"].to_list()
    requests += [{"query": titles[catalogue.row_of[item]][:100]} for item in best[:2]
                 if (titles[catalogue.row_of[item]] or "").strip()]
    return requests


def _member_request(bundle: Bundle, name: str, segment: dict[str, Any]) -> dict[str, Any]:
    """What a request says to be answered by a family's first member; nothing for a segment."""
    if segment["by"] is None:
        return {}
    table, column = segment["by"].split(".", 1)
    return {"user" if table == "users" else "context": {column: bundle.parts.router.members[name][0]}}


def ask(bundle: Bundle, request: dict[str, Any]) -> list[Recommendation]:
    """Send one golden request."""
    return bundle.search(**request, k=K) if "query" in request else bundle.recommend(**request, k=K)


def record_golden(bundle: Bundle) -> list[dict[str, Any]]:
    """The golden requests with this bundle's answers, as golden.json keeps them."""
    answers = [(request, ask(bundle, request)) for request in golden_requests(bundle)]
    return [{"request": request, "items": [a.item_id for a in answer], "scores": [a.score for a in answer]}
            for request, answer in answers]


def self_test(bundle: Bundle) -> list[str]:
    """Ask every golden request again.

    Args:
        bundle: with its golden.json.

    Returns:
        one phrase per request that is answered differently; empty: all is well.
    """
    faults = []
    for place, golden in enumerate(read_json(bundle.folder / GOLDEN)):
        tolerance = TOLERANCE["search" if "query" in golden["request"] else "recommend"]
        found = {a.item_id: a.score for a in ask(bundle, golden["request"])}
        floor = min(golden["scores"], default=0.0) + tolerance  # below it an item may have dropped out
        wrong = [item for item, score in zip(golden["items"], golden["scores"], strict=True)
                 if abs(found.get(item, score if score <= floor else np.inf) - score) > tolerance]
        if wrong or len(found) != len(golden["items"]):
            which = ", ".join(wrong[:3]) or "length"
            faults.append(f"golden request {place} is answered differently ({which})")
    return faults
