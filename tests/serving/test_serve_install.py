"""`pip install .[serve]` in an empty environment is enough to answer, with the real tokenizer library."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recsys_core.artefacts import file_hash, write_json
from recsys_core.deployment.bundle import write_bundle
from recsys_core.student import STATIC, STUDENT_FORMAT, STUDENT_SETTINGS, STUDENT_TABLE, STUDENT_TOKENIZER
from tests.serving.tiny import TITLES, WordEncoder, tiny_arguments

ROOT = Path(__file__).parents[2]
PACKAGED = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "recsys_core", "assets", "orchestration", "expectations")
# What pip says where no index answers; everything else is a failure of ours.
UNREACHABLE = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ReadTimeoutError", "ProxyError",
               "Connection refused", "Network is unreachable")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
ASK = """
import importlib.util, json, sys
import recsys_core
from recsys_core.serving import Bundle

bundle = Bundle.load(sys.argv[1])
mine = bundle.adapt([{"item_id": item, "label": 1} for item in ("d0", "d1", "d2", "d4", "d1", "d2")])
print(json.dumps({
    "code": recsys_core.__file__,
    "heavy": [name for name in ("torch", "dagster", "pandas", "pyarrow", "scipy", "sklearn") if importlib.util.find_spec(name)],
    "recommended": bundle.recommend(["k0"], k=1)[0].item_id,
    "store": bundle.recommend([], k=1, segment="auto", context={"store": "367"})[0].segment,
    "found": [answer.item_id for answer in bundle.search("glass teapot", k=2)],
    "text": bundle.search("glass teapot", k=1)[0].reasons["text"],
    "deli": [[answer.item_id[0] for answer in bundle.recommend([], k=20, adapter=adapter)].index("d")
             for adapter in (None, mine)]}))
"""


def arguments_with_student(folder: Path) -> dict:
    """The tiny bundle's arguments with a real static student; what `WordEncoder` answered is left out: golden searches, tasks."""
    arguments = tiny_arguments(folder)
    word_student(arguments["student_folder"])
    return {**arguments, "tasks": None, "golden": [one for one in arguments["golden"] if "query" not in one["request"]]}


def word_student(folder: Path) -> None:
    """A tokenizer of whole words and a vector of each."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = sorted({word for title in TITLES.values() for word in title.lower().split()})
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(["?", *words])}, unk_token="?"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tier = folder / STATIC
    tokenizer.save(str(tier / STUDENT_TOKENIZER))
    vectors = np.concatenate([np.zeros((1, 16), np.float32), WordEncoder().encode(words)])
    save_file({"vectors": np.rint(127 * vectors).astype(np.int8), "scales": np.ones(len(vectors), np.float32),
               "whole": np.arange(1, len(vectors), dtype=np.int32)}, str(tier / STUDENT_TABLE))
    write_json(tier / STUDENT_SETTINGS, {"format": STUDENT_FORMAT, "teacher": {}, "by_word": True, "files": {
        name: file_hash(tier / name) for name in (STUDENT_TABLE, STUDENT_TOKENIZER)}})
    write_json(folder / STUDENT_SETTINGS, {"format": STUDENT_FORMAT, "serves": STATIC})


@pytest.fixture
def python(tmp_path) -> Path:
    """The interpreter of an empty environment, where pip reaches an index."""
    asked = subprocess.run([*PIP, "download", "--no-deps", "--no-cache-dir", "--retries", "1", "--dest", tmp_path / "asked",
                            "lazy_loader"], capture_output=True, text=True)
    if asked.returncode and any(sign in asked.stderr for sign in UNREACHABLE):
        pytest.skip("pip reaches no package index")
    assert asked.returncode == 0, asked.stderr
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    return tmp_path / "venv" / "bin" / "python"


@pytest.mark.index
def test_the_serve_extra_alone_loads_a_bundle_and_answers(python, tmp_path):
    source, elsewhere = tmp_path / "source", tmp_path / "elsewhere"
    source.mkdir()
    elsewhere.mkdir()
    for name in PACKAGED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    done = subprocess.run([*PIP, "--python", python, "install", "--no-compile", f"{source}[serve]"], cwd=elsewhere,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    write_bundle(tmp_path / "bundle", **arguments_with_student(tmp_path / "sources"))
    environment = {**os.environ, "PYTHONPATH": ""}
    ran = subprocess.run([python, "-c", ASK, tmp_path / "bundle"], cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    answers = json.loads(ran.stdout)
    assert Path(answers["code"]).is_relative_to(tmp_path / "venv") and answers["heavy"] == []
    assert answers["recommended"] and answers["store"] == "store"
    assert set(answers["found"]) == {"k1", "k2"} and answers["text"] > 0
    assert answers["deli"][1] < answers["deli"][0]  # the place of the first item of the clicked department
