"""The text encoder as an artefact: pretrained weights fine-tuned on the shop before every window it is judged in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recsys_core.artefacts import read_json, write_json
from recsys_core.interactions import Catalogue, Window, make_interactions
from recsys_core.text_encoder.encoder import EncoderConfig, TextEncoder, load_encoder
from recsys_core.text_encoder.finetune import FinetuneConfig, finetune_encoder
from recsys_core.text_encoder.pairs import PairConfig, make_pairs
from recsys_core.text_encoder.scripts import check_reading


@dataclass(frozen=True)
class TextEncoderArtefact:
    """A fine-tuned encoder on disk."""

    folder: Path

    def load(self) -> TextEncoder:
        return TextEncoder.load(self.folder / "encoder")

    @property
    def about(self) -> dict:
        """cutoff, curves, whether fine-tuning was kept, share of unknown tokens."""
        return read_json(self.folder / "text_encoder.json")


def build_text_encoder(folder: Path, *, items: pl.DataFrame, interactions: pl.DataFrame, plan: dict[str, Window],
                       encoder: EncoderConfig, pairs: PairConfig, finetune: FinetuneConfig, seed: int) -> dict:
    """Fine-tune the pretrained encoder on what was known before the earliest window, and write it.

    Returns:
        what text_encoder.json holds.
    """
    cutoff = min(window.support_start for window in plan.values())
    pretrained = load_encoder(encoder)
    unknown = check_reading(pretrained, items["text"].unique().sort().to_list())
    events = make_interactions(interactions, Catalogue(items, np.zeros(len(items), np.int32), np.zeros((1, 1))))
    drawn = make_pairs(events, items, cutoff, pairs, np.random.default_rng(seed))
    result = finetune_encoder(pretrained, drawn, finetune, seed)
    result.encoder.save(folder / "encoder")
    if result.adapter is not None:
        result.save_adapter(folder / "adapter")
    about = {"model": encoder.model, "cutoff": cutoff, "pairs": len(drawn), "kept": result.adapter is not None,
             "unknown_share": round(unknown, 4), "curves": result.curves}
    write_json(folder / "text_encoder.json", about)
    return about
