"""A planted shop taken through the quick chain, in a home whose name is as odd as names get; commands run as a user runs them."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.record import ROOT

ODD_NAME = "my shop [1] #2 & ü"
KINDS = {"Bath": ("towel", "soap dish", "mirror", "mat"), "Office": ("stapler", "tray", "lamp", "folder"),
         "Picnic": ("basket", "flask", "blanket", "plate")}
STUFF = ("Copper", "Pine", "Linen", "Slate", "Köln cork")
SETTINGS = """time_zone: Pacific/Auckland
segments:
  - {name: bath, kind: domain, where: "items.category LIKE 'Bath%'"}
  - {name: north, kind: custom, where: "users.region = 'north'"}
"""


def planted_shop(folder: Path, seed: int = 0) -> None:
    """60 items, 40 shoppers with five favourites each, 40 days."""
    rng = random.Random(seed)
    items = [{"item_id": f"{n:04d}", "title": f"{stuff} {kind}", "brand": ("Orla", "Finch", "007")[n % 3],
              "category": f"{room} > {kind.title()}", "price": f"{3 + n * 0.5:.2f}"}
             for n, (room, stuff, kind) in enumerate((room, stuff, kind) for room, kinds in KINDS.items() for stuff in STUFF
                                                     for kind in kinds)]
    favourites, events = {user: rng.sample(items, 5) for user in range(40)}, []
    for day in range(40):
        for user, liked in favourites.items():
            at = datetime(2024, 2, 1) + timedelta(days=day, hours=rng.randint(8, 20), minutes=rng.randint(0, 59))
            bought = [one["item_id"] for one in liked if rng.random() < 0.15]
            events += [{"user_id": f"{user:03d}", "timestamp": at.isoformat(), "event_type": "purchase", "item_id": item}
                       for item in bought]
    folder.mkdir(parents=True)
    users = [{"user_id": f"{user:03d}", "region": ("north", "south")[user % 2]} for user in favourites]
    for name, rows in (("items", items), ("events", events), ("users", users)):
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    (folder / "shop.yaml").write_text(SETTINGS, encoding="utf-8")


def run(*command: str, shop: Path | None = None, home: Path | None = None,
        **environment: str) -> subprocess.CompletedProcess[str]:
    """One command of this checkout, quick, with its two outputs."""
    places = {name: str(place) for name, place in (("RECSYS_SHOP", shop), ("RECSYS_HOME", home)) if place is not None}
    full = {**os.environ, "PYTHONPATH": str(ROOT), "RECSYS_PROFILE": "quick", "OPENBLAS_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE", **places, **environment}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=full, capture_output=True, text=True, check=False)


def planted_home(place: Path) -> Path:
    """The home of a finished quick cycle over the planted shop.

    Raises:
        RuntimeError: the cycle failed; its last lines.
    """
    shop, home = place / ODD_NAME / "shop", place / ODD_NAME / "home"
    planted_shop(shop)
    done = run("-m", "orchestration.cycle", shop=shop, home=home)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-2000:])
    return home
