"""The teacher under sentence-transformers, one thread: reads a JSON line of how to encode, answers with the seconds it took.

python encode_queries.py MODEL QUERIES.json; each line on stdin is a batch size, 1: one call per text.
"""

import json
import os
import sys
import time

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

import torch
from sentence_transformers import SentenceTransformer

torch.set_num_threads(1)
model = SentenceTransformer(sys.argv[1], device="cpu")
with open(sys.argv[2], encoding="utf-8") as handle:
    queries = json.load(handle)
model.encode(queries[:32])
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    size, start = json.loads(line), time.perf_counter()
    if size == 1:
        for query in queries:
            model.encode(query)
    else:
        model.encode(queries, batch_size=size)
    print(json.dumps(time.perf_counter() - start), flush=True)
