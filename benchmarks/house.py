"""The house: what imports what, what nobody uses, and what serving costs: `make bench-house`.

BUNDLE is the bundle that is asked (default: that of `make bench-chain`), BEFORE the commit that it is asked with beside this
one. Both are asked in turns, each round in processes of their own; the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.record import ROOT, Bar, show, versions, write_results
from benchmarks.structure import HOUSES, circles, modules, unused_names, upward_arrows

log = logging.getLogger(__name__)

NAME, ROUNDS = "house", 5
BEFORE = "d0c270e"  # built the parts once for the score and once more for its reasons
BUNDLE = ROOT / "var" / "bench" / "chain" / "full" / "bundle"
REQUESTS = ROOT / "benchmarks" / "bundle_requests.py"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    unused, lonely = unused_names((*HOUSES, "benchmarks")), unused_names(HOUSES)
    bars = [
        Bar("house.upward_arrows", float(len(upward_arrows())), "==", 0, note="imports of a room or house from one above it"),
        Bar("house.circles", float(len(circles())), "==", 0, note="rounds of modules of the core that import each other"),
        Bar("house.unused_public_names", float(len(unused)), "==", 0,
            note=f"public functions and classes of the core that only tests use: {', '.join(unused) or 'none'}; used by "
                 f"benchmarks only: {', '.join(lonely) or 'none'}"),
        *_speed(), _size(), _types()]
    rows = [{"package": package.name, "modules": len(modules(package)),
             "lines": sum(len(path.read_text("utf-8").splitlines()) for path in modules(package))}
            for package in sorted((ROOT / "recsys_core").iterdir()) if (package / "__init__.py").is_file()]
    print(show(write_results(NAME, bars, seed=0, settings={"before": os.environ.get("BEFORE", BEFORE)},
                             tables={"Packages of the core": rows}, peers=versions(["numpy", "polars", "onnxruntime", "mypy"]))))


def _speed() -> list[Bar]:
    """The milliseconds of `recommend` beside those of an older commit, and whether both answer alike."""
    names, goals = ("house.recommend_ms_over_before", "house.lists_unlike_before"), (("<=", 0.6), ("==", 0))
    bundle, before = Path(os.environ.get("BUNDLE", BUNDLE)), os.environ.get("BEFORE", BEFORE)
    if not bundle.is_dir():
        return [Bar(name, None, *goal, note=f"no bundle at {bundle}: make bench-chain") for name, goal in
                zip(names, goals, strict=True)]
    with tempfile.TemporaryDirectory() as place:
        older = Path(place) / "before"
        subprocess.run(["git", "worktree", "add", "--detach", older, before], cwd=ROOT, check=True, capture_output=True)
        try:
            asked = [(older, _in_older_words(bundle, older, Path(place) / "bundle")), (ROOT, bundle)]
            rounds = [[_ask(*one, Path(place) / "answers.json") for one in asked] for _ in range(ROUNDS)]
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", older], cwd=ROOT, check=True, capture_output=True)
    ratios = [new["recommend_ms"] / old["recommend_ms"] for old, new in rounds]
    (old, new), *_ = rounds
    unlike = sum([item[0] for item in a] != [item[0] for item in b] for a, b in zip(old["answers"], new["answers"], strict=True))
    times = [statistics.median(one[at]["recommend_ms"] for one in rounds) for at in (0, 1)]
    return [Bar(names[0], statistics.median(ratios), *goals[0], min(ratios), max(ratios), ROUNDS,
                f"{times[0]:.2f} ms at {before}, {times[1]:.2f} ms now; medians over the requests, least and most of the rounds"),
            Bar(names[1], float(unlike), *goals[1], n=len(old["answers"]),
                note=f"requests answered with other items than at {before}")]


def _in_older_words(bundle: Path, older: Path, copy: Path) -> Path:
    """The same bundle with the names that the older commit has for the ranker's parts; the numbers are the same."""
    shutil.copytree(bundle, copy)
    code = "from recsys_core.base_model.ranker import FORMAT, PART_NAMES; import json; print(json.dumps([FORMAT, PART_NAMES]))"
    told = subprocess.run([sys.executable, "-c", code], cwd=older, env={**os.environ, "PYTHONPATH": str(older)}, check=True,
                          capture_output=True, text=True)
    ranker, manifest = copy / "ranker" / "ranker.json", copy / "manifest.json"
    about, listed = (json.loads(path.read_text("utf-8")) for path in (ranker, manifest))
    about["format"], about["part_names"] = json.loads(told.stdout)
    ranker.write_text(json.dumps(about), "utf-8")
    listed["files"]["ranker/ranker.json"] = {"sha256": hashlib.sha256(ranker.read_bytes()).hexdigest(),
                                             "size": ranker.stat().st_size}
    manifest.write_text(json.dumps(listed), "utf-8")
    return copy


def _ask(checkout: Path, bundle: Path, answers: Path) -> dict:
    """Ask the bundle with the code of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, REQUESTS, bundle.resolve(), answers], cwd=checkout, env=environment, check=True)
    return json.loads(answers.read_text("utf-8"))


def _types() -> Bar:
    """What the type checker of `make lint` finds in the core, strictly."""
    told = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    return Bar("house.type_errors", float(sum(": error:" in line for line in told)), "==", 0, note=told[-1] if told else "")


def _size() -> Bar:
    """What `pip install .[serve]` puts into an empty environment, without pip itself."""
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "site"
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", target,
                        f"{ROOT}[serve]"], check=True)
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 2**20
        largest = sorted(((sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20, folder.name)
                          for folder in target.iterdir() if folder.is_dir()), reverse=True)[:5]
    return Bar("house.serve_install_mib", size, "<=", 400,
               note="largest: " + ", ".join(f"{name} {mib:.0f}" for mib, name in largest))


if __name__ == "__main__":
    main()
