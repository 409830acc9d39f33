"""One segment's or family's artefact: what is written, why there may be none, and that it is the same every time."""

import pickle
import shutil

import numpy as np
import polars as pl
import pytest

from recsys_core.adaptation.family import Family
from recsys_core.adaptation.segment import FAMILY, AdaptationConfig, adapt_segments, make_segment_adapter
from recsys_core.adaptation.study import PublishedStudy, Study
from recsys_core.artefacts import folder_hash, read_json
from recsys_core.errors import AdapterError, DataError
from recsys_core.evaluation.judging import judge_segments
from recsys_core.ingestion.config import SegmentSpec
from recsys_core.interactions.knots import KNOTS
from tests.adaptation.built import ADAPTATION, EVALUATION, SEGMENTS, built_shop, folder
from tests.adaptation.planted import CUTS, STORES, likes, make_catalogue, planted_study
from tests.elsewhere import Elsewhere

SHOP = make_catalogue()
UNIFORM = likes(SHOP)
CONFIG = AdaptationConfig(questions=60)
DOMAIN = SegmentSpec(name="kitchen", kind="domain", where="items.category = 'kitchen'")
TINY = SegmentSpec(name="tiny", kind="custom", where="users.region = 'north'")


@pytest.fixture(scope="module")
def built():
    return built_shop()


def planted(tastes, **options):
    return planted_study(tastes, segments=(DOMAIN, TINY), segment_items={
        "kitchen": SHOP.items.filter(SHOP.items["category"] == "kitchen")["item_id"].to_list()}, **options)


def adapt(study, place, *names, config=CONFIG):
    return adapt_segments({name: folder(place / name) for name in names}, study, config)


def test_stores_that_differ_get_a_family_that_is_trusted(tmp_path):
    study = planted({"dairy": likes(SHOP, category="dairy"), "home": likes(SHOP, category="home"), "any": UNIFORM})
    about = adapt(study, tmp_path, "store")["store"]
    assert (about["method"], about["reason"], about["by"], about["kind"]) == ("counts", "", "context.store", "family")
    assert (about["members"], about["events"], about["shots"]) == (3, 1200, 600)
    assert about["strengths"]["groups"][0] is not None and about["strengths"]["groups"][0] <= 100
    assert len(about["trust"]) == len(KNOTS) and min(about["trust"]) > 0.5
    family = Family.load(tmp_path / "store" / FAMILY, study.base.lock)
    assert [family.shots(member) for member in family.members] == [400] * 3  # what ships counts everything
    np.testing.assert_allclose(family.trust, about["trust"])
    for member in ("dairy", "home"):
        lifted = SHOP.items["category"].to_numpy()[np.argsort(-family.adapter(member).offsets(SHOP))[:20]]
        assert (lifted == member).all()


def test_the_strengths_come_out_on_the_side_that_was_planted(tmp_path):
    """Stores that differ by category need no single items, and stores that differ by items no category."""
    by_category = adapt(planted({"dairy": likes(SHOP, category="dairy"), "home": likes(SHOP, category="home")}),
                        tmp_path / "one", "store")["store"]["strengths"]
    rng = np.random.default_rng(0)
    own = {f"s{n}": likes(SHOP, items=rng.choice(144, 6, replace=False).tolist(), factor=80) for n in range(3)}
    by_item = adapt(planted(own, users=30), tmp_path / "two", "store")["store"]["strengths"]
    assert by_category["items"] is None and by_category["groups"][0] is not None
    assert by_item["items"] is not None and by_item["items"][0] <= 1000


def test_stores_that_buy_alike_stay_on_the_base(tmp_path):
    about = adapt(planted({f"s{n}": UNIFORM for n in range(4)}, users=10), tmp_path, "store")["store"]
    assert about["method"] == "base" and about["reason"].startswith("no adapter: ")
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["segment.json"]


def test_stores_that_change_their_taste_are_not_trusted(tmp_path):
    """What the shots say is the opposite of what is asked afterwards."""
    study = planted({"a": likes(SHOP, category="dairy"), "b": likes(SHOP, category="home")})
    other = planted({"a": likes(SHOP, category="home"), "b": likes(SHOP, category="dairy")})
    late = study.events.timestamp >= CUTS[0]
    study.events.item[late] = other.events.item[late]
    about = adapt(study, tmp_path, "store")["store"]
    assert about["method"] == "base" and about["trust"] == [0.0] * len(KNOTS)
    assert about["reason"] == "no adapter: the questions after its shots are answered better without them"


