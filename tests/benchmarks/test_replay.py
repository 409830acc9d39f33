"""The replay's bars: sums over shops, and the worst shop of each other figure."""

from benchmarks.nights.replay import GOALS, bars


def rows(seconds: list[float], gain: float, lost: int = 0) -> list[dict]:
    return [{"seconds": one, "resumed": False, "lost": lost * (n == 0), "double_counted": 0, "served": 0.3 + gain, "frozen": 0.3,
             "personal_frequency": 0.2} for n, one in enumerate(seconds)]


def test_the_worst_shop_counts():
    flat, growing = rows([10.0] * 5, 0.02), rows([10.0, 11.0, 12.0, 13.0, 14.0], -0.01, lost=2)
    found = {bar.bar: bar for bar in bars({"flat": flat, "growing": growing})}
    assert [found["replay.events_lost"].value, found["replay.events_double_counted"].value] == [2, 0]
    assert not found["replay.events_lost"].holds
    slope = found["replay.cost_slope_per_100_days"]
    assert abs(slope.value - 100 / 12) < 1e-9
    assert "growing" in slope.note
    assert abs(found["replay.next_day_gain_over_frozen_low"].value + 0.01) < 1e-9
    assert abs(found["replay.next_day_over_personal_frequency_low"].value - 0.09) < 1e-9
    assert set(found) == set(GOALS)


def test_what_could_not_be_measured_is_told():
    nobody = [{**row, "served": None, "resumed": True} for row in rows([1.0] * 4, 0.0)]
    found = {bar.bar: bar for bar in bars({"one": nobody})}
    missing = [name for name, bar in found.items() if bar.value is None]
    assert len(missing) == 3
    assert "online_retail is absent" in found["replay.events_lost"].note
