"""What workers count, and what a reader makes of it."""

import json
import os
import subprocess
import tracemalloc
from datetime import date
from pathlib import Path

import pytest
import yaml

from recsys_core.cli.main import main
from recsys_core.errors import BundleError
from recsys_core.monitoring import observer as module
from recsys_core.monitoring.observer import Observer, read_observed
from recsys_core.monitoring.profile import Reference, make_reference

REQUESTS = [{"history": ["k0"]}, {"history": []}, {"history": ["k0"], "segment": "deli"}, {"history": [], "segment": "easter"}]


def ask(bundle, observer, times: int = 1, history=("k0",)) -> None:
    for _ in range(times):
        answers = bundle.recommend(list(history))
        observer.observe(answers, len(history), answers.fallback is not None)


def test_the_reference_holds_every_segment_and_counts_every_request(bundle):
    made = make_reference(bundle, REQUESTS)
    assert set(made["segments"]) == {"all", "base", "deli", "easter", "new", "north", "store"}
    assert sum(made["counts"]["all"]["top_score"]) == 2 and sum(made["counts"]["deli"]["top_score"]) == 1
    assert sum(made["counts"]["easter"]["top_score"]) == 0  # asked of it after its days, the base served
    assert made["counts"]["all"]["fallback"] == [1, 1]  # nothing was known of the second
    assert made == make_reference(bundle, REQUESTS)


def test_workers_write_their_own_files_and_readers_add_them_up(bundle, tmp_path):
    one, two = Observer(bundle, tmp_path), Observer(bundle, tmp_path)
    ask(bundle, one, 3)
    ask(bundle, two, 4, history=())
    assert list(tmp_path.glob("*.json")) == []  # not yet: files are written every half minute
    one.write()
    two.write()
    one.write()
    assert len(list(tmp_path.iterdir())) == 2
    total = read_observed(tmp_path, Reference.read(bundle.folder), 7)
    assert total["all"]["history"].sum() == 7 and total["base"]["top_score"].sum() == 7 and total["deli"]["price"].sum() == 0
    assert total["all"]["fallback"].tolist() == [3, 4]


