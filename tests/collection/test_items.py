"""Posted items: the newest row of each, until the shop's bundle brings it."""

from recsys_core.collection import PostedItems


def test_rows_count_until_a_bundle_is_made_after_them(tmp_path):
    now = [100.0]
    posted = PostedItems(tmp_path, lambda: now[0])
    posted.add({"a": {"item_id": "a", "title": "Old"}, "b": {"item_id": "b", "title": "B"}})
    now[0] = 200.0
    posted.add({"a": {"item_id": "a", "title": "New"}})
    assert [row["title"] for row in posted.since(50.0, {"a": 0, "b": 1})] == ["New", "B"]
    assert [row["title"] for row in posted.since(150.0, {"a": 0, "b": 1})] == ["New"]  # b came with the bundle
    assert [row["title"] for row in posted.since(300.0, {"b": 1})] == ["New"]  # a bundle that still lacks it


def test_without_a_file_nothing_was_posted(tmp_path):
    assert PostedItems(tmp_path / "nothing").since(0.0, {}) == []
