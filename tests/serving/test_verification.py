import hashlib
import json
import os
import pickle
import shutil
import threading

import pytest

from recsys_core.errors import BundleError
from recsys_core.serving import Bundle, verification
from recsys_core.serving import files as bundle_files
from recsys_core.serving.verification import MANIFEST, TRUSTED_KEY, check_kind, verify_bundle
from recsys_core.signatures import PUBLIC_KEY, SIGNATURE, own_key, sign_folder


@pytest.fixture
def copy(bundle_folder, tmp_path):
    return shutil.copytree(bundle_folder, tmp_path / "copy")


@pytest.fixture
def signed(copy, tmp_path):
    """A signed bundle and the public key of whoever signed it."""
    sign_folder(copy, own_key(tmp_path / "keys"))
    return copy, tmp_path / "keys" / PUBLIC_KEY


def refusal(folder, key=None) -> str:
    with pytest.raises(BundleError) as caught:
        verify_bundle(folder, key)
    return str(caught.value)


def test_an_untouched_bundle_verifies(copy):
    assert verify_bundle(copy)["lineage"]["shop"] == "tiny"


@pytest.mark.parametrize("name", [
    "items.parquet", "families/store/family.safetensors", "shelves.parquet", "student/static/tokenizer.json"])
def test_changed_truncated_and_missing_files_are_refused(copy, name):
    path = copy / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert f"{name} was changed" in refusal(copy)
    path.write_bytes(whole[:-1])
    assert f"{name} has {len(whole) - 1} bytes" in refusal(copy)
    path.unlink()
    assert f"{name} is missing" in refusal(copy)


def test_of_several_changed_files_the_first_by_name_is_told_and_no_thread_stays(copy):
    for name in ("shelves.parquet", "items.parquet", "vectors.safetensors"):
        path = copy / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    before = threading.active_count()
    assert {refusal(copy) for _ in range(5)} == {refusal(copy)} and "items.parquet was changed" in refusal(copy)
    assert threading.active_count() == before


def test_files_that_nobody_vouched_for_are_refused(copy):
    (copy / "ranker" / "extra.json").write_text("{}")
    assert "ranker/extra.json is not in the manifest" in refusal(copy)


def test_links_are_refused(copy, tmp_path):
    (tmp_path / "elsewhere.json").write_text("{}")
    (copy / "link.json").symlink_to(tmp_path / "elsewhere.json")
    assert "link.json is a link" in refusal(copy)


def test_a_pipe_is_refused_and_not_waited_for(copy):
    os.mkfifo(copy / "pipe.json")
    assert "pipe.json is no regular file" in refusal(copy)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["a.json", "a.parquet", "a.onnx", "a.safetensors", SIGNATURE])
def test_no_protocol_of_pickle_passes_for_what_is_parsed(tmp_path, name, protocol):
    (tmp_path / name).write_bytes(pickle.dumps([{"a": 1}, "b", 2.5], protocol))
    with pytest.raises(BundleError, match="is a pickle"):
        check_kind(tmp_path / name, name)


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


def test_a_signed_bundle_loads_with_the_key_and_without(bundle, signed, monkeypatch):
    folder, key = signed
    assert Bundle.load(folder, key=key).recommend(["k0"])[0].item_id == Bundle.load(folder).recommend(["k0"])[0].item_id
    monkeypatch.setenv(TRUSTED_KEY, str(key))
    assert Bundle.load(folder).manifest == bundle.manifest


def test_a_trusted_key_refuses_the_unsigned_and_what_somebody_else_signed(copy, tmp_path, monkeypatch):
    key = own_key(tmp_path / "keys").with_name(PUBLIC_KEY)
    assert "model.sig is missing: the bundle is not signed" in refusal(copy, key)
    monkeypatch.setenv(TRUSTED_KEY, str(key))
    monkeypatch.setattr(bundle_files, "_read_verified", lambda *_: pytest.fail("deserialised"))
    with pytest.raises(BundleError, match=r"model\.sig is missing"):
        Bundle.load(copy)
    sign_folder(copy, own_key(tmp_path / "other"))
    with pytest.raises(BundleError, match="another key made it"):
        Bundle.load(copy)
    with pytest.raises(BundleError, match=r"nowhere\.pem"):
        Bundle.load(copy, key=tmp_path / "nowhere.pem")


def test_whoever_rewrites_the_hashes_is_found_by_the_signature(signed, monkeypatch):
    """The case that hashes cannot tell: file and manifest changed together. The manifest is not even parsed."""
    folder, key = signed
    (folder / "shelves.parquet").write_bytes(b"PAR1 of somebody else")
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in ("golden.json", "shelves.parquet"):
        content = (folder / name).read_bytes()
        manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert verify_bundle(folder)["items"] == 20  # hashes alone believe it
    monkeypatch.setattr(verification, "_read_manifest", lambda *_: pytest.fail("parsed"))
    assert "manifest.json is not the one that was signed" in refusal(folder, key)


def test_a_file_that_the_signature_knows_otherwise_is_named(signed, tmp_path):
    folder, key = signed
    (folder / "items.parquet").unlink()
    assert "items.parquet is missing" in refusal(folder, key)
    (folder / "notes.txt").write_text("unsigned")
    assert "notes.txt is not in the manifest" in refusal(folder, key)
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["files"]["items.parquet"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / "notes.txt").unlink()
    sign_folder(folder, own_key(tmp_path / "keys"))
    (folder / MANIFEST).write_text(json.dumps({**manifest, "files": {}}))
    assert "manifest.json is not the one that was signed" in refusal(folder, key)


def test_the_signature_must_list_what_the_manifest_lists(signed, tmp_path):
    folder, key = signed
    (folder / "notes.txt").write_text("unknown to the manifest")
    sign_folder(folder, own_key(tmp_path / "keys"))
    assert "notes.txt is not as it was signed" in refusal(folder, key)
