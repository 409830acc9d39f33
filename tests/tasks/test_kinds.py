"""One contract for every kind of task: what is planted is learned, proven and kept in files that fit one encoder."""

import json
from dataclasses import replace

import numpy as np
import pytest

from recsys_core.errors import AdapterError
from recsys_core.serving.verification import SUFFIXES
from recsys_core.tasks.gate import RemembersTexts, TaskGateConfig, judge_task
from recsys_core.tasks.kinds import KINDS
from recsys_core.tasks.labels import Task, read_tasks
from tests.tasks.planted import ROWS, PlantedEncoder, no_items, table

ENCODER = RemembersTexts(PlantedEncoder())
NAMES = sorted(KINDS)


@pytest.fixture(scope="module", params=NAMES)
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def task(kind) -> Task:
    name = next(name for name, one in KINDS.items() if one is kind)
    return read_tasks(table((name, ROWS[name]())), no_items()).tasks[name]


@pytest.fixture(scope="module")
def fitted(kind, task):
    return kind.fit(ENCODER, task.examples, task.name)


def test_what_is_planted_beats_every_rival(task):
    verdict = judge_task(ENCODER, task, TaskGateConfig())
    assert verdict.proven and verdict.score > 0.9, verdict.reason
    assert all(gain.low > 0 for gain in verdict.gains.values()) and "beats" in verdict.reason
    json.dumps(verdict.to_json(), allow_nan=False)


def test_files_answer_as_what_was_learned(kind, task, fitted, tmp_path):
    fitted.save(tmp_path / "task")
    assert sorted(path.name for path in (tmp_path / "task").iterdir()) == ["task.json", "task.safetensors"]
    assert all(path.suffix in SUFFIXES for path in (tmp_path / "task").iterdir())
    again = kind.load(tmp_path / "task", PlantedEncoder())
    assert kind.answers(again, ENCODER, task.examples) == kind.answers(fitted, ENCODER, task.examples)
    assert kind.measures(again, ENCODER, task.examples) == kind.measures(fitted, ENCODER, task.examples)


@pytest.mark.parametrize(("change", "named"), [({"model": "x" * 64}, "encoder"), ({"tokenizer": "x" * 64}, "tokenizer")])
def test_another_encoder_is_refused(kind, fitted, tmp_path, change, named):
    fitted.save(tmp_path / "task")
    with pytest.raises(AdapterError, match=named):
        kind.load(tmp_path / "task", PlantedEncoder(**change))


@pytest.mark.parametrize("spoil", [lambda folder: (folder / "task.safetensors").write_bytes(b"\x08" + bytes(20)),
                                   lambda folder: (folder / "task.json").write_text('{"format": 99}')])
def test_broken_files_are_refused(kind, fitted, tmp_path, spoil):
    fitted.save(tmp_path / "task")
    spoil(tmp_path / "task")
    with pytest.raises(AdapterError, match="task"):
        kind.load(tmp_path / "task", PlantedEncoder())


def test_measures_of_what_is_planted_are_good(kind, task, fitted):
    found = kind.measures(fitted, ENCODER, task.examples)
    assert all(np.isfinite(value) for value in found.values()), found
    best = [found[name] for name in ("accuracy", "micro_f1", "ndcg") if name in found]
    assert best and min(best) > 0.9, found


def test_one_example_cannot_be_proven(task):
    verdict = judge_task(ENCODER, replace(task, examples=task.examples[:1]), TaskGateConfig())
    assert not verdict.proven and verdict.reason


def test_the_same_seed_gives_the_same_verdict(task):
    assert judge_task(ENCODER, task, TaskGateConfig()) == judge_task(ENCODER, task, TaskGateConfig())
