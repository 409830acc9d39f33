"""A bundle of twenty items, made by the real writer from a real ranker and real families.

Planted: everybody who takes `k0` takes `g0` next; `k1` and `k2` share one text and were never
taken; `t0` is the most popular item. Only the query encoder is a stand-in: it adds up one fixed
random vector per word, so equal words are near and the tests need no ONNX.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.adapter import Adapter
from recsys_core.adaptation.closed_form import Strengths
from recsys_core.adaptation.family import Family
from recsys_core.adaptation.items import ItemPrior
from recsys_core.adaptation.solved import Ragged, Solved
from recsys_core.artefacts import read_json, write_json
from recsys_core.base_model.fit import fit_ranker
from recsys_core.base_model.ranker import RankerConfig
from recsys_core.deployment.bundle import BundleConfig
from recsys_core.deployment.golden import Trained, trust_promoted
from recsys_core.interactions.arrays import Catalogue, Interactions, make_interactions, make_queries
from recsys_core.retrieval.lexical import build_lexical
from recsys_core.retrieval.search import SearchConfig
from recsys_core.spans.spans import fit_spans
from recsys_core.tasks.classes import fit_classes
from recsys_core.tasks.item_attributes import extract_attributes
from recsys_core.words import tokenize

LOCK = {"encoder": "e" * 64, "tokenizer": "t" * 64, "features": "f" * 64}
TITLES = {
    "k0": "Steel mug", "k1": "Glass teapot", "k2": "Glass teapot", "k3": "Bamboo board", "k4": "Enamel bowl",
    "g0": "Zinc planter", "g1": "Solar lantern", "g2": "Oak bench", "g3": "Copper can", "g4": "Clay pot",
    "t0": "Wooden train", "t1": "Plush dinosaur", "t2": "Magnet puzzle", "t3": "Race car",
    "t4": "Doll house",
    "d0": "Green olives", "d1": "Goat cheese", "d2": "Smoked ham", "d3": "木製おもちゃ", "d4": "Fig jam",
}
DEPARTMENTS = {"k": "Kitchen", "g": "Garden", "t": "Toys", "d": "Deli"}
START = datetime(2024, 3, 1, tzinfo=UTC)


class WordEncoder:
    """Stands in for the student: a sum of one random vector per word, normalised."""

    dim = 16
    fingerprint: ClassVar = {"weights": "o" * 64, "tokenizer": "t" * 64, "dim": 16}

    @classmethod
    def load(cls, folder: Path, verified: bool = False) -> WordEncoder:
        assert (Path(folder) / "student.json").exists()
        return cls()

    def encode(self, texts: list[str]) -> np.ndarray:
        rows = [sum((_word(w) for w in tokenize(t)), np.full(16, 1e-3)) for t in texts]
        return (np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _word(word: str) -> np.ndarray:
    return np.random.default_rng(int(hashlib.sha256(word.encode()).hexdigest()[:8], 16)).normal(size=16)


def use_word_encoder(monkeypatch) -> None:
    """Let bundles find the stand-in where they look for the student."""
    monkeypatch.setattr("recsys_core.student.load_student", WordEncoder.load)
    monkeypatch.setattr("recsys_core.student.OnnxEncoder", WordEncoder)


def tiny_catalogue() -> Catalogue:
    items = pl.DataFrame({
        "item_id": list(TITLES), "title": list(TITLES.values()), "text": list(TITLES.values()),
        "department": [DEPARTMENTS[i[0]] for i in TITLES],
        "category": [f"{DEPARTMENTS[i[0]]} > {TITLES[i].split()[-1]}" for i in TITLES],
        "price": [float(n) for n in range(20)], "description": None, "brand": "Alder",
    }, schema_overrides={"description": pl.String}).sort("item_id")
    texts = items["text"].unique().sort().to_list()
    rows = {text: row for row, text in enumerate(texts)}
    return Catalogue(items, np.array([rows[t] for t in items["text"]], np.int32), WordEncoder().encode(texts))


def tiny_events() -> pl.DataFrame:
    rows = []
    for user in range(30):
        others = [i for i in TITLES if i not in ("k1", "k2")]
        basket = ["k0", "g0", "t0", others[user % len(others)], others[(7 * user) % len(others)], "t0"]
        rows += [{"event_id": f"{user}-{n}", "user_id": f"u{user:02d}", "item_id": item,
                  "timestamp": START + timedelta(days=user % 5, hours=n), "event_type": "purchase",
                  "session_id": f"s{user}"} for n, item in enumerate(basket)]
    return pl.DataFrame(rows)


def tiny_adapter(segment: str, favourites: list[str]) -> Adapter:
    """Pulls the favourites up by three logits."""
    return Adapter(segment, "closed_form", LOCK, np.zeros(16, np.float32), item_ids=tuple(favourites),
                   item_values=np.full(len(favourites), 3.0, np.float32), settings={"shots": 8})


def tiny_family(name: str, favourites: dict[str, list[str]], lock: dict[str, str] = LOCK) -> Family:
    """One adapter per member, each pulling its favourites up by three logits; a member without favourites has no shots."""
    item_ids = sorted({item for items in favourites.values() for item in items})
    entry = np.array([item_ids.index(item) for items in favourites.values() for item in items], np.int32)
    sizes = np.array([len(items) for items in favourites.values()])
    items = Ragged(np.r_[0, sizes.cumsum()].astype(np.int64), entry, np.full(len(entry), 3.0, np.float32))
    solved = Solved((), np.zeros((0, 16), np.float32), item_ids, items, 8 * np.minimum(sizes, 1).astype(np.int64))
    trust = np.array(TRUST.get(name, [1.0] * 7), np.float32)
    strengths, stages = Strengths((), None, ItemPrior(30.0, 0.0)), {"items": 30.0, "rare_items": 0.0}
    return Family(name, BY.get(name) or "", lock, trust, strengths, stages, list(favourites), solved)


FAVOURITES = {"deli": {"": ["d1", "d2"]}, "easter": {"": ["g1"]}, "north": {"": ["t3"]}, "new": {"": ["t1"]},
              "store": {"367": ["t4"], "412": ["g4"], "500": []}}
EVERYBODY = ["none", "little", "full"]
ROUTING = [
    {"name": "deli", "kind": "domain", "decision": "promoted", "reason": "pays", "share": 0.2, "audiences": EVERYBODY,
     "candidates": "(items.department = 'Deli')"},
    {"name": "toys", "kind": "domain", "decision": "refused", "reason": "does not pay", "share": 0.2,
     "candidates": "(items.department = 'Toys')"},
    {"name": "easter", "kind": "scene", "decision": "promoted", "reason": "pays", "share": 0.1, "audiences": EVERYBODY,
     "start": "2024-03-25", "end": "2024-04-01"},
    {"name": "north", "kind": "custom", "decision": "promoted", "reason": "pays", "share": 0.3, "audiences": EVERYBODY,
     "asked": "(users.region = 'north') AND (users.children >= 2)"},
    {"name": "new", "kind": "new_users", "decision": "promoted", "reason": "pays", "share": 0.05,
     "audiences": ["none", "little"], "first_days": 14, "max_steps": 2},
    {"name": "store", "kind": "family", "by": "context.store", "decision": "promoted", "reason": "pays", "share": 0.04,
     "audiences": ["none", "little"]},
]
TRUST = {"store": [1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2]}  # at the knots of known steps; elsewhere 1
BY = {route["name"]: route.get("by") for route in ROUTING}
SHELVES = pl.DataFrame(
    [("campaign", "d0", date(2024, 3, 20), date(2024, 4, 10)), ("campaign", "d1", date(2024, 4, 1), None),
     ("campaign", "gone", None, None), ("window", "k0", None, None), ("window", "g3", None, None),
     ("new-arrivals", "g4", date(2024, 3, 5), date(2024, 4, 1))],
    schema={"shelf": pl.String, "item_id": pl.String, "first_day": pl.Date, "last_day": pl.Date}, orient="row")
USERS = pl.DataFrame({"user_id": ["anna", "bert"], "region": ["north", "south"], "children": [2, 3],
                      "secret": ["x", "y"]})


def tiny_golden(catalogue: Catalogue, events: Interactions, blend: np.ndarray) -> list[dict]:
    """What was trained answers a few requests, before anything is written."""
    whom = {route["name"]: route["audiences"] for route in ROUTING if route["decision"] == "promoted"}
    families = {name: trust_promoted(tiny_family(name, FAVOURITES[name]), audiences) for name, audiences in whom.items()}
    texts = ["steel mug", "clay pot"]
    trained = Trained(catalogue, fit_ranker(events, catalogue, RankerConfig(), weights=blend), families, None, SHELVES,
                      dict(zip(texts, WordEncoder().encode(texts).tolist(), strict=True)),
                      build_lexical(catalogue.items, catalogue.text_of_item), SearchConfig(),
                      "America/New_York", "purchase")
    on_a_day = {"at": "2024-03-29T12:00:00", "history": [{"item_id": "k0", "event_type": "purchase", "timestamp": "2024-03-02"}]}
    requests = [{"history": []}, {"history": ["k0", "g0"]}, on_a_day, {**on_a_day, "shelf": "campaign"},
                {**on_a_day, "segment": "store", "context": {"store": "367"}},
                *({**on_a_day, "segment": name} for name in FAVOURITES if name != "store"), *({"query": text} for text in texts)]
    return [trained.answer(request) for request in requests]


def write_tiny_tasks(folder: Path) -> None:
    """Two tasks as if they were proven, and a refused one."""
    encoder, items = WordEncoder(), ["mug", "teapot", "board", "bowl", "planter", "lantern"]
    asks = {"find": ["show me a {}", "a glass {}", "do you sell a {}"], "delivery": ["where is my order of a {}",
            "when will my {} arrive", "where is my {} now"]}
    rows = [(ask.format(item), label) for label, texts in asks.items() for ask in texts for item in items]
    fit_classes(encoder, [text for text, _ in rows], [label for _, label in rows], task="intent").save(folder / "intent")
    titles = [title for title in TITLES.values() if title.isascii()]
    spans = [[("material", title.split()[0])] for title in titles]
    fit_spans(encoder, titles, spans, [None] * len(titles), task="attributes").save(folder / "attributes")
    proven = {"proven": True, "reason": "it pays", "examples": 36, "names": []}
    write_json(folder / "tasks.json", {"set_aside": 0, "aside": [], "tasks": {
        "intent": {**proven, "kind": "classes"}, "attributes": {**proven, "kind": "spans"},
        "mood": {"proven": False, "kind": "classes", "reason": "words do as well", "examples": 9}}})


def tiny_attributes(folder: Path, items: pl.DataFrame) -> pl.DataFrame:
    """What the tiny task of spans reads off the items' texts."""
    with pytest.MonkeyPatch.context() as patch:
        use_word_encoder(patch)
        told = read_json(folder / "tasks" / "tasks.json")["tasks"]
        return extract_attributes(folder / "tasks", told, folder / "student", items)


