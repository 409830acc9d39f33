from datetime import UTC, datetime

import pytest

from recsys_core.errors import RecsysError
from recsys_core.experiments.config import read_experiments

ONE = """
  - name: {name}
    start: {start}
    end: {end}
    variants:
      - {{name: base, share: 0.5, {change}}}
      - {{name: other, share: 0.5}}
"""


def write(tmp_path, *entries: dict[str, str]):
    defaults = {"name": "one", "start": "2024-03-01", "end": "2024-04-01", "change": "segment: null"}
    path = tmp_path / "experiments.yaml"
    path.write_text("experiments:" + "".join(ONE.format(**defaults | entry) for entry in entries))
    return path


def test_a_missing_file_declares_nothing(tmp_path):
    assert read_experiments(tmp_path / "experiments.yaml") == ()


def test_a_segment_of_null_is_a_change_and_a_segment_left_out_is_none(tmp_path):
    [found] = read_experiments(write(tmp_path, {}))
    assert found.variants[0].changes == {"segment"} and found.variants[1].changes == set()
    assert found.start == datetime(2024, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(("change", "said"), [
    ({"change": "colour: red"}, "variants → 0 → colour"), ({"end": "2024-02-01"}, "ends before it starts"),
    ({"change": "share: 0.6"}, "stands twice"), ({"name": "One!"}, "name")])
def test_what_makes_no_sense_is_refused_with_its_place(tmp_path, change, said):
    with pytest.raises(RecsysError, match=said):
        read_experiments(write(tmp_path, change))


def test_shares_may_leave_users_out_but_not_count_them_twice(tmp_path):
    path = write(tmp_path, {})
    path.write_text(path.read_text().replace("other, share: 0.5", "other, share: 0.6"))
    with pytest.raises(RecsysError, match="more than 1"):
        read_experiments(path)
    path.write_text(path.read_text().replace("other, share: 0.6", "other, share: 0.1"))
    assert len(read_experiments(path)) == 1


@pytest.mark.parametrize(("second", "said"), [
    ({"name": "one", "start": "2025-03-01", "end": "2025-04-01"}, "two experiments are called 'one'"),
    ({"name": "two", "start": "2024-03-31"}, "change the segment at the same time")])
def test_experiments_that_could_not_be_told_apart_are_refused(tmp_path, second, said):
    with pytest.raises(RecsysError, match=said):
        read_experiments(write(tmp_path, {}, second))


@pytest.mark.parametrize("second", [{"name": "two", "start": "2024-04-01", "end": "2024-05-01"},
                                    {"name": "two", "change": "bundle: challenger"}])
def test_one_after_the_other_and_different_changes_are_fine(tmp_path, second):
    assert len(read_experiments(write(tmp_path, {}, second))) == 2


def test_interleaving_needs_two_variants(tmp_path):
    path = write(tmp_path, {"change": "segment: auto"})
    text = path.read_text().replace("0.5", "0.3") + "      - {name: third, share: 0.3}\n"
    path.write_text(text)
    assert len(read_experiments(path)[0].variants) == 3
    path.write_text(text + "    method: interleave\n")
    with pytest.raises(RecsysError, match="interleaves 3 variants"):
        read_experiments(path)


def test_a_list_is_drawn_once(tmp_path):
    path = write(tmp_path, {}, {"name": "two", "change": "bundle: challenger"})
    assert len(read_experiments(path)) == 2
    path.write_text(path.read_text().replace("    start:", "    method: interleave\n    start:"))
    with pytest.raises(RecsysError, match="change the list at the same time"):
        read_experiments(path)
