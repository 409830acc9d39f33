"""Few-shot adaptation: what it costs beside peft, scikit-learn and SetFit: `make bench-adaptation`.

Finished parts are kept below var/bench: an interrupted run goes on. Single-threaded processes, contestants in turns.
CLASSES=0 leaves out the text classes, whose SetFit trainings take half an hour; their bars are then written as not measured.
Public data are looked for in RECSYS_DATA (default ../shared/data); `make bench-peers` makes the peers' environments.
"""

from __future__ import annotations

import logging
import os
from functools import cache

from benchmarks.adaptations import classes, cost, peft
from benchmarks.adaptations.segments import prepare_segments
from benchmarks.rankings.questions import PLACE
from benchmarks.record import ROOT, Parts, show, versions, write_results

NAME = "adaptation"
SETFIT = "1.2.0"


def main() -> None:
    import torch

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    torch.set_num_threads(1)
    parts = Parts(PLACE / "parts", [ROOT / "recsys_core", ROOT / "benchmarks"])
    study = cache(prepare_segments)
    absent = classes.missing() if os.environ.get("CLASSES", "1") != "0" else "not measured on this commit"
    texts = None if absent else parts.get("classes", classes.run)
    loops = parts.get("peft", lambda: peft.run(study()))
    costs = parts.get("cost", lambda: cost.run(study()))
    bars = [*cost.bars(costs, loops), *classes.bars(texts, absent)]
    tables = {"Seconds of a peft loop": peft.table(loops), "Milliseconds": cost.table(costs),
              "Text classes": texts["rows"] if texts else []}
    print(show(write_results(NAME, bars, seed=0, settings={"closed_form": cost.CONFIG.model_dump()}, tables=tables,
                             peers={**versions(["peft", "scikit-learn", "torch", "transformers"]), "setfit": SETFIT})))


if __name__ == "__main__":
    main()
