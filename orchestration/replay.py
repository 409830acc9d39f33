"""`make replay`: feed a shop night by night through the schedule's command, and tell what every night did.

The first cycle sees all but the newest days. Then every night brings one, as `last_day` of a copied shop.yaml. The replay lives
in RECSYS_HOME/replay with a home of its own, so it touches nothing that serves. Cut short, it goes on with the next night.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from shutil import copytree
from typing import Any, Literal

import polars as pl

from orchestration.command import told_in_one_line
from orchestration.nights import write_nights
from recsys_core.artefacts import file_hash, one_writer, read_json, staged_file, staged_folder, write_json
from recsys_core.cleaning import count_day
from recsys_core.deployment import load_champion
from recsys_core.errors import RecsysError
from recsys_core.evaluation import JUDGED_NIGHTLY, NIGHTS
from recsys_core.features import read_features
from recsys_core.ingestion import Shop, open_shop
from recsys_core.monitoring import NextDaysConfig, judge_day
from recsys_core.reading import read_yaml

ROOT = Path(__file__).parent.parent
SHOP_FILE = "shop.yaml"


@dataclass(frozen=True)
class Replay:
    """A shop that is replayed.

    Args:
        folder: where everything goes.
        source: the shop's folder; None: the embedded shop.
        profile: full or quick.
    """

    folder: Path
    source: Path | None
    profile: Literal["full", "quick"]

    @property
    def home(self) -> Path:
        """RECSYS_HOME of the nights."""
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        """Of a command on the replayed shop; nobody's MLflow, Dagster instance or webhook hears of it."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DAGSTER_", "RECSYS_ALERT_"))}
        return {**own, "RECSYS_SHOP": str(self.folder / "shop"), "RECSYS_HOME": str(self.home), "RECSYS_PROFILE": self.profile}

    @cached_property
    def shop(self) -> Shop:
        """The whole shop."""
        return open_shop(self.source, self.profile)

    def run(self, days: int) -> list[dict[str, Any]]:
        """Run what is missing of the first cycle and so many nights after it; one row per night.

        Raises:
            RecsysError: too few days, another replay lies there, or a night failed.
        """
        delivered = self.shop.days()
        if not 0 < days < len(delivered):
            raise RecsysError("replay", f"{days} nights of a shop with {len(delivered)} days", "leave days for the first cycle")
        self._begin({"shop": str(self.source or "embedded"), "profile": self.profile, "first_night": str(delivered[-days])})
        if not (self.folder / "frozen").is_dir():
            self.cycle(delivered[-days - 1])
            self._count(delivered[:-days])
            with staged_folder(self.folder / "frozen") as frozen:
                champion = self.home / "champion"
                copytree(champion if (champion / "manifest.json").is_file() else self.home / "bundle", frozen, dirs_exist_ok=True)
        rows = read_json(self.folder / NIGHTS) if (self.folder / NIGHTS).is_file() else []
        for day in delivered[-days + len(rows):] if len(rows) < days else ():
            rows.append(self._night(day))
            write_json(self.folder / NIGHTS, rows)
            write_nights(self.folder, rows)
        return rows

    def _begin(self, about: Mapping[str, str]) -> None:
        begun = self.folder / "replay.json"
        if not begun.is_file():
            write_json(begun, about)
        elif read_json(begun) != about:
            raise RecsysError(str(self.folder), f"another replay lies there: {read_json(begun)}",
                              "remove the folder, or continue it")

    def _night(self, day: date) -> dict[str, Any]:
        champion, adapted = self._champion(), self._adapters()
        begun = self.folder / "begun.json"
        cut = begun.is_file() and read_json(begun) == str(day)
        write_json(begun, str(day))
        seconds = self.cycle(day)
        late = [one for one in self.shop.days() if 0 <= (day - one).days <= self.shop.config.lateness_days]
        report = read_json(self.home / "report" / "metrics.json")
        now = self._adapters()
        fresh = sum(adapted.get(name) != made for name, made in now.items())
        return {"day": str(day), "seconds": round(seconds, 2), "resumed": cut, **self._count(late),
                "segments_adapted": fresh, "segments_skipped": len(now) - fresh,
                "segments_refused": sum(one["decision"] == "refused" for one in report["segments"]),
                "segments_promoted": sum(one["decision"] == "promoted" for one in report["segments"]),
                "champion_changed": self._champion() != champion, **self._next_day(day)}

    def cycle(self, day: date) -> float:
        """Run the nightly command on the shop as it is on the evening of `day`; its seconds.

        Raises:
            RecsysError: it failed.
        """
        self._open_until(day)
        begun = time.perf_counter()
        with open(self.folder / "cycles.log", "a") as told:
            done = subprocess.run([sys.executable, "-m", "orchestration.cycle"], cwd=ROOT, env=self.environment, stdout=told,
                                  stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise RecsysError("replay", f"the night of {day} failed", f"read the end of {told.name}, then continue")
        return time.perf_counter() - begun

    def _open_until(self, day: date) -> None:
        import yaml

        source = self.source
        settings = {"preset": "complete_journey"} if source is None else {}
        if source is not None:
            given = read_yaml(source / SHOP_FILE) if (source / SHOP_FILE).is_file() else {}
            settings = {"name": source.resolve().name, **given, "data": str((source / str(given.get("data") or ".")).resolve())}
        with staged_file(self.folder / "shop" / SHOP_FILE) as file:
            file.write_text(yaml.safe_dump({**settings, "last_day": day}, allow_unicode=True), encoding="utf-8")

    def _count(self, days: Sequence[date]) -> dict[str, int]:
        """Count these days anew into the ledger; the newest one's rows, and what is lost or counted twice in any of them."""
        path, config = self.folder / "ledger.json", self.shop.config
        ledger = read_json(path) if path.is_file() else {}
        raw = {date.fromisoformat(file.stem): file for file in (self.home / "raw" / "raw_events").glob("*.parquet")}
        for day in days:
            around = {one: pl.scan_parquet(file, glob=False) for one, file in raw.items()
                      if abs((one - day).days) <= config.lateness_days}
            clean, aside = (pl.scan_parquet(self.home / "clean" / table / f"{day}.parquet", glob=False)
                            for table in ("clean_events", "quarantined_events"))
            counted = asdict(count_day(around, day, clean, aside, config.time_zone, config.lateness_days))
            ledger[str(day)] = {**ledger.get(str(day), {}), **counted}
        for drop in self.shop.events(days[-1], days[-1]):
            loaded = pl.scan_parquet(raw[drop.day], glob=False).select(pl.len()).collect().item()
            ledger[str(drop.day)] |= {"rows_in": drop.events.height + drop.rejects.height, "unreadable": drop.rejects.height}
            ledger[str(drop.day)]["lost"] += max(0, drop.events.height - loaded)
            ledger[str(drop.day)]["double_counted"] += max(0, loaded - drop.events.height)
        write_json(path, ledger)
        together = {name: sum(ledger[str(day)][name] for day in days) for name in ("lost", "double_counted")}
        return {**ledger[str(days[-1])], **together}

    def _next_day(self, day: date) -> dict[str, Any]:
        """What the champion of the evening before did on this day, beside the frozen one and the rivals."""
        judged = {row["day"]: row for row in read_json(self.home / "judged_nights" / NIGHTS)}.get(str(day))
        frozen = load_champion(self.folder / "frozen")
        if judged is None or frozen is None:
            return dict.fromkeys(("questions", "frozen", *JUDGED_NIGHTLY))
        table = read_features(self.home / "features", "interactions").collect()
        still = judge_day({"frozen": frozen}, table, day, self.shop.config.time_zone, NextDaysConfig())
        return {"questions": judged["questions"], "frozen": still["frozen"], **{name: judged[name] for name in JUDGED_NIGHTLY}}

    def _champion(self) -> str | None:
        manifest = self.home / "champion" / "manifest.json"
        return file_hash(manifest) if manifest.is_file() else None

    def _adapters(self) -> dict[str, int]:
        """Segment or family → the inode of its adapter's folder: a new one is published as a new folder."""
        return {path.name: path.stat().st_ino for path in (self.home / "segment_adapter").glob("[!.]*")}


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m orchestration.replay --days N`."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--days", type=int, default=60, help="nights to replay: the newest days of the shop")
    options = parser.parse_args(arguments)
    folder = Path(os.environ.get("RECSYS_HOME") or "var").resolve() / "replay"
    source = os.environ.get("RECSYS_SHOP")
    profile: Literal["full", "quick"] = "quick" if os.environ.get("RECSYS_PROFILE") == "quick" else "full"
    with one_writer(folder):
        Replay(folder, Path(source) if source else None, profile).run(options.days)
    print((folder / "replay.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    with told_in_one_line(__name__):
        sys.exit(main())