def test_a_busy_worker_writes_by_itself_and_a_new_day_begins_at_zero(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WRITE_EVERY", 0.0)
    days = iter([date(2024, 3, 1)] * 3 + [date(2024, 3, 2)] * 9)
    monkeypatch.setattr(module, "_today", lambda: next(days))
    ask(bundle, Observer(bundle, tmp_path), 4)
    by_day = {path.name[:10]: json.loads(path.read_text())["counts"]["all"]["history"] for path in tmp_path.iterdir()}
    assert {day: sum(counts) for day, counts in by_day.items()} == {"2024-03-01": 2, "2024-03-02": 2}
    assert read_observed(tmp_path, Reference.read(bundle.folder), 1, date(2024, 3, 2))["all"]["history"].sum() == 2
    assert read_observed(tmp_path, Reference.read(bundle.folder), 2, date(2024, 3, 2))["all"]["history"].sum() == 4
    assert read_observed(tmp_path, Reference.read(bundle.folder), 7, date(2024, 3, 1))["all"]["history"].sum() == 2


def test_a_folder_that_takes_no_file_costs_no_answer_and_no_count(bundle, tmp_path):
    (tmp_path / "monitor").touch()  # a file where the folder should be
    watched = Observer(bundle, tmp_path / "monitor")
    ask(bundle, watched, 2)
    watched.write()
    (tmp_path / "monitor").unlink()
    watched.write()
    assert read_observed(tmp_path / "monitor", Reference.read(bundle.folder), 7)["all"]["top_score"].sum() == 2


def test_files_of_ended_workers_are_folded_and_old_ones_removed(bundle, tmp_path, monkeypatch):
    ended = Path(f"/proc/{(process := subprocess.Popen(['true'])).pid}")
    process.wait()
    made, reference = Observer(bundle, tmp_path), Reference.read(bundle.folder)
    ask(bundle, made, 3)
    made.write()
    [own] = tmp_path.iterdir()
    told = json.loads(own.read_text())
    for day, worker, name in [("2024-03-01", f"{ended.name}-a", None), ("2024-03-01", f"{ended.name}-b", None),
                              ("2024-03-01", f"{os.getpid()}-c", None), ("2024-03-01", f"{ended.name}-d", "other"),
                              ("2023-01-01", f"{ended.name}-e", None), ("2024-03-02", f"{ended.name}-f", None)]:
        (tmp_path / f"{day}-{worker}.json").write_text(json.dumps({**told, "day": day, "bundle": name or told["bundle"]}))
    (tmp_path / "2024-03-01-torn.json").write_text("{")
    own.unlink()
    monkeypatch.setattr(module, "_today", lambda: date(2024, 3, 2))

    def looked(days=7):
        return read_observed(tmp_path, reference, days)["all"]["history"].sum()

    assert looked() == 12
    left_by_a_crash = (tmp_path / f"2024-03-01-{ended.name}-a.json").read_text()
    for _ in range(2):
        Observer(bundle, tmp_path)
        assert looked() == 12
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([
            f"2024-03-01-all-{told['bundle']}.json", f"2024-03-01-{os.getpid()}-c.json", "2024-03-01-all-other.json",
            f"2024-03-02-{ended.name}-f.json", "2024-03-01-torn.json"])
    (tmp_path / f"2024-03-01-{ended.name}-a.json").write_text(left_by_a_crash)
    Observer(bundle, tmp_path)
    assert looked() == 12
    (tmp_path / f"2024-03-01-{ended.name}-g.json").write_text(left_by_a_crash)
    Observer(bundle, tmp_path)
    assert looked() == 15


def test_another_bundles_counts_and_strange_files_are_left_out(bundle, tmp_path):
    watched = Observer(bundle, tmp_path)
    ask(bundle, watched)
    watched.write()
    own = next(tmp_path.iterdir())
    (tmp_path / "other.json").write_text(json.dumps({**json.loads(own.read_text()), "bundle": "x" * 16}))
    for name, text in {"broken.json": "{", "list.json": "[]", "few.json": json.dumps(
            {"bundle": Reference.read(bundle.folder).name, "day": "today", "counts": {}})}.items():
        (tmp_path / name).write_text(text)
    assert read_observed(tmp_path, Reference.read(bundle.folder), 7)["all"]["history"].sum() == 1


def test_memory_does_not_grow_with_what_is_observed(bundle, tmp_path):
    watched, answers = Observer(bundle, tmp_path), bundle.recommend(["k0"])
    watched.observe(answers, 1, False)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        watched.observe(answers, 1, False)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000


def test_a_reference_of_another_format_is_refused(tmp_path):
    (tmp_path / "reference.json").write_text('{"format": 99}')
    (tmp_path / "manifest.json").write_text('{"files": {}}')
    with pytest.raises(BundleError, match="format 99"):
        Reference.read(tmp_path)


def test_the_command_says_too_few_nothing_and_what_drifted(bundle, tmp_path, capsys):
    asked = ["drift", "--bundle", str(bundle.folder), "--observed", str(tmp_path)]
    assert main(asked) == 0
    assert "too few answers" in capsys.readouterr().out
    folder = bundle.folder
    watched = Observer(bundle, tmp_path)
    ask(bundle, watched, 250)
    watched.write()
    assert main(asked) == 0  # the tiny reference has two answers: still nothing is said
    out = capsys.readouterr().out
    assert "too few answers" in out and "250" in out and folder == bundle.folder


def test_the_alerts_name_what_the_service_measures():
    rules = yaml.safe_load(Path(module.__file__).with_name("alerts.yaml").read_text())["groups"][0]["rules"]
    assert {rule["alert"] for rule in rules} == {"RecsysSlow", "RecsysErrors", "RecsysFallback", "RecsysDrift", "RecsysOldBundle"}
    assert all(rule["expr"] and rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in rules)
