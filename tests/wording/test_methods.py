"""`Bundle.describe` and `Bundle.assist` over the tiny bundle, which knows the intents find and delivery."""

import subprocess
import sys

import pytest

from recsys_core.errors import RequestError

ORDERS = [{"order_id": "A-1001", "status": "sent", "date": "2026-11-20", "items": ["k0"]}]


def test_a_written_text_is_told_while_it_holds(bundle):
    told = bundle.describe("k3", written={"k3": "This Bamboo board is sold by Alder."})
    assert told == {"item_id": "k3", "text": "This Bamboo board is sold by Alder.", "language": "en", "source": "model"}
    stale = bundle.describe("k3", written={"k3": "This Bamboo board is sold by Birch."})
    assert stale["source"] == "template" and stale["text"] == bundle.describe("k3")["text"]
    assert bundle.describe("k3", written={"k0": "Steel mug."})["source"] == "template"


def test_new_items_are_described_at_once(bundle):
    more = bundle.with_items([{"item_id": "k9", "title": "Ceramic sieve", "price": 9.5}])
    assert more.describe("k9")["text"] == "Ceramic sieve. Price: 9.50."


@pytest.mark.parametrize(("item", "language", "why"), [
    ("gone", "en", "unknown"), (None, "en", "unknown"), ([], "en", "no id"), ("k0", "xx", "no templates"),
    ("k0", 7, "no templates")])
def test_what_cannot_be_described_is_refused(bundle, item, language, why):
    with pytest.raises(RequestError, match=why):
        bundle.describe(item, language)


def test_the_task_intent_reads_messages(bundle):
    told = bundle.assist("where is my order of a bowl", {"orders": ORDERS})
    assert told["intent"] == "delivery" and told["answer"] == "Order A-1001 of 2026-11-20: sent. It holds Steel mug."
    found = bundle.assist("show me a lantern")
    assert found["intent"] == "find" and found["items"] == ["g1"]


def test_without_the_task_it_answers_from_the_catalogue_and_hands_over_the_rest(bundle):
    bundle.manifest["tasks"].clear()
    assert bundle.assist("do you sell olives")["items"] == ["d0"]
    told = bundle.assist("where is my order", {"orders": ORDERS})
    assert told["handover"] and told["intent"] is None and "sent" not in told["answer"]


def test_answering_loads_no_model(bundle_folder):
    code = (f"import sys\nfrom recsys_core.serving import Bundle\nb = Bundle.load({str(bundle_folder)!r})\nb.describe('k0')\n"
            "print(' '.join(sys.modules))")
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "recsys_core.wording.templates" in loaded
    assert [name for name in loaded if name.split(".")[0] in ("torch", "transformers", "onnxruntime")
            or name == "recsys_core.wording.writer"] == []
