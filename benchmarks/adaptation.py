"""Few-shot adaptation: what it costs beside peft, scikit-learn and SetFit, and what it gains: `make bench-adaptation`.

Finished parts are kept below var/bench: an interrupted run goes on. Single-threaded processes, contestants in turns.
Public data are looked for in RECSYS_DATA (default ../shared/data); `make bench-peers` makes the peers' environments.
With DEVICE=cuda only LoRA is measured, ours and peft's on the GPU: `make bench-adaptation DEVICE=cuda`.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path

from benchmarks.adaptations import classes, cost, lora, quality
from benchmarks.adaptations.segments import prepare_segments
from benchmarks.rankings.questions import PLACE
from benchmarks.record import ROOT, Parts, show, versions, write_results
from recsys_core.adaptation.adapt import AdaptationConfig
from recsys_core.errors import RecsysError

NAME, ON_GPU = "adaptation", "adaptation_cuda"
SETFIT = "1.2.0"


def main() -> None:
    import torch

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    torch.set_num_threads(1)
    parts = Parts(PLACE / "parts", [ROOT / "recsys_core", ROOT / "benchmarks"])
    device, ways = os.environ.get("DEVICE", "cpu"), {"cpu": on_cpu, "cuda": on_gpu}
    if device not in ways:
        raise RecsysError("DEVICE", f"is {device!r}", f"use one of {list(ways)}")
    print(show(ways[device](parts)))


def on_cpu(parts: Parts) -> Path:
    """Everything, into adaptation.json."""
    study = cache(prepare_segments)
    gains = parts.get("quality", quality.run)
    texts = parts.get("classes", classes.run) if not classes.missing() else None
    loop = parts.get("lora", lambda: lora.run(study()))
    costs = parts.get("cost", lambda: cost.run(study()))
    bars = [*cost.bars(costs, loop), *lora.bars(loop, NAME), *quality.bars(gains), *classes.bars(texts, classes.missing())]
    tables = {"Seconds": lora.table(loop), "Milliseconds": cost.table(costs), "Gains by shots": quality.curve_rows(gains),
              "The gate": quality.gate_rows(gains), "Text classes": texts["rows"] if texts else []}
    return write_results(NAME, bars, seed=0, settings={"adaptation": AdaptationConfig().model_dump()}, tables=tables,
                         peers={**versions(["peft", "scikit-learn", "torch", "transformers"]), "setfit": SETFIT})


def on_gpu(parts: Parts) -> Path:
    """LoRA alone, into adaptation_cuda.json."""
    loop = parts.get("lora_cuda", lambda: lora.run(prepare_segments(device="cuda")))
    return write_results(ON_GPU, lora.bars(loop, ON_GPU), seed=0, settings={"lora": lora.CONFIG.model_dump()},
                         tables={"Seconds": lora.table(loop)}, peers=versions(["peft", "torch", "transformers"]))


if __name__ == "__main__":
    main()
