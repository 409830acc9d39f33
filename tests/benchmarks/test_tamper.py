from benchmarks.servings import tamper


def test_every_touched_bundle_is_refused_and_the_untouched_one_is_not(bundle_folder):
    bars, tables = tamper.measure(bundle_folder)
    assert bars[0].holds and bars[0].n > 60
    assert {row["what"] for row in tables["Bundles that somebody touched"]} >= {
        "a byte flipped", "cut in half", "an extra file", "a pickle in its place", "a byte flipped and the hashes rewritten"}


def test_a_reader_that_checks_nothing_would_fail_it(bundle_folder, monkeypatch):
    import json

    monkeypatch.setattr("recsys_core.serving.files.verify_bundle",
                        lambda folder, key: json.loads((folder / "manifest.json").read_text()))
    bars, _ = tamper.measure(bundle_folder)
    assert bars[0].value == 0 and not bars[0].holds
