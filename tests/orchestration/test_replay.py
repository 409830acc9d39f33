"""Three nights of a planted shop replayed by the real command: the ledger adds up, and a cut replay goes on."""

import json
from pathlib import Path

import pytest

from orchestration.nights import cost_slope, next_day_gain, write_nights
from orchestration.replay import Replay
from recsys_core.artefacts import read_json
from recsys_core.errors import RecsysError
from recsys_core.evaluation import NIGHTS
from tests.shops import planted_shop

NIGHT = 1  # the second of the three brings a copy, a late event and one that is too late


def plant(shop: Path) -> dict[str, str]:
    """The days that the planted rows belong to, by what they are."""
    drops = sorted((shop / "events").iterdir())
    drop, before, closed = drops[-3 + NIGHT], drops[-4 + NIGHT], drops[-8 + NIGHT]
    rows = drop.read_text().splitlines()
    late, too_late = ({**json.loads(file.read_text().splitlines()[0]), "event_id": name}
                      for file, name in ((before, "late"), (closed, "too-late")))
    drop.write_text("\n".join([*rows, rows[3], json.dumps(late), json.dumps(too_late)]) + "\n")
    return {"late": before.stem, "too_late": drop.stem}


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """Replay, its rows, what was planted where; the third night began and was cut, then the replay went on."""
    root = tmp_path_factory.mktemp("replay")
    shop = planted_shop(root / "shop", users=24, days=30, toy_encoder=True)
    planted = plant(shop)
    replay = Replay(root / "replay", shop, "quick")
    with pytest.MonkeyPatch.context() as patch:
        cycle = Replay.cycle

        def cut(self: Replay, day) -> float:
            if day == self.shop.days()[-1]:
                raise KeyboardInterrupt
            return cycle(self, day)

        patch.setattr(Replay, "cycle", cut)
        with pytest.raises(KeyboardInterrupt):
            replay.run(3)
    kept = read_json(replay.folder / NIGHTS)
    rows = replay.run(3)
    assert rows[:2] == kept
    return replay, rows, planted


def test_nothing_is_lost_and_nothing_counts_twice(replayed):
    replay, rows, planted = replayed
    assert [row["day"] for row in rows] == [str(day) for day in replay.shop.days()[-3:]]
    for row in rows:
        assert row["delivered"] == row["clean"] + row["set_aside"] + row["late"] + row["duplicates"]
        assert (row["lost"], row["double_counted"]) == (0, 0)
    assert [row["duplicates"] for row in rows] == [0, 1, 0]
    assert [row["late"] for row in rows] == [0, 1, 0]
    ledger = read_json(replay.folder / "ledger.json")
    drop = sum(1 for _ in (replay.source / "events" / f"{planted['late']}.jsonl").open())
    assert ledger[planted["late"]]["clean"] == drop + 1  # the late event re-made its day
    assert rows[NIGHT]["rows_in"] == rows[NIGHT]["delivered"] + 1


def test_every_night_is_judged_on_the_day_it_brought(replayed):
    replay, rows, _ = replayed
    judged = read_json(replay.home / "judged_nights" / NIGHTS)
    assert [row["day"] for row in judged] == [row["day"] for row in rows]
    assert [row["served"] for row in rows] == [row["served"] for row in judged]
    assert rows[0]["frozen"] == pytest.approx(rows[0]["served"])  # the first night's champion is that of day 0
    assert all(0 <= row[name] <= 1 for row in rows for name in ("served", "frozen", "personal_frequency", "popularity"))


def test_a_cut_night_is_told_and_the_replay_has_its_table_and_plot(replayed):
    replay, rows, _ = replayed
    assert [row["resumed"] for row in rows] == [False, False, True]
    assert all(row["segments_adapted"] + row["segments_skipped"] == 5 for row in rows)
    told = (replay.folder / "replay.md").read_text()
    assert "Events lost: 0; counted twice: 0." in told
    assert told.count("\n| 2024") == 3
    assert (replay.folder / "replay.png").read_bytes().startswith(b"\x89PNG")
    assert replay.run(3) == rows  # nothing is left to do


def test_another_replay_in_the_same_place_is_refused(replayed):
    replay, _, _ = replayed
    with pytest.raises(RecsysError, match="another replay"):
        replay.run(2)
    with pytest.raises(RecsysError, match="30 days"):
        replay.run(30)


def nights(seconds: list[float], served: list[float | None]) -> list[dict]:
    return [{"day": f"2024-03-{n:02d}", "seconds": second, "resumed": False, "served": one, "frozen": 0.2, "lost": 0,
             "double_counted": 0, "personal_frequency": 0.1, "popularity": 0.05}
            for n, (second, one) in enumerate(zip(seconds, served, strict=True), 1)]


def test_slope_and_gain_have_known_answers(tmp_path):
    rows = nights([10.0, 10.1, 10.2, 10.3, 10.4], [0.3, None, 0.3, 0.3, 0.3])
    assert cost_slope(rows)[0] == pytest.approx(10 / 10.2)
    rows[2]["seconds"] = 99.0  # one busy night
    assert cost_slope(rows)[0] == pytest.approx(10 / 27.96)
    assert cost_slope([{**row, "resumed": True} for row in rows]) is None
    gain = next_day_gain(rows, "frozen")
    assert (gain.mean, gain.low, gain.n) == (pytest.approx(0.1), pytest.approx(0.1), 4)
    assert next_day_gain(rows[:1], "frozen") is None
    write_nights(tmp_path, rows)
    assert "over frozen at day 0: +0.1000 [+0.1000, +0.1000]" in (tmp_path / "replay.md").read_text()