def test_too_few_shots_no_questions_and_no_window_are_told(tmp_path):
    study = planted({"dairy": likes(SHOP, category="dairy"), "home": likes(SHOP, category="home")})
    assert adapt(study, tmp_path, "tiny")["tiny"]["reason"] == "no adapter: 0 shots, needs 4"
    many = adapt(study, tmp_path / "b", "store", config=AdaptationConfig(min_shots=401))["store"]
    assert many["reason"] == "no adapter: 400 shots, needs 401"
    del study.base.plan["tiny"]
    assert adapt(study, tmp_path / "c", "tiny")["tiny"]["reason"].startswith("no window")
    with pytest.raises(DataError, match="neither a segment nor a family"):
        make_segment_adapter(tmp_path, study, "unheard of", CONFIG)


def test_a_segment_is_adapted_within_its_candidates(tmp_path):
    """A kitchen segment that buys the kitchen as everybody does has nothing to say, though it buys nothing else."""
    study = planted({"any": UNIFORM, "more": UNIFORM}, users=30)
    assert adapt(study, tmp_path, "kitchen")["kitchen"]["method"] == "base"


def test_the_planted_shop_end_to_end(built):
    method = {name: about["method"] for name, about in built.adapted.items()}
    assert method == {"toys": "base", "stationery": "base", "spring-fair": "counts", "new-shoppers": method["new-shoppers"],
                      "nobody": "base", "region": method["region"]}
    about = built.adapted["spring-fair"]
    assert about["window"]["shots_start"] > 0 and (about["by"], about["members"]) == ("", 1)
    family = Family.load(built.adapters()["spring-fair"] / FAMILY, built.base.lock)
    assert family.members == [""]
    line = np.isin(built.base.catalogue.items["material"].to_numpy(), ["glass", "copper"])
    offsets = family.adapter("").offsets(built.base.catalogue)
    assert offsets[line].mean() > offsets[~line].mean() + 1


def test_the_same_seed_gives_the_same_artefacts(built, tmp_path):
    again = adapt_segments({name: folder(tmp_path / name) for name in SEGMENTS}, built.study, ADAPTATION)
    for name in SEGMENTS:
        assert folder_hash(tmp_path / name) == folder_hash(built.adapters()[name])
        assert {key: again[name][key] for key in again[name] if key != "folder"} == \
            read_json(built.adapters()[name] / "segment.json")


def published(built) -> PublishedStudy:
    """The built shop's study, from its files."""
    tables = (pl.scan_parquet(built.root / "features" / name / "*.parquet") for name in ("interactions", "segment_events"))
    return PublishedStudy(built.base.folder, *tables, built.shop.config.segments, built.shop.config.families,
                          pl.scan_parquet(built.root / "users.parquet"))


def test_artefacts_do_not_depend_on_where_they_are_made(built, tmp_path):
    study, elsewhere = published(built), Elsewhere()
    adapt_segments({name: folder(tmp_path / "adapters" / name) for name in SEGMENTS}, study, ADAPTATION, elsewhere)
    judge_segments({name: folder(tmp_path / "evaluations" / name) for name in SEGMENTS}, study, built.adapters(),
                   built.root / "champion", EVALUATION, order_only=False, fan_out=elsewhere)
    for name in SEGMENTS:
        assert folder_hash(tmp_path / "adapters" / name) == folder_hash(built.adapters()[name])
        assert folder_hash(tmp_path / "evaluations" / name) == folder_hash(built.judged[name]["folder"])
    assert elsewhere.tasks == [len(SEGMENTS), 2 * len(SEGMENTS)]  # every segment is judged in two folds


def test_a_published_study_pickles_as_its_paths(built):
    sent = pickle.dumps(published(built))
    assert len(sent) < 50_000
    np.testing.assert_array_equal(pickle.loads(sent).events.timestamp, built.study.events.timestamp)


def test_a_family_of_another_base_is_refused(built, tmp_path):
    shutil.copytree(built.adapters()["spring-fair"] / FAMILY, tmp_path / FAMILY)
    with pytest.raises(AdapterError, match="encoder is"):
        Family.load(tmp_path / FAMILY, built.base.lock | {"encoder": "another"})


def test_shots_of_too_few_shoppers_make_no_adapter(tmp_path):
    study = planted({"dairy": likes(SHOP, category="dairy"), "home": likes(SHOP, category="home")}, users=4)
    [kitchen] = study.shots("kitchen", CUTS[0]).shoppers().tolist()
    reasons = {}
    for least in (4, 5):
        strict = Study(study.base, study.table, study.segment_events, [DOMAIN, TINY], [STORES], None, least)
        made = adapt(strict, tmp_path / str(least), "store", "kitchen", "tiny")
        reasons[least] = made["store"]["reason"]
        assert made["tiny"]["reason"].startswith("no adapter: 0 shots")
    assert (made["store"]["method"], made["store"]["shots"]) == ("base", 80) and not (tmp_path / "5" / "store" / FAMILY).exists()
    assert reasons[5] == "no adapter: no member has shots of more than 4 shoppers, needs 5" and "shoppers" not in reasons[4]
    assert made["kitchen"]["reason"] == f"no adapter: its shots come from {kitchen} shoppers, needs 5" and 0 < kitchen < 5
