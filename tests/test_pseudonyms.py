"""Under a key, no shop's id is written anywhere, answers stay the same, and another key is refused or followed."""

import hashlib
import hmac
import io
import json
import shutil
from datetime import UTC, date, datetime

import polars as pl
import pytest

from assets.partitions import Home
from recsys_core.cli.main import main
from recsys_core.collection import CollectedShop, EventLog, SessionConfig, SqliteSessions, read_erased, read_unwanted
from recsys_core.collection.erased import add_erased, without_erased
from recsys_core.collection.rekey import rekey_collected
from recsys_core.deployment.bundle import write_bundle
from recsys_core.deployment.erasure import erase_user
from recsys_core.errors import BundleError, RecsysError, ShopError
from recsys_core.ingestion import open_shop
from recsys_core.interactions.arrays import make_interactions
from recsys_core.pseudonyms import FORM, PRESENT, PREVIOUS, UserKey, UserKeys, common_key, digest_id
from recsys_core.serving import Bundle
from tests.serving.tiny import USERS, tiny_arguments, tiny_catalogue, tiny_events, use_word_encoder

FIRST, SECOND = "first key of the shop", "second key of the shop"
ONE, TWO = UserKey(FIRST.encode()), UserKey(SECOND.encode())
EVENTS = ("user_id,session_id,timestamp,event_type,item_id\n"
          " anna ,s1-anna,2024-01-01T10:00:00,view,a\n"
          "anna,s1-anna,2024-01-01T11:00:00,view,b\n"
          "bert,s2,2024-01-01T12:00:00,view,a\n,s3,2024-01-01T12:00:00,view,a\nanna,broken\n")


@pytest.fixture
def folder(tmp_path):
    """A shop of two shoppers, one guest, and one line that cannot be read and names a shopper."""
    shop = tmp_path / "shop"
    (shop / "events").mkdir(parents=True)
    (shop / "items.csv").write_text("item_id,title\na,Mug\nb,Pot\n")
    (shop / "users.csv").write_text("user_id,region,contact\nanna,north,write to anna@mail.org\nbert,south,\n")
    (shop / "events" / "2024-01-01.csv").write_text(EVENTS)
    return shop


def keyed(monkeypatch, present=FIRST, previous=None):
    for name, key in ((PRESENT, present), (PREVIOUS, previous)):
        monkeypatch.delenv(name, raising=False) if key is None else monkeypatch.setenv(name, key)
    return UserKeys.from_environment()


def read(shop):
    return pl.concat([drop.events for drop in shop.events()]), pl.concat([drop.rejects for drop in shop.events()])


def test_a_pseudonym_is_the_keyed_hash_of_the_id_and_tells_which_key():
    digest = hmac.new(FIRST.encode(), b"anna", hashlib.sha256).hexdigest()
    assert ONE.name("anna") == f"u_{ONE.fingerprint}_{digest[:24]}" and FORM.fullmatch(ONE.name("anna"))
    assert ONE.name(ONE.name("anna")) == ONE.name("anna") and ONE.fingerprint != TWO.fingerprint
    assert FIRST not in repr(UserKeys(ONE, TWO))
    assert UserKeys().stored("anna") == "anna" and UserKeys(TWO, ONE).stored(ONE.name("anna")) == ONE.name("anna")
    assert UserKeys(TWO, ONE).names("anna") == ("anna", ONE.name("anna"), TWO.name("anna"))


def test_the_command_names_shoppers_as_tables_do(monkeypatch, capsys):
    keyed(monkeypatch)
    monkeypatch.setattr("sys.stdin", io.StringIO("anna\n bert \n"))
    assert main(["pseudonym"]) == main(["pseudonym", "anna"]) == 0
    assert capsys.readouterr().out.split() == [ONE.name("anna"), ONE.name("bert"), ONE.name("anna")]
    monkeypatch.delenv(PRESENT)
    assert main(["rekey"]) == 1 and "RECSYS_USER_KEY: is not set" in capsys.readouterr().err


@pytest.mark.parametrize(("present", "previous", "says"), [
    ("short", None, "RECSYS_USER_KEY: holds 5 bytes"), (FIRST, "x" * 15, "RECSYS_USER_KEY_PREVIOUS: holds 15 bytes"),
    (None, FIRST, "RECSYS_USER_KEY_PREVIOUS: is set and RECSYS_USER_KEY is not")])
def test_keys_that_cannot_be_meant_are_refused_by_their_variable(monkeypatch, present, previous, says):
    with pytest.raises(RecsysError, match=says) as error:
        keyed(monkeypatch, present, previous)
    assert error.value.fix and FIRST not in str(error.value)


def test_a_column_is_renamed_once_per_id_as_cleaning_trims_it():
    found = UserKeys(ONE).rename(pl.Series("user_id", [" anna ", "anna", None, "", "  ", ONE.name("bert")]))
    assert UserKeys(ONE).rename(pl.Series([None, None], dtype=pl.String)).to_list() == [None, None]
    assert found.name == "user_id" and found.to_list() == [ONE.name("anna")] * 2 + [None] * 3 + [ONE.name("bert")]


