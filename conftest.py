"""A tiny bundle for the tests of serving and for the examples in the docstrings of `Bundle`."""

import pytest


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory):
    """One written bundle for all tests that only read it."""
    from recsys_core.deployment.bundle import write_bundle
    from tests.serving.tiny import tiny_arguments, use_word_encoder

    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        use_word_encoder(patch)
        write_bundle(folder / "bundle", **tiny_arguments(folder / "sources"))
    return folder / "bundle"


@pytest.fixture
def bundle(bundle_folder, monkeypatch):
    """The tiny bundle, loaded."""
    from recsys_core.serving import Bundle
    from tests.serving.tiny import use_word_encoder

    use_word_encoder(monkeypatch)
    return Bundle.load(bundle_folder)


@pytest.fixture(autouse=True)
def _bundle_of_the_examples(request, doctest_namespace):
    if request.node.name.startswith(("recsys_core.serving.bundle", "recsys_core.serving.labelled", "recsys_core.serving.views",
                                     "recsys_core.wording.methods")):
        from recsys_core.answering import Rules

        doctest_namespace.update(
            Rules=Rules, bundle=request.getfixturevalue("bundle"), folder=request.getfixturevalue("bundle_folder"))
