import pytest

from recsys_core.artefacts import file_hash
from recsys_core.deployment.manifest import code_commit, package_versions, write_manifest
from recsys_core.errors import BundleError
from recsys_core.serving.verification import verify_bundle


def test_what_is_written_verifies(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.json").write_text("{}")
    manifest = write_manifest(tmp_path, {"items": 3})
    assert manifest["files"] == {"sub/a.json": {"sha256": file_hash(tmp_path / "sub" / "a.json"), "size": 2}}
    assert verify_bundle(tmp_path) == manifest and manifest["items"] == 3


def test_a_manifest_vouches_for_no_pickle(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"anything")
    with pytest.raises(BundleError, match=r"model\.bin"):
        write_manifest(tmp_path, {})


def test_versions_name_what_an_answer_depends_on():
    versions = package_versions()
    assert versions["numpy"][0].isdigit() and versions["python"].startswith("3.")


def test_the_commit_is_this_checkouts_or_unknown():
    commit = code_commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40