def test_raw_tables_name_shoppers_by_pseudonyms_and_broken_lines_show_nothing(folder):
    plain, named = open_shop(folder), open_shop(folder, keys=UserKeys(ONE))
    before, after = read(plain)[0], read(named)[0]
    assert after["user_id"].to_list() == [ONE.name("anna")] * 2 + [ONE.name("bert"), None]
    ids = ("user_id", "event_id", "session_id")
    assert before.drop(ids).equals(after.drop(ids)) and after["session_id"][2:].to_list() == ["s2", "s3"]
    assert after["session_id"][0] == after["session_id"][1] and not after["session_id"].str.contains("anna").any()
    assert not set(before["event_id"][:3]) & set(after["event_id"][:3])  # made from the row's content
    assert plain.users().height == 2 and named.users()["user_id"].to_list() == [ONE.name("anna"), ONE.name("bert")]
    rejects = read(named)[1]
    assert rejects.height == 1 and "anna" in read(plain)[1]["text"][0]
    assert "anna" not in str(rejects.rows()) + str(named.ledger) and named.ledger["2024-01-01.csv"].set_aside == 1


def test_contact_data_in_the_users_table_is_masked(folder):
    assert open_shop(folder).users()["contact"].to_list() == ["write to [email]", None]
    (folder / "users.csv").write_text("user_id,since\nanna,2024-01-01 10:00:00\nbert,2024-01-02 11:00:00\n")
    assert open_shop(folder).users()["since"].to_list() == ["2024-01-01 10:00:00", "2024-01-02 11:00:00"]


def test_messages_and_queries_of_labels_are_masked_but_not_where_a_span_is_marked(folder):
    (folder / "labels.csv").write_text("task,text,query,label,span\nintent,I am ann@x.org,ann@x.org mug,order,\n"
                                       "sku,part 123456789,,number,123456789\n")
    (folder / "judgments.csv").write_text("query,item_id,gain\nmug for ann@x.org,a,1\n")
    labels = open_shop(folder).labels()
    assert labels["text"].to_list() == ["I am [email]", "part 123456789"] and labels["query"].to_list() == ["[email] mug", None]
    assert open_shop(folder).judgments()["query"].to_list() == ["mug for [email]"]


@pytest.mark.parametrize(("file", "text", "says"), [
    ("shop.yaml", "segments: [{name: vip, kind: custom, where: \"users.user_id = 'anna'\"}]\n", "reads user_id"),
    ("users.csv", "user_id,number\nanna,anna\nbert,bert\n", "'number' repeats")])
def test_what_would_need_or_keep_the_plain_id_is_refused_under_a_key(folder, file, text, says):
    (folder / file).write_text(text)
    open_shop(folder).users()
    with pytest.raises(ShopError, match=says):
        open_shop(folder, keys=UserKeys(ONE)).users()


def test_ids_that_do_not_meet_are_told_without_any(folder, caplog):
    (folder / "users.csv").write_text("user_id,region\nANNA,north\nBERT,south\n")
    with pytest.raises(ShopError, match="upper and lower case differ") as error:
        open_shop(folder, keys=UserKeys(ONE)).users()
    assert "anna" not in str(error.value).lower() + caplog.text.lower()


def test_collected_days_keep_their_pseudonyms_and_plain_ones_get_theirs(folder, tmp_path):
    log = EventLog(tmp_path / "collected", UTC, clock=lambda: datetime(2024, 1, 2, 12, tzinfo=UTC).timestamp())
    log.add_events([{"user_id": user, "event_type": kind, "item_id": "a"} for user in (ONE.name("anna"), "bert")
                    for kind in ("click", "thumbs_down")])
    shop = CollectedShop(open_shop(folder, keys=UserKeys(ONE)), tmp_path / "collected", today=date(2024, 1, 5))
    [drop] = shop.events(date(2024, 1, 2))
    assert drop.events["user_id"].to_list() == [ONE.name("anna"), ONE.name("bert")]
    assert set(read_unwanted(tmp_path / "collected", UserKeys(ONE))) == {(ONE.name(user), "a") for user in ("anna", "bert")}


