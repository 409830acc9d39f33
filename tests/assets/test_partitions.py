"""Days and segments come from the shop; tags and keys are each other's inverse."""

import os
import time

import dagster as dg
import pytest

from assets.partitions import PARTITIONS_TAG, Home, days, keys_of, partition_tags, segments
from tests.assets.runs import DAYS


def test_days_are_the_shops_from_first_to_last() -> None:
    assert days.get_partition_keys() == DAYS


def test_segments_are_the_shops_in_its_order() -> None:
    assert segments.get_partition_keys() == ["toys", "stationery", "spring-fair", "new-shoppers", "nobody"]


@pytest.mark.parametrize("keys", [["toys"], ["toys", "stationery"], ["toys", "spring-fair", "nobody"],
                                  ["stationery", "nobody"]])
def test_keys_survive_the_tags(keys: list[str]) -> None:
    assert keys_of(partition_tags(reversed(keys), segments), segments) == keys


def test_only_a_gap_needs_the_extra_tag() -> None:
    assert PARTITIONS_TAG not in partition_tags(["toys", "stationery"], segments)
    assert partition_tags(["nobody", "toys"], segments)[PARTITIONS_TAG] == "toys,nobody"


@pytest.mark.parametrize("keys", [["nowhere"], []])
def test_unknown_or_no_keys_are_an_error(keys: list[str]) -> None:
    with pytest.raises(dg.DagsterUnknownPartitionError):
        partition_tags(keys, segments)


def test_staging_sweeps_what_killed_runs_left(tmp_path) -> None:
    home = Home(folder=str(tmp_path))
    own, fresh = home.staging("own"), home.staging("fresh")
    old = own.parent / "old-12345678-0"  # of a process that is no more
    old.mkdir()
    yesterday = time.time() - 100_000
    for folder in (old, own):  # or the clock jumped ahead while this process was at work
        os.utime(folder, (yesterday, yesterday))
    newest = home.staging("newest")
    assert (old.exists(), own.exists(), fresh.exists(), list(newest.iterdir())) == (False, True, True, [])
