"""What the service writes names shoppers by the present key only, whatever key its bundle was made with."""

import json
import shutil

import pytest

from recsys_core.artefacts import read_json, write_json
from recsys_core.errors import BundleError
from recsys_core.pseudonyms import PRESENT, UserKey
from recsys_core.service.generation import _load_bundle

KEY = "the present key of the shop"
NAME = UserKey(KEY.encode()).name
USER = "carla-7f3a"


def test_no_log_and_no_session_holds_an_id_and_lists_are_as_without_a_key(client, make_client, tmp_path, monkeypatch, caplog):
    def live(asked) -> list[list[str]]:
        lists = [asked.post("/v1/recommend", json={"user_id": USER, "k": 2, "filters": {"category": "nowhere"}})]
        asked.post("/v1/events", json={"events": [{"user_id": f" {USER} ", "session_id": f"s-{USER}",
                                                     "event_id": f"{USER}-1", "event_type": "purchase", "item_id": "k0"}]})
        lists.append(asked.post("/v1/recommend", json={"user_id": USER, "k": 2, "segment": "north",
                                                         "session_id": f"s-{USER}"}))
        asked.post("/v1/feedback", json={"request_id": "r", "user_id": USER, "item_id": "g0", "value": "down"})
        lists.append(asked.post("/v1/search", json={"user_id": USER, "query": "steel mug", "k": 3}))
        lists.append(asked.post("/v1/recommend", json={"user_id": USER, "k": 2}))
        asked.post("/v1/profile", json={"user_id": USER})
        return [[item["item_id"] for item in found.json()["items"]] for found in lists]

    plain = live(client)
    shutil.rmtree(tmp_path / "collected")
    monkeypatch.setenv(PRESENT, KEY)
    caplog.clear()
    with caplog.at_level("DEBUG"):
        assert live(make_client()) == plain
    assert plain[0] == [] and plain[1][0] == "g0" and "g0" not in plain[3]
    files = [path for path in (tmp_path / "collected").rglob("*") if path.is_file()]
    assert not [path.name for path in files if USER.encode() in path.read_bytes()] and USER not in caplog.text
    rows = [json.loads(line) for path in files if path.suffix == ".jsonl" for line in path.read_text().splitlines()]
    assert len(rows) == 5 and {row["user_id"] for row in rows} == {NAME(USER)}


def test_a_generation_refuses_a_bundle_of_a_key_that_nobody_gave_it(bundle, tmp_path, monkeypatch):
    folder = shutil.copytree(bundle.folder, tmp_path / "bundle")
    fingerprint = UserKey(b"a key that is long gone").fingerprint
    write_json(folder / "manifest.json", {**read_json(folder / "manifest.json"), "user_key": fingerprint})
    monkeypatch.setenv(PRESENT, KEY)
    with pytest.raises(BundleError, match=f"{fingerprint}, the environment holds {UserKey(KEY.encode()).fingerprint}"):
        _load_bundle(folder, tmp_path)
