"""The model card of a bundle: README.md in the form that model hubs read, made from the evaluation's own results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recsys_core.evaluation import METHOD_NAMES, Results, SegmentResult
from recsys_core.ingestion import ShopConfig
from recsys_core.metrics import Interval
from recsys_core.text_encoder import MULTILINGUAL, PACKAGED_MODEL

CARD = "README.md"
# What packaged encoders are called where they come from.
PACKAGED_NAMES = {PACKAGED_MODEL: "sentence-transformers/all-MiniLM-L6-v2",
                  MULTILINGUAL: "google/universal-sentence-encoder-multilingual"}
METRICS = ("ndcg@10", "recall@10", "hr@10", "mrr@10")

TEMPLATE = """\
---
license: other
license_name: see-below
library_name: fewshot-recsys
base_model: {base_model}
pipeline_tag: text-ranking
tags: [recommender-system, search, few-shot, session-based]
---
# {shop}: recommendations and search

One folder that ranks the catalogue of the shop *{shop}* for a shopper, a query, or both, on a plain CPU. Scores are sums of
named parts, so each recommendation carries its reasons. Segments with a promoted adapter add a part of their own.

## Intended use

Ranking this shop's {items:,} items for its shoppers, and nothing else: other shops need their own bundle. Not for decisions
about people, such as credit, prices or access. Nothing in it says why a shopper wants an item.

## Training data

| | |
| :-- | :-- |
| shop | {shop} ({profile} profile) |
| days | {first_day} … {last_day} |
| positive events | {events:,} of {users:,} shoppers |
| items | {items:,} with {texts} distinct texts |
| impressions | {exposures:,} |

{windows}

## How good it is

The whole catalogue is ranked for every question of the report window. Means with 95% intervals over shoppers. The base that
was measured saw nothing of that window; what ships was refitted through the last day with the same settings.

{metrics}

{gains}

## Segments

{segments}

## Labelled tasks

None was learned.

## The query encoder

{student}

## Limitations

{limitations}

## Licences

{licences}

## Where it comes from

{lineage}

## How to load and verify it

```python
from recsys_core.serving import Bundle

bundle = Bundle.load("bundle", key="signing-key.pub.pem")  # the signature first, then every file's hash, then the files
bundle.recommend(["an item id"], k=10)
```

`recsys verify --bundle bundle --key signing-key.pub.pem` says what was checked. `model_signing verify key bundle --signature
bundle/model.sig --public_key signing-key.pub.pem` checks the same signature. No file is a pickle.
"""


def make_licences(encoder: str, shop: ShopConfig) -> dict[str, str]:
    """What each part of a bundle may be used under, as far as it is known.

    Args:
        encoder: the pretrained model's name.
        shop: its own statement about its data is repeated, none is made up.
    """
    name = PACKAGED_NAMES.get(encoder, encoder)
    return {"code": "Apache-2.0",
            "encoder": f"{name}: Apache-2.0" if name in PACKAGED_NAMES.values() else f"{name}: see that model's card",
            "data": shop.licence or "not stated by the shop (field `licence` of shop.yaml)"}


def model_card(results: Results, licences: Mapping[str, str], lineage: Mapping[str, Any]) -> str:
    """The card's text.

    Args:
        results: the evaluation, with the final decisions.
        licences: see `make_licences`.
        lineage: as in the manifest.
    """
    shop, encoder = results.shop, str(lineage.get("encoder", "unknown"))
    return TEMPLATE.format(
        base_model=PACKAGED_NAMES.get(encoder, encoder), shop=shop.name, profile=shop.profile,
        items=shop.items, first_day=shop.first_day, last_day=shop.last_day,
        events=shop.events, users=shop.users, exposures=shop.exposures,
        texts="unknown" if shop.distinct_texts is None else f"{shop.distinct_texts:,}",
        windows=_table(("window", "from", "to", "questions", "shoppers"),
                       [(w.name, w.first, w.last, f"{w.queries:,}", f"{w.users:,}") for w in results.windows]),
        metrics=_metrics(results), gains=_gains(results), segments=_segments(results.segments), student=_student(results),
        limitations=_bullets([*results.notes, *_limits(results)]),
        licences=_table(("part", "licence"), list(licences.items())),
        lineage=_table(("", ""), [(name, str(value)) for name, value in lineage.items() if not isinstance(value, Mapping)]))


def _metrics(results: Results) -> str:
    """Ours and the trivial rankers, on the same questions."""
    shown = [name for name in METRICS if any(name in row.metrics.get("all", {}) for row in results.methods)]
    rows = []
    for method in results.methods:
        cells = [method.metrics.get("all", {}).get(name) for name in shown]
        rows.append((METHOD_NAMES.get(method.method, method.method), *(_interval(cell, ".4f") for cell in cells)))
    return _table(("ranker", *shown), rows)


def _gains(results: Results) -> str:
    rows = [(METHOD_NAMES.get(gain.over, gain.over), _interval(gain.interval)) for gain in results.gains
            if gain.slice == "all" and gain.metric == results.metric]
    return _table((f"base minus …, {results.metric}", "difference"), rows)


def _segments(segments: list[SegmentResult]) -> str:
    """Promoted ones first; refused ones keep their reason: the base serves them."""
    if not segments:
        return "The shop declares none."
    order = sorted(segments, key=lambda one: (one.decision != "promoted", one.name))
    return _table(("segment", "decision", "history known", "gain on the report window", "reason"),
                  [(one.name, one.decision, ", ".join(one.audiences) or "nobody: the base serves",
                    _interval(one.gain), one.reason) for one in order])


def _student(results: Results) -> str:
    found = results.student
    if found is None:
        return "Not measured."
    facts = [("cosine to the teacher's vectors", found.cosine),
             ("share of the teacher's ten nearest texts kept", found.top10_overlap), ("megabytes", found.megabytes)]
    rows = [(name, "not measured" if value is None else f"{value:.3f}") for name, value in facts]
    return _table(("", ""), [*rows, *found.facts.items()])


def _limits(results: Results) -> list[str]:
    said = ["It was measured offline, on what shoppers did before lists from it were shown to anybody.",
            "Items are ranked by what was taken, so what was never shown or stocked ranks low."]
    if results.shop.order_only:
        said.append("The shop has no times: figures are of reverse positions, not of days.")
    return said if results.shop.profile == "full" else [*said, "It was made from a slice of the data, to try the chain out."]


def _interval(found: Interval | None, form: str = "+.4f") -> str:
    if found is None:
        return "not measured"
    low, high = found.to_json()["low"], found.to_json()["high"]
    bounds = "unbounded" if low is None or high is None else f"{low:{form}}, {high:{form}}"
    return f"{found.mean:{form}} [{bounds}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, (":--",) * len(head), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
