"""Bundles as far as a promoter looks at them: a verified manifest over one file that says what is answered."""

from __future__ import annotations

from pathlib import Path

from recsys_core.artefacts import write_json
from recsys_core.deployment.champion import Judgement
from recsys_core.deployment.gates import GateVerdict
from recsys_core.deployment.manifest import write_manifest
from recsys_core.metrics.bootstrap import Interval
from recsys_core.release.champion import manifest_hash
from recsys_core.release.promoter import Promoter

GAIN = Interval(0.01, 0.005, 0.02, 0.001, 500, 100)


def built(folder: Path, answer: str, night: int = 1) -> Path:
    """A bundle that answers so, built in a night."""
    folder.mkdir(parents=True)
    write_json(folder / "answers.json", {"answer": answer})
    (folder / "README.md").write_text(f"night {night}")
    write_manifest(folder, {"items": 3, "lineage": {"run": f"run {night}"}})
    return folder


def judged(promoter: Promoter, outcome: str = "passed", reason: str = "beats popularity", relapse: str = "",
           metric: float = 0.1) -> Judgement:
    """What the gates say, beside the champion and predecessor of now."""
    before = promoter.predecessor()
    return Judgement(GateVerdict(outcome, (reason,)), {"ndcg@10": metric}, {"champion": GAIN}, manifest_hash(promoter.champion),
                     manifest_hash(before) if before else "", relapse)


class Nights:
    """A home in which one night follows another."""

    def __init__(self, home: Path, sources: Path, **settings: object) -> None:
        from recsys_core.oversight import ReleaseSpec

        self.promoter, self.sources, self.count = Promoter(home, ReleaseSpec(**settings)), sources, 0

    def night(self, answer: str, outcome: str = "passed", **more: object):
        """One night's bundle is built and settled; what was stored."""
        self.count += 1
        bundle = built(self.sources / str(self.count), answer, self.count)
        return self.promoter.settle(bundle, judged(self.promoter, outcome, **more), f"run {self.count}")

    @property
    def serving(self) -> str:
        """What the champion answers."""
        from recsys_core.artefacts import read_json

        return read_json(self.promoter.champion / "answers.json")["answer"]