def test_a_rotation_is_followed_by_the_logs_the_sessions_and_the_erased(folder, tmp_path):
    keys, home = UserKeys(TWO, ONE), tmp_path / "home"
    log = EventLog(home / "collected", UTC, clock=lambda: datetime(2024, 1, 2, 12, tzinfo=UTC).timestamp())
    click = {"event_type": "click", "item_id": "a"}
    log.add_events([{**click, "user_id": user} for user in (ONE.name("anna"), "bert", ONE.name("guest"), TWO.name("anna"))])
    log.add_exposures([{"request_id": "r", "user_id": ONE.name("bert"), "items": [{"item_id": "a", "position": 1}]}])
    sessions = SqliteSessions(tmp_path / "sessions.sqlite", SessionConfig())
    sessions.add(ONE.name("anna"), [{**click, "timestamp": 1.0}])
    add_erased(home, ONE.name("bert"), ["bundle"])
    found = rekey_collected(home, open_shop(folder), keys, sessions)
    assert found == {"shoppers": 2, "lines": 3, "unknown": 1, "sessions": 1, "erased": 1}
    rows = [json.loads(line) for path in (home / "collected").glob("*/*.jsonl") for line in path.read_text().splitlines()]
    assert sorted(row["user_id"] for row in rows) == sorted(
        [TWO.name("anna")] * 2 + [TWO.name("bert")] * 2 + [ONE.name("guest")])
    assert not sessions.newest(ONE.name("anna")) and sessions.newest(TWO.name("anna"))[0]["item_id"] == "a"
    assert read_erased(home)[digest_id(TWO.name("bert"))].touched == ["bundle"]
    assert rekey_collected(home, open_shop(folder), keys, sessions) == found | {"lines": 0, "sessions": 0, "erased": 0}


def test_who_was_erased_under_the_previous_key_or_none_stays_away_before_anything_is_renamed(folder):
    for name in (ONE.name("anna"), "anna"):
        keys = UserKeys(TWO, ONE, frozenset({digest_id(name)}))
        rows, _ = read(open_shop(folder, keys=keys))
        assert without_erased(rows, keys.erased)["user_id"].to_list() == [TWO.name("bert"), None]


@pytest.fixture(scope="module")
def named_bundle(tmp_path_factory):
    """The tiny bundle made from histories and attributes under the first key."""
    place = tmp_path_factory.mktemp("keyed")
    events = tiny_events()
    named = events.with_columns(UserKeys(ONE).rename(events["user_id"])).sort("user_id", "timestamp", "item_id", "event_id")
    users = USERS.with_columns(UserKeys(ONE).rename(USERS["user_id"]))
    with pytest.MonkeyPatch.context() as patch:
        use_word_encoder(patch)
        arguments = {**tiny_arguments(place / "sources"), "histories": make_interactions(named, tiny_catalogue()), "users": users}
        write_bundle(place / "bundle", **arguments)
    return place / "bundle"


def answers(found):
    return [(one.item_id, one.score, one.reasons, one.segment) for one in found]


def test_a_shopper_gets_the_same_list_with_and_without_a_key(bundle, named_bundle, monkeypatch):
    keyed(monkeypatch)
    named = Bundle.load(named_bundle)
    assert named.manifest["user_key"] == ONE.fingerprint and bundle.manifest["user_key"] is None
    for user in ("u03", "u17", "anna", " u03 ", "nobody"):
        for segment in (None, "north", "auto"):
            asked = {"user_id": user, "segment": segment}
            assert answers(named.recommend(**asked)) == answers(bundle.recommend(**asked))
    assert named.known_history("u03") == bundle.known_history("u03") != []
    assert named.profile(user_id="u03") == bundle.profile(user_id="u03")
    assert named.search("mug", user_id="u03")[0].score == bundle.search("mug", user_id="u03")[0].score
    assert named.known_history(ONE.name("u03")) == named.known_history("u03")
    assert "nobody" not in named.recommend(user_id="nobody").fallback


def test_a_bundle_of_the_previous_key_answers_and_one_of_another_key_says_which_it_needs(named_bundle, monkeypatch):
    use_word_encoder(monkeypatch)
    keyed(monkeypatch, SECOND, FIRST)
    named = Bundle.load(named_bundle)
    assert named.known_history("u03")
    for present in (SECOND, None):
        held = keyed(monkeypatch, present)
        with pytest.raises(BundleError, match=f"user key {ONE.fingerprint}, the environment holds {held.fingerprint or 'none'}.*"
                           "RECSYS_USER_KEY"):
            named.recommend(user_id="u03")
        assert named.recommend(["k0"])  # who brings a history needs no key


def test_a_key_that_got_lost_lets_no_id_into_a_home_and_finds_nobody_to_erase(named_bundle, folder, tmp_path, monkeypatch):
    home = Home(folder=str(tmp_path / "home"), shop=str(folder))
    shutil.copytree(named_bundle, home.path / "bundle")
    keyed(monkeypatch, None)
    for act in (home.open_shop, lambda: erase_user(home.path, "u03", None, None, UserKeys())):
        with pytest.raises(BundleError, match=f"bundle: names shoppers by the user key {ONE.fingerprint}.*holds none"):
            act()
    found = erase_user(home.path, "u03", None, None, keyed(monkeypatch, SECOND, FIRST))
    assert found.bundles == ["bundle"] and home.open_shop().keys.fingerprint == TWO.fingerprint
    after = Bundle.load(home.path / "bundle")
    assert after.known_history("u03") == [] and after.known_history("u04") and after.manifest["user_key"] == ONE.fingerprint


def test_the_key_of_a_bundle_is_the_one_that_most_of_its_histories_have():
    assert common_key(["u1", "u2"]) is None and common_key([]) is None
    assert common_key([ONE.name("a"), TWO.name("a"), TWO.name("b"), "guest"]) == TWO.fingerprint
