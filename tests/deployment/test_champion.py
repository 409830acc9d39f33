import json
import shutil

from recsys_core.deployment.bundle import write_bundle
from recsys_core.deployment.champion import load_champion
from tests.serving.tiny import tiny_arguments, use_word_encoder


def test_a_champion_that_cannot_be_read_counts_as_none(tmp_path, monkeypatch, caplog):
    use_word_encoder(monkeypatch)
    write_bundle(tmp_path / "champion", **tiny_arguments(tmp_path / "sources"))
    assert load_champion(tmp_path / "champion").manifest["lineage"]["shop"] == "tiny"
    assert load_champion(None) is load_champion(tmp_path / "nowhere") is None
    assert caplog.text == ""
    old = shutil.copytree(tmp_path / "champion", tmp_path / "old")
    manifest = json.loads((old / "manifest.json").read_text())
    (old / "manifest.json").write_text(json.dumps({**manifest, "format": 1}))
    assert load_champion(old) is None and "has format 1" in caplog.text
