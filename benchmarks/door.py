"""The front door: whatever a shop delivers is read right, set aside with its reason, or refused: `make bench-door`.

RECSYS_DATA is the folder of the public development data (Online Retail), CASES that of inputs that once failed; without one
its bars are missing, with the reason. Everything else is planted here. BEFORE is the commit that reading is compared with.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.doors import asking
from benchmarks.doors.cases import cases_right
from benchmarks.doors.chain import planted_home
from benchmarks.doors.faults import number_of_faults
from benchmarks.doors.fuzzing import foreign_exceptions
from benchmarks.doors.hashes import shop_hashes
from benchmarks.doors.holding import Outcome, outcomes
from benchmarks.doors.layouts import layouts_understood
from benchmarks.doors.speed import earlier_checkout, interleaved, large_shop
from benchmarks.record import ROOT, Bar, show, versions, write_results
from recsys_core.artefacts import read_json
from recsys_core.serving import Bundle

log = logging.getLogger(__name__)

NAME, BEFORE, SEED = "door", "4d3855b", 20
SHOPS, INPUTS, ROWS = 500, 2000, 5_000_000
Rows = list[dict[str, object]]


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    log.setLevel(logging.INFO)
    bars: list[Bar] = []
    tables: dict[str, Rows] = {}
    with TemporaryDirectory() as place:
        log.info("a planted shop goes through the chain")
        home = planted_home(Path(place))
        for measure in (_dirty, partial(_fuzzed, home), _layouts, partial(_cases, home), _hashes, _speed):
            log.info("measuring %s", getattr(measure, "func", measure).__name__.strip("_"))
            found, shown = measure()
            bars += found
            tables |= shown
    path = write_results(NAME, bars, seed=SEED, settings={"shops": SHOPS, "inputs": INPUTS, "rows": ROWS, "before": BEFORE},
                         peers=versions(["polars", "duckdb"]), tables=tables)
    print(show(path))


def _dirty() -> tuple[list[Bar], dict[str, Rows]]:
    found = outcomes(range(SEED * 1000, SEED * 1000 + SHOPS))
    lost, wrong = sum(one.lost for one in found), sum(len(one.wrong) for one in found)
    note = f"{SHOPS} planted shops, {number_of_faults()} faults, {sum(bool(one.refused) for one in found)} shops refused"
    return [Bar("door.rows_lost_silently", float(lost), "==", 0, n=SHOPS, note=note),
            Bar("door.wrong_values", float(wrong), "==", 0, n=SHOPS, note="; ".join(_examples(found)) or "no value differs")], {
        "Faults laid": [{"fault": name, "shops": count} for name, count in
                        sorted(Counter(fault for one in found for fault in one.faults).items())]}


def _examples(found: list[Outcome]) -> list[str]:
    return [f"{'+'.join(one.faults)}: {one.wrong[0]}" for one in found if one.wrong][:3]


def _fuzzed(home: Path) -> tuple[list[Bar], dict[str, Rows]]:
    foreign, loaded, wrapped = foreign_exceptions(INPUTS, SEED)
    asked, answered = asking.foreign_exceptions(Bundle.load(home / "bundle"), INPUTS, SEED)
    note = (f"{loaded} of {INPUTS} damaged shops load, {wrapped} refused by the last resort; {answered} of {INPUTS} requests are "
            f"answered; {'; '.join((foreign + asked)[:3]) or 'none'}")
    return [Bar("door.foreign_exceptions", float(len(foreign) + len(asked)), "==", 0, n=2 * INPUTS, note=note)], {}


def _layouts() -> tuple[list[Bar], dict[str, Rows]]:
    found = layouts_understood()
    return [Bar("door.layouts_understood", float(sum(not wrong for wrong in found.values())), "==", 8, n=len(found),
                note="opened with the shop.yaml that check-shop proposes: right users, items, times, types")], {
        "Layouts": [{"layout": name, "wrong": wrong[:100] or None} for name, wrong in found.items()]}


def _cases(home: Path) -> tuple[list[Bar], dict[str, Rows]]:
    found = cases_right(home)
    if not found:
        return [Bar("door.cases_right", None, "==", 0, note="CASES names no folder of cases")], {}
    right = sum(not wrong for wrong in found.values())
    return [Bar("door.cases_right", float(right), "==", float(len(found)), n=len(found), note="inputs that once failed")], {
        "Cases": [{"case": name, "wrong": wrong[:100] or None} for name, wrong in found.items()]}


def _hashes() -> tuple[list[Bar], dict[str, Rows]]:
    """Tables of real shops beside those of the commit before."""
    before = read_json(ROOT / "benchmarks" / "doors" / "before.json")["hashes"]
    unlike, note = _unlike("embedded", "", before), "the embedded year"
    data = os.environ.get("RECSYS_DATA")
    if data:
        with TemporaryDirectory() as folder:
            Path(folder, "shop.yaml").write_text(f"preset: online_retail\ndata: {Path(data, 'online_retail').resolve()}\n")
            unlike += _unlike("online_retail", folder, before)
        note += " and Online Retail"
    return [Bar("door.hashes_unlike_before", float(len(unlike)), "==", 0,
                note=f"{note}, raw and clean tables; {', '.join(unlike) or 'none'} differ")], {}


def _unlike(shop: str, folder: str, before: dict[str, dict[str, str]]) -> list[str]:
    found = shop_hashes(folder)
    return [f"{shop}.{table}" for table, value in before[shop].items() if found[table] != value]


def _speed() -> tuple[list[Bar], dict[str, Rows]]:
    """The slower of two ratios: the embedded year and one large CSV."""
    with earlier_checkout(BEFORE) as before, TemporaryDirectory() as folder:
        if before is None:
            return [Bar("door.read_rows_per_s_over_before", None, ">=", 0.9, note=f"the history does not hold {BEFORE}")], {}
        large_shop(Path(folder), ROWS)
        shown: Rows = []
        for name, shop in (("embedded year", ""), (f"CSV of {ROWS:,} rows", folder)):
            then, now = interleaved(before, shop)
            shown.append({"shop": name, "rows_per_s_before": round(then), "rows_per_s": round(now), "ratio": now / then})
    least = min(float(str(row["ratio"])) for row in shown)
    return [Bar("door.read_rows_per_s_over_before", least, ">=", 0.9, n=2, note="the lower of two shops' ratios; means of "
                "two runs in turns, each in a process of its own")], {"Reading": shown}


if __name__ == "__main__":
    main()
