"""The trained SASRec asked with only the newest 1, 2, 4, 8 or 16 items of every history. Runs in the peers' environment.

Usage: python sasrec_steps.py OUT, after sasrec.py has stopped. Writes OUT/steps.npz: `scores_N` float32 [users, items] with
the `user` and `item` of rows and columns.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from sasrec import SETTINGS, Config, create_dataset, data_preparation, get_model, init_seed

LENGTHS = (1, 2, 4, 8, 16)


def cut(batch, length: int):
    """The batch with at most the newest items of each list, moved to its beginning."""
    batch = batch.clone() if hasattr(batch, "clone") else batch
    items, sizes = batch["item_id_list"].clone(), batch["item_length"].clone()
    kept = torch.zeros_like(items)
    for row, size in enumerate(sizes.tolist()):
        newest = items[row, max(0, size - length):size]
        kept[row, :len(newest)] = newest
    batch.interaction["item_id_list"] = kept
    batch.interaction["item_length"] = sizes.clamp(max=length)
    return batch


def main(out: Path) -> None:
    torch.set_num_threads(1)
    config = Config(model="SASRec", config_dict={**SETTINGS, "checkpoint_dir": str(out)})
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    users, items = dataset.field2id_token["user_id"], dataset.field2id_token["item_id"]
    train, _, test = data_preparation(config, dataset)
    model = get_model(config["model"])(config, train.dataset).to(config["device"])
    model.load_state_dict(torch.load(out / "best.pth", map_location="cpu")["state_dict"])
    model.eval()
    found = {"item": np.array(list(items[1:]), "U")}
    with torch.no_grad():
        for length in LENGTHS:
            asked = [(batch["user_id"].numpy(), model.full_sort_predict(cut(batch, length))) for batch, *_ in test]
            found["user"] = np.array([users[user] for ids, _ in asked for user in ids], "U")
            found[f"scores_{length}"] = np.concatenate([s.view(len(ids), -1).numpy() for ids, s in asked])[:, 1:]
    np.savez(out / "steps.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
