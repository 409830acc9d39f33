"""The gate: noise is refused, nothing held out is learned from, rivals say what they should."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_core.tasks.gate import RemembersTexts, TaskGateConfig, judge_task
from recsys_core.tasks.kinds import KINDS, graded_ndcg
from recsys_core.tasks.labels import Example, Product, read_tasks
from recsys_core.tasks.rivals import class_by_words, known_values, majority_class, nearest_name
from tests.tasks.planted import PlantedEncoder, class_rows, match_rows, no_items, said, table

ENCODER = RemembersTexts(PlantedEncoder())


def read(rows, name="t"):
    return read_tasks(table((name, rows)), no_items()).tasks[name]


def test_shuffled_labels_are_refused_and_the_rival_is_named():
    verdict = judge_task(ENCODER, read(class_rows(shuffled=True)), TaskGateConfig())
    assert not verdict.proven and "is not proven better than" in verdict.reason and verdict.groups == 72


def test_what_words_alone_can_tell_needs_no_adapter():
    rows = [{"text": f"please {want} it, {n}", "label": want} for want in ("buy", "return") for n in range(20)]
    verdict = judge_task(ENCODER, read(rows), TaskGateConfig())
    assert not verdict.proven and verdict.rivals["words alone"] == 1.0


def test_one_class_only_is_refused():
    verdict = judge_task(ENCODER, read([{"text": f"a {n}", "label": "x"} for n in range(9)]), TaskGateConfig())
    assert not verdict.proven and "1 class" in verdict.reason


def test_queries_with_one_grade_order_nothing():
    rows = [{**row, "label": "1"} if at % 2 else row for at, row in enumerate(match_rows(4))]
    alike = [{**row, "label": str(int(row["query"][-3]) % 2)} for row in rows]
    verdict = judge_task(ENCODER, read(alike), TaskGateConfig())
    assert not verdict.proven


def test_no_fold_learns_from_a_query_it_answers(monkeypatch):
    kind, seen = KINDS["match"], []
    real = type(kind).fit
    task = read(match_rows(10))

    def fit(self, encoder, examples, name):
        seen.append({one.query for one in examples})
        return real(self, encoder, examples, name)

    monkeypatch.setattr(type(kind), "fit", fit)
    judge_task(ENCODER, task, TaskGateConfig(folds=5))
    assert [len(queries) for queries in seen] == [8] * 5
    assert set.intersection(*seen) == set()


def test_test_rows_take_no_part():
    rows = [{**row, "split": "test" if at % 3 == 0 else "train"} for at, row in enumerate(class_rows())]
    task = read(rows)
    spoiled = replace(task, examples=tuple(replace(one, labels=("nonsense",)) if one.test else one for one in task.examples))
    assert judge_task(ENCODER, task, TaskGateConfig()) == judge_task(ENCODER, spoiled, TaskGateConfig())


def test_large_tasks_are_drawn_from():
    assert judge_task(ENCODER, read(class_rows()), TaskGateConfig(most=30)).groups == 30


def test_a_text_is_read_once_over_all_folds():
    plain = PlantedEncoder()
    judge_task(RemembersTexts(plain), read(match_rows(8)), TaskGateConfig())
    texts = {row["text"] for row in match_rows(8)} | {row["query"] for row in match_rows(8)}
    assert plain.read == len(texts)


def examples(*rows) -> list[Example]:
    return [Example(Product(text), labels) for text, labels in rows]


def test_rivals_of_classes():
    train = examples(("red mug", ("cup",)), ("blue mug", ("cup",)), ("oak bench", ("seat",)))
    asked = examples(("green mug", ()), ("bench", ()), ("???", ()))
    assert majority_class(train, asked) == ["cup"] * 3
    assert class_by_words(train, asked) == ["cup", "seat", "cup"]
    buys = examples((said("buy", 1), ()), (said("track", 1), ()))
    assert nearest_name(PlantedEncoder(), examples(("", (said("buy", 2),)), ("", (said("track", 2),))), buys) == [
        said("buy", 2), said("track", 2)]


def test_known_values_are_found_as_words_and_the_longest_wins():
    train = [Example(Product("a"), spans=(("colour", "red"), ("colour", "dark red"), ("size", "12 oz")))]
    assert known_values(train, examples(("Dark red mug, 12 OZ", ()), ("redder mug", ()))) == [
        {"colour": "dark red", "size": "12 oz"}, {}]


@pytest.mark.parametrize(("scores", "grades", "expected"), [
    ([3, 2, 1], [2, 1, 0], 1.0), ([1, 2, 3], [2, 1, 0], (1 / np.log2(3) + 2 / np.log2(4)) / (2 + 1 / np.log2(3))),
    ([0, 0], [1, 0], (1 + 1 / np.log2(3)) / 2)])
def test_ndcg_by_hand(scores, grades, expected):
    assert graded_ndcg(np.array(scores, float), np.array(grades, float)) == pytest.approx(expected)
