"""What a shop says of fairness must name columns that it has."""

import pytest

from recsys_core.errors import ShopError
from recsys_core.oversight import FairnessSpec, check_groups

TABLES = {"users": ["user_id", "age"], "items": ["item_id", "brand_tier"]}


def test_columns_that_are_there_will_do():
    check_groups(FairnessSpec(users=("age",), items=("brand_tier",)), TABLES, "shop.yaml")
    check_groups(FairnessSpec(), {}, "shop.yaml")


@pytest.mark.parametrize(("wrong", "tables", "words"), [
    ({"users": ("agee",)}, TABLES, "fairness → users: there is no column 'agee'. Fix: use age"),
    ({"items": ("age",)}, TABLES, "fairness → items: there is no column 'age'. Fix: use brand_tier"),
    ({"users": ("user_id",)}, TABLES, "no column 'user_id'"),
    ({"users": ("age",)}, {}, "add the column to the users table"),
])
def test_a_column_that_is_not_there_keeps_the_shop_from_opening(wrong, tables, words):
    with pytest.raises(ShopError) as error:
        check_groups(FairnessSpec(**wrong), tables, "shop.yaml")
    assert words in str(error.value)
