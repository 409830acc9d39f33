import json
import pickle
import shutil

import pytest

from recsys_core.errors import BundleError
from recsys_core.serving import Bundle
from recsys_core.serving import files as bundle_files
from recsys_core.serving.verification import MANIFEST, check_kind, verify_bundle


@pytest.fixture
def copy(bundle_folder, tmp_path):
    return shutil.copytree(bundle_folder, tmp_path / "copy")


def refusal(folder) -> str:
    with pytest.raises(BundleError) as caught:
        verify_bundle(folder)
    return str(caught.value)


def test_an_untouched_bundle_verifies(copy):
    assert verify_bundle(copy)["lineage"]["shop"] == "tiny"


@pytest.mark.parametrize("name", [
    "items.parquet", "families/store/family.safetensors", "shelves.parquet", "student/student.onnx"])
def test_changed_truncated_and_missing_files_are_refused(copy, name):
    path = copy / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert f"{name} was changed" in refusal(copy)
    path.write_bytes(whole[:-1])
    assert f"{name} has {len(whole) - 1} bytes" in refusal(copy)
    path.unlink()
    assert f"{name} is missing" in refusal(copy)


def test_files_that_nobody_vouched_for_are_refused(copy):
    (copy / "ranker" / "extra.json").write_text("{}")
    assert "ranker/extra.json is not in the manifest" in refusal(copy)


def test_links_are_refused(copy, tmp_path):
    (tmp_path / "elsewhere.json").write_text("{}")
    (copy / "link.json").symlink_to(tmp_path / "elsewhere.json")
    assert "link.json is a link" in refusal(copy)


@pytest.mark.parametrize("name", ["a.pkl", "a.pt", "a.bin", "a.joblib", "a.json", "a.txt", "a.parquet"])
def test_pickles_are_refused_under_any_name_before_anything_is_read(copy, name, monkeypatch):
    payload = pickle.dumps({"a": 1})
    (copy / name).write_bytes(payload)
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["files"][name] = {"size": len(payload), "sha256": "0" * 64}
    (copy / MANIFEST).write_text(json.dumps(manifest))
    monkeypatch.setattr(bundle_files, "_read_verified", lambda *_: pytest.fail("deserialised"))
    with pytest.raises(BundleError, match=name):
        Bundle.load(copy)


def test_a_safetensors_header_that_looks_like_a_pickle_is_none(tmp_path):
    honest = tmp_path / "a.safetensors"
    honest.write_bytes((0x0480).to_bytes(8, "little") + b"{" + b" " * 0x047E + b"}")
    check_kind(honest, "a.safetensors")  # begins with b"\x80\x04" like a pickle of protocol 4
    forged = tmp_path / "b.safetensors"
    forged.write_bytes(pickle.dumps(list(range(100))))
    with pytest.raises(BundleError):
        check_kind(forged, "b.safetensors")


def test_no_manifest_a_broken_one_and_another_format(copy, tmp_path):
    assert "there is no manifest.json" in refusal(tmp_path / "nowhere")
    manifest = json.loads((copy / MANIFEST).read_text())
    for text in ("{", "[]", "{}", json.dumps({**manifest, "files": {"items.parquet": {}}})):
        (copy / MANIFEST).write_text(text)
        assert "cannot be read" in refusal(copy)
    (copy / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    assert "has format 99" in refusal(copy)
