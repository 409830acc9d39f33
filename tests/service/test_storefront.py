"""What the page is told before its first request."""


def test_the_shop_is_described_without_naming_anybody(client, bundle):
    told = client.get("/v1/shop").json()
    assert (told["shop"], told["items"], told["context"]["store"]) == ("tiny", 20, bundle.parts.router.members["store"])
    assert told["segments"]["toys"] == {"decision": "refused", "reason": "does not pay"}
    assert told["shoppers"] and all(set(one) == {"name", "history"} for one in told["shoppers"])
    assert {item for one in told["shoppers"] for item in one["history"]} == set(told["titles"])


def test_answers_carry_the_columns_that_were_asked_for(client):
    asked = {"history": ["k0"], "k": 1, "fields": ["title", "price", "description"]}
    [item] = client.post("/v1/recommend", json=asked).json()["items"]
    assert item["fields"] == {"title": "Zinc planter", "price": 5.0, "description": None}


def test_a_column_that_items_lack_is_refused(client):
    answer = client.post("/v1/recommend", json={"fields": ["colour"]})
    assert answer.status_code == 422 and "colour" in answer.json()["error"]["culprit"]


def test_the_page_needs_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.status_code == 200 and "page.js" in page.text
    for name in ("page.js", "style.css"):
        assert client.get(f"/{name}").status_code == 200
    assert "http" not in page.text.replace("http-equiv", "")
