import numpy as np

from recsys_core.retrieval.facets import count_bands, count_values


def test_values_are_counted_over_the_items_asked_about_and_a_path_counts_all_above():
    codes = np.array([0, 1, 1, -1, 2], np.int32)
    names = {"Kitchen > Cups": 0, "Kitchen > Jars": 1, "Deli": 2}
    rows = np.array([0, 1, 2, 3])
    assert count_values(codes, names, rows, path=False) == [{"value": "Kitchen > Jars", "count": 2},
                                                             {"value": "Kitchen > Cups", "count": 1}]
    assert count_values(codes, names, rows, path=True)[0] == {"value": "Kitchen", "count": 3}


def test_ranges_hold_about_equally_many_and_every_known_number():
    numbers = np.r_[np.arange(100.0), np.nan]
    bands = count_bands(numbers, np.arange(101))
    assert len(bands) == 5 and bands[0]["value"]["min"] == 0 and bands[-1]["value"]["max"] == 99
    assert all(20 <= band["count"] <= 21 for band in bands)
    assert count_bands(numbers, np.array([100])) == [] and count_bands(numbers, np.array([7]))[0]["count"] == 1
