"""A night that is killed in every stage, again and again, ends as if nobody had touched it."""

import pytest

from benchmarks.nights.kills import begin_again, finish, kill_command, prepare, published, torn
from tests.shops import planted_shop

STAGES = ("events_by_trust", "base_model", "bundle")  # of days, base and publish


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    place = tmp_path_factory.mktemp("kills")
    planted_shop(place / "shop", users=40, days=28, toy_encoder=True)
    return prepare(place)


def test_a_night_killed_in_any_stage_converges(nights):
    before = published(nights.place / "start")
    changed = {name for name, digest in nights.published.items() if before.get(name) != digest}
    for part in ("raw/", "clean/", "features/interactions/", "base_model", "segment_adapter/", "bundle"):
        assert any(name.startswith(part) for name in changed), part  # the night makes something new of it
    begin_again(nights)
    for step in STAGES:
        assert kill_command(nights, step) is not None
        assert torn(nights) == []
    assert finish(nights) == []
