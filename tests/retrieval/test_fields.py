import numpy as np
import polars as pl

from recsys_core.retrieval.fields import make_documents


def test_items_that_differ_in_a_text_column_are_told_apart_and_keys_are_no_words():
    items = pl.DataFrame({
        "item_id": ["a", "b", "c", "d"], "title": ["Milk"] * 3 + ["Ham"], "description": None, "brand": "Alder", "category": None,
        "price": [1.0, 2.0, 3.0, 4.0], "text": ["Milk"] * 3 + ["Ham"], "size": ["1 GAL", "16 OZ", "1 GAL", None],
        "maker_id": ["17", "18", "17", "17b"], "rating": ["4.5", "3", None, None]},
        schema_overrides={"description": pl.String, "category": pl.String})
    documents, values = make_documents(items, np.array([1, 1, 1, 0], np.int32))
    assert documents.columns == ("title", "description", "brand", "category", "size")
    assert documents.of_item.tolist() == [0, 1, 0, 2] and documents.texts.tolist() == [1, 1, 0]
    assert values[1] == ("Milk", None, "Alder", None, "16 OZ")
