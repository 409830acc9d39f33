"""A bundle that was loaded, and asked, before a fork answers in the child as well."""

import os
import signal
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys_core.answering import Rules
from recsys_core.base_model.click import ClickModel
from recsys_core.serving import Bundle

NAMES = ("user_item", "repeat", "user_activity", "item_popularity", "item_shown", "item_rate")
COUNTS = pl.DataFrame({"item_id": ["k0"], "item_purchases": [9], "item_impressions": [9], "item_conversions": [1]})
CLICK = ClickModel(NAMES, np.zeros(6), np.ones(6), np.ones(6), -2.0, 1.0, 0.0, 0.1, 20.0, "purchase", COUNTS)
RULES = Rules(caps={"price": 1}, must=[{"name": "deli", "filters": {"category": "Deli"}}])
ASKED = {
    "filters": lambda b: b.recommend(["k0"], filters={"brand": "Alder", "category": "Deli", "price": {"min": 1}}),
    "condition": lambda b: b.recommend(["k0", "g0", "t1"], user={"region": "north", "children": 2}, segment="auto"),
    "attributes": lambda b: b.recommend(["k0", "g0", "t1"], user_id="anna", segment="auto"),
    "family": lambda b: b.recommend([], context={"store": "412"}, segment="auto", shelf="window"),
    "batch": lambda b: b.recommend_batch([["k0"], []]),
    "adapt": lambda b: b.recommend([], adapter=b.adapt([{"item_id": "d1"}] * 3)),
    "page": lambda b: b.recommend([], adapter=b.adapt(pl.DataFrame({"item_id": ["k1"] * 4}), page=["k1", "k2"])),
    "click": lambda b: Bundle(replace(b.parts, click=CLICK)).click_probability(["k0", "gone"], ["k0"], segment="deli"),
    "search": lambda b: b.search("steel mug"),
    "explained": lambda b: b.search("steel mug", history=["k0", "d1"], explain=True) + b.recommend(["k0"], explain=True),
    "rules": lambda b: b.recommend(["k0"], rules=b.bind_rules(RULES)),
    "similar": lambda b: b.similar("k0"),
    "profile": lambda b: b.profile(["k0", "d1"]),
}


@pytest.mark.parametrize("used", [False, True], ids=["only loaded", "asked before"])
@pytest.mark.parametrize("call", ASKED)
def test_a_forked_worker_answers(bundle, call, used):
    if used:
        ASKED[call](bundle)
    assert child(lambda: ASKED[call](bundle)) == 0


def test_a_forked_worker_ends(bundle_folder):
    """The child closes what it inherited, as at the end of a worker, and does not wait for threads that are gone."""
    holder = [Bundle.load(bundle_folder)]
    holder[0].recommend(["k0"], user={"region": "north"}, segment="auto")
    assert child(holder.clear) == 0


def child(work) -> int:
    """The exit code of a child that does some work; −14: it hung."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
