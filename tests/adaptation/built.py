"""The planted shop taken through every stage up to the report once per test session, with a tiny encoder."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import polars as pl

from recsys_core.adaptation.segment import AdaptationConfig, adapt_segments
from recsys_core.adaptation.study import Study
from recsys_core.artefacts import write_json
from recsys_core.base_model.model import BaseConfig, BaseModelArtefact, build_base, plan_shop
from recsys_core.cleaning.events import CleaningConfig, clean_events
from recsys_core.cleaning.items import clean_items
from recsys_core.deployment.searching import LearnedSearch, write_search
from recsys_core.distillation.build import StudentConfig, build_student
from recsys_core.evaluation.judging import judge_segments
from recsys_core.evaluation.results import Results
from recsys_core.evaluation.segments import EvaluationConfig
from recsys_core.evaluation.summary import Evidence, make_results
from recsys_core.features import FeatureConfig, Inputs, build_features, read_features
from recsys_core.ingestion.config import FamilySpec
from recsys_core.ingestion.opening import open_shop
from recsys_core.interactions.windows import Window, WindowConfig
from recsys_core.schema import JUDGMENTS
from recsys_core.text_encoder.encoder import EncoderConfig
from recsys_core.text_encoder.finetune import FinetuneConfig
from recsys_core.text_encoder.lora import LoraSettings
from recsys_core.text_encoder.pairs import PairConfig
from recsys_core.text_encoder.tune import TextEncoderArtefact, build_text_encoder
from recsys_core.text_encoder.vectors import VectorCache
from tests.shops import DEPARTMENTS, planted_shop
from tests.text_encoder.tiny_encoder import write_tiny_bert

FAMILY = FamilySpec(name="region", by="users.region")  # regions buy alike
SEGMENTS = ["toys", "stationery", "spring-fair", "new-shoppers", "nobody", FAMILY.name]
ADAPTATION, EVALUATION = AdaptationConfig(), EvaluationConfig()


@dataclass(frozen=True)
class Built:
    """Folders and records of one finished chain; read only."""

    root: Path
    shop: SimpleNamespace
    tables: dict[str, pl.DataFrame]
    items: pl.DataFrame
    plan: dict[str, Window]
    encoder: TextEncoderArtefact
    base: BaseModelArtefact
    study: Study
    adapted: dict[str, dict]

    @functools.cached_property
    def judged(self) -> dict[str, dict]:
        """Every segment's evaluation; written when first asked for."""
        return judge_segments({name: folder(self.root / "evaluations" / name) for name in SEGMENTS}, self.study,
                              self.adapters(), self.root / "champion", EVALUATION, order_only=False)

    @functools.cached_property
    def search(self) -> LearnedSearch:
        """Learned from the catalogue's own queries; the student is written before."""
        build_student(folder(self.root / "student"), self.encoder.load(), self.items, [],
                      StudentConfig(max_queries=100), 0, VectorCache(self.root / "cache"))
        return learn_of(self.base, self.root, self.root / "search_model")

    @functools.cached_property
    def results(self) -> Results:
        """The report's figures; student, search and evaluations are written when first asked for."""
        assert self.search
        evaluations = {name: self.judged[name]["folder"] for name in SEGMENTS}
        write_json(folder(self.root / "tasks") / "tasks.json", {"tasks": {}})
        evidence = Evidence(self.root / "encoder-0", self.root / "student", self.root / "search_model", self.root / "tasks",
                            evaluations, self.tables["exposures"], {})
        return make_results(self.study, evidence, self.shop.config, "full", EVALUATION)

    def adapters(self) -> dict[str, Path]:
        return {name: self.root / "adapters" / name for name in SEGMENTS}


def shop_words() -> list[str]:
    """Every word of the planted shop's texts."""
    told = ["a for the shelf alder birch cedar . , > :"]
    told += [" ".join([name, *materials, *products]) for name, materials, products in DEPARTMENTS.values()]
    return sorted(set(" ".join(told).lower().split()))


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def tuned(root: Path, shop: Built | SimpleNamespace, seed: int = 0) -> TextEncoderArtefact:
    """A text encoder of the shop: a random BERT whose words are the shop's, not fine-tuned."""
    model = write_tiny_bert(root / f"pretrained-{seed}", seed=seed, words=shop_words())
    place = folder(root / f"encoder-{seed}")
    build_text_encoder(place, items=shop.items, interactions=shop.tables["interactions"], plan=shop.plan,
                       encoder=EncoderConfig(model=str(model), dtype="float32", device="cpu"), pairs=PairConfig(),
                       finetune=FinetuneConfig(max_steps=0, lora=LoraSettings(freeze_layers=0)), seed=seed)
    return TextEncoderArtefact(place)


def based(place: Path, root: Path, shop: Built | SimpleNamespace, encoder: TextEncoderArtefact,
          cutoff: int | None = None) -> BaseModelArtefact:
    """The base model on an encoder, its vectors cached below `root`."""
    tables = shop.tables
    build_base(folder(place), encoder=encoder.load(), items=shop.items, interactions=tables["interactions"],
               encoder_cutoff=encoder.about["cutoff"] if cutoff is None else cutoff,
               exposures=tables["exposures"], item_features=tables["item_features"], plan=shop.plan,
               cache=VectorCache(root / "cache"), config=BaseConfig())
    return BaseModelArtefact(place)


def learn_of(base: BaseModelArtefact, root: Path, place: Path) -> LearnedSearch:
    """The search of a base, with the student below `root`, without judgments and searches."""
    return write_search(folder(place), base, root / "student", {}, pl.DataFrame(schema=JUDGMENTS))


@functools.cache
def built_shop() -> Built:
    """Ingest, clean, encode, fit and adapt the planted shop of 180 shoppers."""
    root = Path(tempfile.mkdtemp(prefix="recsys-built-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    opened = open_shop(planted_shop(root / "shop", users=180, impressions=False))
    config = opened.config.model_copy(update={"families": (FAMILY,)})
    items = clean_items(opened.items())
    days, place = {}, folder(root / "clean")
    for drop in opened.events():
        days[str(drop.day)] = place / f"{drop.day}.parquet"
        clean_events(drop.events, items["item_id"], CleaningConfig(), drop.day).events.write_parquet(days[str(drop.day)])
    inputs = Inputs(items, opened.users(), config.segments, config.context)
    made = build_features(root / "features", days, inputs, FeatureConfig())
    tables = {name: read_features(root / "features", name).collect() for name in made}
    opened.users().write_parquet(root / "users.parquet")
    plan = plan_shop(tables["interactions"], list(config.segments), WindowConfig(), families=[FAMILY.name],
                     time_zone="UTC", order_only=False)
    shop = SimpleNamespace(config=config, users=opened.users(), items=items, tables=tables, plan=plan)
    encoder = tuned(root, shop)
    base = based(root / "base", root, shop, encoder)
    study = Study(base, tables["interactions"], tables["segment_events"], config.segments, config.families, shop.users)
    adapted = adapt_segments({name: folder(root / "adapters" / name) for name in SEGMENTS}, study, ADAPTATION)
    return Built(root, shop, tables, items, plan, encoder, base, study, adapted)
