"""SetFit by its own recipe on given shots. Runs in its own environment (setfit-requirements.txt).

Usage: python setfit_classes.py MODEL TASK OUT. MODEL is a sentence-transformers folder. TASK is a JSON file with texts
and labels of the shots, the test texts, and a seed. Writes OUT, a JSON file with the predicted label of every test text,
the seconds of training (processor and wall; loading the model and predicting are not counted) and versions.
The published recipe: contrastive pairs with cosine loss, 20 iterations, one epoch of batch 16, then logistic regression;
all else SetFit's defaults. (Without `num_iterations` SetFit draws every negative pair: 11 times the steps at 64 shots of
each of 8 classes.) Checkpoints and reports are off.
"""

import json
import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def main(model_folder: str, task_file: str, out: str) -> None:
    torch.set_num_threads(1)
    task = json.loads(Path(task_file).read_text(encoding="utf-8"))
    model = SetFitModel.from_pretrained(model_folder, local_files_only=True)
    shots = Dataset.from_dict({"text": task["texts"], "label": task["labels"]})
    with tempfile.TemporaryDirectory() as scratch:
        args = TrainingArguments(output_dir=scratch, batch_size=16, num_epochs=1, num_iterations=20, seed=task["seed"],
                                 report_to="none", save_strategy="no", show_progress_bar=False)
        trainer = Trainer(model=model, args=args, train_dataset=shots)
        began, cpu = time.perf_counter(), time.process_time()
        trainer.train()
        seconds = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - began}
    predicted = [str(label) for label in model.predict(task["test"], show_progress_bar=False)]
    found = {"predicted": predicted, **seconds,
             "versions": {name: version(name) for name in ("setfit", "sentence-transformers", "transformers", "torch")}}
    staging = Path(f"{out}.staging")
    staging.write_text(json.dumps(found), encoding="utf-8")
    os.replace(staging, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
