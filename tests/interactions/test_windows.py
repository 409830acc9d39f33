"""Windows: contiguous, inside the data, at local midnights, and honest about what cannot be judged."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from recsys_core.ingestion.config import SegmentSpec
from recsys_core.interactions.windows import BASE, Window, WindowConfig, plan_windows

DAY = 86_400
FIRST, LAST = date(2024, 1, 1), date(2024, 6, 28)  # 180 days


def second(day: date, hour: int = 10, zone: str = "UTC") -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(zone)).timestamp())


def scene(start: date, end: date) -> SegmentSpec:
    return SegmentSpec(name="fair", kind="scene", start=start, end=end)


def plan(segments=(), first=FIRST, last=LAST, zone="UTC", families=()) -> dict[str, Window]:
    return plan_windows(second(first, 9, zone), second(last, 22, zone), list(segments), WindowConfig(), families=families,
                        time_zone=zone)


def days(window: Window) -> list[float]:
    return [(b - a) / DAY for a, b in pairwise(window.bounds)]


def test_a_long_shop_gets_the_configured_windows_at_its_end():
    toys = SegmentSpec(name="toys", kind="domain")
    found = plan([toys], families=["store"])
    assert days(found[BASE]) == [14, 28, 14, 14]
    assert found[BASE].report_end == second(date(2024, 6, 29), 0)
    for name in ("toys", "store"):
        assert found[name] == Window(name, *found[BASE].bounds) and found[name].shots_start == 0


def test_a_short_shop_gets_proportionally_shorter_ones():
    window = plan(last=date(2024, 2, 11))[BASE]  # 42 days, 60% of them for the three windows
    assert days(window) == [6, 13, 6, 6]
    assert window.support_start - second(FIRST, 0) >= 0.4 * 42 * DAY


def test_even_two_days_have_windows_of_a_day():
    assert days(plan(last=date(2024, 1, 2))[BASE]) == [1, 1, 1, 1]


def test_a_scene_is_split_40_20_20_20_inside_its_own_days():
    window = plan([scene(date(2024, 4, 1), date(2024, 4, 20))])["fair"]
    assert window.shots_start == second(date(2024, 4, 1), 0)
    assert window.validation_start == second(date(2024, 3, 18), 0)  # the blend is chosen on days before it, too
    assert window.support_start == second(date(2024, 4, 9), 0)
    assert window.report_end == second(date(2024, 4, 21), 0)
    assert days(window)[1:] == [4, 4, 4]


def test_a_scene_that_still_runs_ends_with_the_data():
    window = plan([scene(date(2024, 6, 19), date(2024, 7, 30))])["fair"]
    assert window.report_end == second(date(2024, 6, 29), 0)
    assert days(window)[1:] == [2, 2, 2]


@pytest.mark.parametrize("length", range(5, 40))
def test_every_part_of_a_scene_has_a_day(length):
    window = plan([scene(date(2024, 4, 1), date(2024, 4, 1) + timedelta(days=length - 1))])["fair"]
    assert min(window.support_start - window.shots_start, *(DAY * part for part in days(window)[1:])) >= DAY


@pytest.mark.parametrize("start, end", [
    (date(2024, 9, 1), date(2024, 9, 20)),    # after the data
    (date(2023, 9, 1), date(2023, 9, 20)),    # before it
    (date(2024, 1, 3), date(2024, 1, 20)),    # nothing before it to train a base on
    (date(2024, 6, 25), date(2024, 7, 30)),   # four days of it, so far
])
def test_a_scene_outside_the_data_has_no_window(start, end):
    assert "fair" not in plan([scene(start, end)])


def test_order_only_windows_are_one_step_each():
    last = second(date(2000, 1, 1), 23)
    found = plan_windows(last - 50, last, [SegmentSpec(name="all", kind="custom"), scene(FIRST, LAST)],
                         WindowConfig(), families=["store"], order_only=True)
    assert set(found) == {BASE, "all", "store"}
    assert [round(d * DAY) for d in days(found["all"])] == [1, 1, 1, 1]
    assert found[BASE].report_end == last + 1


@pytest.mark.parametrize("zone, change", [
    ("Europe/Berlin", date(2024, 3, 31)), ("America/New_York", date(2024, 3, 10)),
    ("Europe/Berlin", date(2023, 10, 29)),
])
def test_cuts_are_local_midnights_also_across_a_clock_change(zone, change):
    """No cut may fall inside a local day: a day is 23 or 25 hours long when the clock changes."""
    last = date.fromordinal(change.toordinal() + 5)
    for segments in ([], [scene(date.fromordinal(last.toordinal() - 19), last)]):
        for window in plan(segments, first=date.fromordinal(last.toordinal() - 179), last=last, zone=zone).values():
            cuts = list(window.bounds)
            local = [datetime.fromtimestamp(cut, UTC).astimezone(ZoneInfo(zone)) for cut in cuts]
            assert [(at.hour, at.minute) for at in local] == [(0, 0)] * 5
            assert cuts == sorted(set(cuts))
