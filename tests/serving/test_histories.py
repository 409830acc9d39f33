"""What the bundle knows of shoppers: found by id, held without ids, and used where a request brings nothing itself."""

import json

import numpy as np
import pytest

from recsys_core.artefacts import map_arrays
from recsys_core.deployment.tables import write_histories
from recsys_core.errors import RequestError
from recsys_core.interactions import MAX_HISTORY, Interactions
from recsys_core.shoppers.known import KnownHistories, UserRows, digest_users
from tests.serving.tiny import tiny_events


def answers(found):
    return [(one.item_id, one.score, one.reasons) for one in found]


def test_an_id_alone_is_answered_as_its_events_are(bundle):
    own = tiny_events().filter(user_id="u03").sort("timestamp", "item_id")
    events = own.select("item_id", "event_type", "timestamp").to_dicts()
    for at in (None, "2024-03-20T00:00:00Z", "2024-03-04T02:30:00Z"):
        assert answers(bundle.recommend(user_id="u03", at=at)) == answers(bundle.recommend(events, at=at))
        assert answers(bundle.search("glass", user_id="u03", at=at)) == answers(bundle.search("glass", history=events, at=at))
    assert bundle.click_probability(["g0"], user_id="u03") == bundle.click_probability(["g0"], events)
    assert bundle.recommend(user_id="u03").fallback is None
    known = bundle.known_history("u03")
    assert [event["item_id"] for event in known] == own["item_id"].to_list()
    assert answers(bundle.recommend(known)) == answers(bundle.recommend(user_id="u03"))


def test_an_explicit_history_wins_and_an_empty_one_means_nothing(bundle):
    assert answers(bundle.recommend([], user_id="u03")) == answers(bundle.recommend([]))
    assert answers(bundle.recommend(["d1"], user_id="u03")) == answers(bundle.recommend(["d1"]))


def test_events_after_the_request_are_not_known(bundle):
    before = bundle.recommend(user_id="u03", at="2024-03-01T00:00:00Z")
    assert answers(before) == answers(bundle.recommend([], at="2024-03-01T00:00:00Z"))


def test_a_stranger_has_no_history_and_the_answer_says_so(bundle):
    found = bundle.recommend(user_id="nobody")
    assert "the user is unknown: no history" in found.fallback and bundle.known_history("nobody") == []
    with pytest.raises(RequestError, match="user_id"):
        bundle.known_history(["u03"])


def test_no_file_of_the_bundle_holds_an_id(bundle_folder):
    held = b"".join((bundle_folder / name).read_bytes() for name in ("histories.safetensors", "users.parquet"))
    assert not any(name.encode() in held for name in ("u03", "u29", "anna", "bert"))
    assert json.loads((bundle_folder / "manifest.json").read_text())["known_shoppers"] == 30


def events(users, timestamps) -> Interactions:
    size = len(users)
    return Interactions(np.array(users, np.int32), np.arange(size, dtype=np.int32), np.array(timestamps, np.int64),
                        np.zeros(size, np.int8), np.arange(size), [f"user {n}" for n in range(max(users) + 1)])


def test_only_the_newest_events_are_kept(tmp_path):
    longest = MAX_HISTORY + 7
    assert write_histories(tmp_path, events([0] * longest + [2, 2], [*range(10**9, 10**9 + longest), 10**9, 10**9])) == 2
    known = KnownHistories.load(tmp_path / "histories.safetensors")
    assert known.of("user 0", None)[0].tolist() == list(range(7, longest))
    assert len(known.of("user 2", None)[0]) == 2 and known.of("user 1", None) is None


def test_a_shop_without_times_keeps_the_order_only(tmp_path):
    day = 946_684_800  # schema.PSEUDO_DAY
    write_histories(tmp_path, events([0, 0, 0], [day + 86_397, day + 86_398, day + 86_399]))
    known = KnownHistories.load(tmp_path / "histories.safetensors")
    items, _, times = known.of("user 0", 2e9)
    assert items.tolist() == [0, 1, 2] and times is None
    assert known.events("user 0", ["a", "b", "c"]) == [{"item_id": item, "event_type": "view"} for item in "abc"]


def test_digests_that_begin_alike_are_told_apart():
    digests = digest_users(["a", "b"])
    digests = digests[np.argsort(digests[:, 0])]
    digests[:, 0] = digest_users(["a"])[0, 0]
    rows = UserRows(digests)
    assert rows.row("a") == int(np.flatnonzero(digests[:, 1] == digest_users(["a"])[0, 1])[0]) and rows.row("b") is None


def test_mapped_arrays_are_those_that_were_saved_and_cannot_be_written(tmp_path):
    from safetensors.numpy import save_file

    saved = {"a": np.arange(7, dtype=np.int8), "b": np.eye(3, dtype=np.float32), "c": np.zeros(0, np.int64)}
    save_file(saved, tmp_path / "x.safetensors", metadata={"made": "here"})
    found = map_arrays(tmp_path / "x.safetensors")
    assert found.keys() == saved.keys()
    for name, values in saved.items():
        assert found[name].dtype == values.dtype and np.array_equal(found[name], values)
    with pytest.raises(ValueError, match="read-only"):
        found["b"][0, 0] = 2
    (tmp_path / "y.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ValueError):
        map_arrays(tmp_path / "y.safetensors")