def tiny_arguments(folder: Path) -> dict:
    """Everything `write_bundle` takes, written below `folder`."""
    catalogue = tiny_catalogue()
    events = make_interactions(tiny_events(), catalogue)
    newest = int(np.quantile(events.timestamp, 0.9, method="lower"))
    blend = fit_ranker(events.before(newest), catalogue, RankerConfig(), validation=make_queries(events, newest, 2**40)).weights
    fit_ranker(events, catalogue, RankerConfig(), weights=blend).save(folder / "ranker")
    (folder / "student").mkdir(parents=True)
    write_json(folder / "student" / "student.json", {"serves": "static"})
    (folder / "student" / "static" / "tokenizer.json").parent.mkdir()
    write_json(folder / "student" / "static" / "tokenizer.json", {})
    (folder / "student" / "onnx").mkdir()
    write_json(folder / "student" / "onnx" / "student.json", {})
    write_tiny_tasks(folder / "tasks")
    for name, favourites in FAVOURITES.items():
        tiny_family(name, favourites).save(folder / "families" / name)
    return {
        "catalogue": catalogue, "ranker_folder": folder / "ranker", "student_folder": folder / "student",
        "families": {name: folder / "families" / name for name in FAVOURITES}, "routing": ROUTING, "shelves": SHELVES,
        "lock": LOCK, "metrics": {"ndcg@10": 0.5}, "lineage": {"shop": "tiny", "last_day": "2024-03-05"},
        "golden": tiny_golden(catalogue, events, blend), "requests": [{"history": ["k0"]}, {"history": []}],
        "licences": {"encoder": "Apache-2.0"}, "card": "# tiny\n", "windows": {"judged": {}, "shipped": {}}, "users": USERS,
        "histories": events, "tasks": folder / "tasks",
        "attributes": tiny_attributes(folder, catalogue.items),
        "config": BundleConfig(time_zone="America/New_York", context=("store", "weather"))}
