"""SASRec as RecBole 1.2.1 trains it by default, on the ml-100k that RecBole carries. Runs in the peers' environment.

Usage: python sasrec.py OUT THREADS [EPOCHS]. Writes to OUT, with allow_pickle=False arrays only:
- events.npz: user, item (ml-100k's ids), position; every event in RecBole's own order of time, so that whoever
  reads it has the identical leave-one-out split (last event of a user: test; the one before: validation);
- sasrec.npz: scores float32 [users, items] of the test questions, with `user` and `item` naming rows and columns;
- sasrec.json: seconds of training (validation for early stopping included), epochs, RecBole's own test result.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

# RecBole 1.2.1 still writes the aliases that NumPy 1.24 removed, and loads its own checkpoint as a pickle.
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


def sequences(*parts) -> dict[int, list[int]]:
    """Every user's items in RecBole's order: the first of the first list, then every target of train, valid, test."""
    found: dict[int, list[int]] = {}
    for rows in (part.dataset.inter_feat for part in parts):
        for user, item, past in zip(rows["user_id"].numpy(), rows["item_id"].numpy(), rows["item_id_list"].numpy()):
            found.setdefault(int(user), [int(past[0])]).append(int(item))
    return found


def main(out: Path, threads: int, epochs: int | None) -> None:
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    settings = {**SETTINGS, "checkpoint_dir": str(out / "checkpoints"), **({"epochs": epochs} if epochs else {})}
    config = Config(model="SASRec", config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    users, items = dataset.field2id_token["user_id"], dataset.field2id_token["item_id"]
    train, valid, test = data_preparation(config, dataset)
    order = sequences(train, valid, test)
    rows = [(users[user], items[item], at) for user, taken in order.items() for at, item in enumerate(taken)]
    np.savez(out / "events.npz", user=np.array([r[0] for r in rows], "U"), item=np.array([r[1] for r in rows], "U"),
             position=np.array([r[2] for r in rows], np.int64))

    model = get_model(config["model"])(config, train.dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    began = time.perf_counter()
    best, _ = trainer.fit(train, valid, saved=True, show_progress=False,
                          callback_fn=lambda epoch, score: print(f"epoch {epoch}: validation NDCG@10 {score:.4f}, "
                                                                 f"{time.perf_counter() - began:.0f} s", flush=True))
    seconds = time.perf_counter() - began
    result = trainer.evaluate(test, load_best_model=True, show_progress=False)
    scores, asked = [], []
    model.eval()
    with torch.no_grad():
        for batch, *_ in test:
            scores.append(model.full_sort_predict(batch).view(len(batch["user_id"]), -1).numpy())
            asked += [users[user] for user in batch["user_id"].numpy()]
    np.savez(out / "sasrec.npz", scores=np.concatenate(scores)[:, 1:], user=np.array(asked, "U"),
             item=np.array(list(items[1:]), "U"))
    (out / "sasrec.json").write_text(json.dumps({
        "seconds": seconds, "epochs": len(trainer.train_loss_dict), "threads": threads, "valid_ndcg@10": float(best),
        "parameters": sum(p.numel() for p in model.parameters()),
        "recbole_test": {name: float(value) for name, value in result.items()}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
