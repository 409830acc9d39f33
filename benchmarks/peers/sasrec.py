"""SASRec as RecBole 1.2.1 trains it by default, on the ml-100k that RecBole carries. Runs in the peers' environment.

Usage: python sasrec.py OUT MINUTES. Trains to early stop, one thread, for at most so many minutes; started again, it
goes on after the last finished epoch. Writes to OUT:
- events.npz: user, item (ml-100k's ids), position; every event in RecBole's own order of time, so that whoever reads
  it has the identical leave-one-out split (the last event of a user is tested, the one before validates);
- progress.json: per finished epoch its validation NDCG@10 and its seconds (processor and wall), validation included;
- sasrec.npz and sasrec.json once stopped: the test questions' scores float32 [users, items] with the `user` and `item`
  of rows and columns; seconds, epochs and RecBole's own test result.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

# RecBole 1.2.1 still writes the aliases that NumPy 1.24 removed, and loads its own checkpoints as pickles.
for alias, real in (("float", float), ("int", int), ("bool", bool), ("object", object), ("str", str)):
    if alias not in np.__dict__:
        setattr(np, alias, real)
_load = torch.load
torch.load = lambda *args, **kwargs: _load(*args, **{**kwargs, "weights_only": False})

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.utils import get_model, get_trainer, init_seed  # noqa: E402

# RecBole's defaults, but for what a sequential model needs: leave-one-out in the order of time, full ranking.
SETTINGS = {
    "dataset": "ml-100k", "seed": 0, "use_gpu": False, "show_progress": False, "train_neg_sample_args": None,
    "eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"},
    "metrics": ["NDCG", "Hit", "MRR"], "valid_metric": "NDCG@10",
}


class TimeUp(Exception):
    """The minutes of this call are used up."""


def sequences(*parts) -> dict[int, list[int]]:
    """Every user's items in RecBole's order: the first of the first list, then every target of train, valid, test."""
    found: dict[int, list[int]] = {}
    for rows in (part.dataset.inter_feat for part in parts):
        columns = [rows[name].numpy() for name in ("user_id", "item_id", "item_id_list")]
        for user, item, past in zip(*columns, strict=True):
            found.setdefault(int(user), [int(past[0])]).append(int(item))
    return found


def write_events(path: Path, order: dict[int, list[int]], users, items) -> None:
    rows = [(users[user], items[item], at) for user, taken in order.items() for at, item in enumerate(taken)]
    np.savez(path, user=np.array([r[0] for r in rows], "U"), item=np.array([r[1] for r in rows], "U"),
             position=np.array([r[2] for r in rows], np.int64))


def train_to_stop(trainer, train, valid, out: Path, minutes: float) -> list[dict]:
    """Train on from the last finished epoch; returns one row per epoch."""
    progress, last = out / "progress.json", out / "last.pth"
    epochs = json.loads(progress.read_text()) if progress.is_file() and last.is_file() else []
    if epochs:
        trainer.resume_checkpoint(last)
    trainer.saved_model_file = str(out / "best.pth")
    began, wall, cpu = time.perf_counter(), time.perf_counter(), time.process_time()

    def finished(epoch, score):
        nonlocal wall, cpu
        epochs.append({"epoch": epoch, "valid_ndcg@10": float(score), "cpu_seconds": time.process_time() - cpu,
                       "wall_seconds": time.perf_counter() - wall})
        trainer._save_checkpoint(epoch, verbose=False, saved_model_file=str(last))
        progress.write_text(json.dumps(epochs))
        print(epochs[-1], flush=True)
        wall, cpu = time.perf_counter(), time.process_time()
        if trainer.cur_step <= trainer.stopping_step and time.perf_counter() - began > 60 * minutes:
            raise TimeUp

    if trainer.cur_step <= trainer.stopping_step:
        trainer.fit(train, valid, saved=True, show_progress=False, callback_fn=finished)
    return epochs


def main(out: Path, minutes: float) -> None:
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    config = Config(model="SASRec", config_dict={**SETTINGS, "checkpoint_dir": str(out)})
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    users, items = dataset.field2id_token["user_id"], dataset.field2id_token["item_id"]
    train, valid, test = data_preparation(config, dataset)
    write_events(out / "events.npz", sequences(train, valid, test), users, items)
    model = get_model(config["model"])(config, train.dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    # RecBole leaves autograd's debugging aid on, which costs a third of the time and changes no result.
    torch.autograd.set_detect_anomaly(False)
    try:
        epochs = train_to_stop(trainer, train, valid, out, minutes)
    except TimeUp:
        print(f"not stopped yet after {minutes:g} minutes: run again to go on")
        return
    result = trainer.evaluate(test, load_best_model=True, model_file=str(out / "best.pth"), show_progress=False)
    model.eval()
    with torch.no_grad():
        asked = [(batch["user_id"], model.full_sort_predict(batch)) for batch, *_ in test]
    np.savez(out / "sasrec.npz", item=np.array(list(items[1:]), "U"),
             user=np.array([users[user] for batch, _ in asked for user in batch.numpy()], "U"),
             scores=np.concatenate([scores.view(len(batch), -1).numpy() for batch, scores in asked])[:, 1:])
    (out / "sasrec.json").write_text(json.dumps({
        "cpu_seconds": sum(row["cpu_seconds"] for row in epochs),
        "wall_seconds": sum(row["wall_seconds"] for row in epochs), "epochs": len(epochs), "threads": 1,
        "valid_ndcg@10": max(row["valid_ndcg@10"] for row in epochs),
        "parameters": sum(p.numel() for p in model.parameters()),
        "recbole_test": {name: float(value) for name, value in result.items()}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
