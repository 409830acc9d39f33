import pytest

from recsys_core.deployment.bundle import write_bundle
from recsys_core.serving import Bundle
from tests.serving.tiny import tiny_arguments, use_word_encoder


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory):
    """One written bundle for all tests that only read it."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        use_word_encoder(patch)
        write_bundle(folder / "bundle", **tiny_arguments(folder / "sources"))
    return folder / "bundle"


@pytest.fixture
def bundle(bundle_folder, monkeypatch):
    use_word_encoder(monkeypatch)
    return Bundle.load(bundle_folder)
