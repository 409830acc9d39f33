"""Amounts: number, unit and kind, however they are written."""

from __future__ import annotations

import pytest

from recsys_core.amounts import Amount, amounts, normalise
from recsys_core.retrieval.analysis import analyse
from recsys_core.units import UNITS


@pytest.mark.parametrize(("said", "meant"), [
    ("12pk", "12 pack"), ("12-pack", "12 pack"), ("Pack of 12", "12 pack"), ("Case of 24 Cans", "24 pack"),
    ("12 count", "12 ct"), ("24 Ct.", "24 ct"), ("1/2 in", "0.5 in"), ("½ inch", "0.5 in"), ("1-1/2 in", "1.5 in"),
    ("1½ in", "1.5 in"), ('5.5"', "5.5 in"), ("1 gal", "1 gal"), ("10 oz", "10 oz"), ("3.4 Fl. Oz", "3.4 fl oz"),
    ("3.4 fluid ounces", "3.4 fl oz"), ("2 lb", "2 lb"), ("2 LBS", "2 lb"), ("500ml", "500 ml"), ("2,5 L", "2.5 l"),
    ("1,000 mg", "1000 mg"), ("6\uff4f\uff5a", "6 oz"), (".5 oz", "0.5 oz"), ("Large 2.2 Pound Bag", "2.2 lb")])
def test_one_amount(said, meant):
    assert str(normalise(said)) == meant


@pytest.mark.parametrize("said", ["", "red", "12", "8 M US", "1/0 in", "size 8", "v1.2.3 oz", "pack of",
                                  "9" * 5_000 + " oz", "1/" + "9" * 5_000])
def test_no_amount(said):
    assert normalise(said) is None


def test_equal_amounts_meet_in_their_base_unit():
    same = [("1 gal", "4 qt"), ("2 lb", "32 oz"), ("0.5 l", "500ml"), ("2 dozen", "24 ct"), ("1 ft", "12 in"),
            ("1 kg", "1,000 g")]
    for one, other in same:
        assert normalise(one).base == pytest.approx(normalise(other).base, rel=1e-6)
    assert normalise("1 oz").kind != normalise("1 fl oz").kind


@pytest.mark.parametrize(("kind", "unit", "spelling"), [
    (kind, name, spelling) for kind, units in UNITS.items() for name, unit in units.items() for spelling in unit.spelled.split()])
def test_search_and_comparison_read_a_unit_alike(kind, unit, spelling):
    assert normalise(f"3 {spelling}") == Amount(3.0, unit, kind)
    assert analyse(f"3 {spelling}")[0] == f"3{unit.replace(' ', '')}"


def test_all_amounts_in_order():
    assert [str(one) for one in amounts("8 Ounce (237ml) bottles, pack of 6")] == ["8 oz", "237 ml", "6 pack"]
