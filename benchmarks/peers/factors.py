"""implicit's ALS and BPR with their defaults on the train events of a leave-one-out split. Runs among the peers.

Usage: python factors.py OUT EVENTS. EVENTS is the events.npz that sasrec.py writes; writes ALS.npz and BPR.npz with
scores float32 [users, items] and the `user` and `item` of rows and columns, and factors.json with the seconds.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking


def main(out: Path, events: Path) -> None:
    stored = np.load(events)
    users, user = np.unique(stored["user"], return_inverse=True)
    items, item = np.unique(stored["item"], return_inverse=True)
    train = np.bincount(user)[user] - 1 - stored["position"] >= 2
    taken = sp.csr_matrix((np.ones(train.sum(), np.float32), (user[train], item[train])), (len(users), len(items)))
    seconds = {}
    for name, kind in (("ALS", AlternatingLeastSquares), ("BPR", BayesianPersonalizedRanking)):
        model = kind(random_state=0, num_threads=1)
        began = time.process_time()
        model.fit(taken, show_progress=False)
        seconds[name] = time.process_time() - began
        np.savez(out / f"{name}.npz", scores=np.asarray(model.user_factors @ model.item_factors.T, np.float32),
                 user=users, item=items)
    (out / "factors.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
