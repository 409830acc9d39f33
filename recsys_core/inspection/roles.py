"""Which column of a file plays which part, told by the names that shops and public data sets use."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Ours → their names without case and signs, best first.
EVENT_COLUMNS = {
    "user_id": ("userid", "user", "customeruniqueid", "visitorid", "customerid", "customer", "reviewerid", "clientid",
                "shopperid", "memberid", "householdid", "householdkey", "custid", "uid", "accountid"),
    "item_id": ("itemid", "item", "parentasin", "asin", "productid", "product", "articleid", "stockcode", "sku", "movieid",
                "isbn", "goodsid", "bookid", "trackid", "songid", "materialnumber", "pid"),
    "timestamp": ("timestamp", "eventtime", "time", "datetime", "tdat", "orderpurchasetimestamp", "invoicedate", "unixreviewtime",
                  "createdat", "eventtimestamp", "orderdate", "purchasedate", "transactiondate", "date", "ts", "day"),
    "event_type": ("eventtype", "event", "action", "behavior", "behaviour", "behaviortype", "eventname", "type"),
    "query": ("query", "searchquery", "searchterm", "searchphrase", "keywords", "q"),
    "session_id": ("sessionid", "usersession", "session", "invoiceno", "invoice", "basketid", "orderid", "visitid",
                   "transactionid"),
    "price": ("price", "unitprice", "amount", "salesprice"),
    "quantity": ("quantity", "qty", "units"),
    "rating": ("rating", "overall", "stars", "score", "reviewscore"),
    "review": ("review", "reviewtext", "text", "reviewbody"),
    "position": ("position", "ordernumber", "rank"),
}
ITEM_COLUMNS = {
    "item_id": EVENT_COLUMNS["item_id"],
    "title": ("title", "name", "productname", "prodname", "producttitle", "itemname", "movietitle", "articlename", "description"),
    "description": ("description", "detaildesc", "longdescription", "itemdescription"),
    "brand": ("brand", "brandname", "manufacturer", "store"),
    "category": ("category", "categories", "categorycode", "genres", "productcategoryname", "producttypename", "productgroupname",
                 "department", "categoryname"),
    "price": EVENT_COLUMNS["price"],
}
# What may describe an item in an event file of a shop that has no items file.
DERIVED = {name: ITEM_COLUMNS[name] for name in ("title", "brand", "category", "price")}
WORDS = {
    "impression": ("impression", "show", "exposure", "shown"),
    "view": ("view", "pv", "pageview", "detail", "detailview", "productview"),
    "click": ("click", "clickout"), "add_to_cart": ("cart", "addtocart", "basket", "addtobasket"),
    "purchase": ("purchase", "transaction", "order", "buy", "purchased", "bought", "sale"), "search": ("search",),
    "rating": ("rating", "rate"), "review": ("review",),
}


def plain(name: str) -> str:
    """A name without case and signs.

    >>> plain("Customer ID"), plain("t_dat")
    ('customerid', 'tdat')
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def match(found: Iterable[str], known: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Ours → theirs for every column that some name tells; no column plays two parts.

    >>> match(["visitorid", "itemid", "event"], EVENT_COLUMNS)
    {'user_id': 'visitorid', 'item_id': 'itemid', 'event_type': 'event'}
    """
    theirs = {plain(name): name for name in reversed(list(found))}
    matched: dict[str, str] = {}
    for ours, names in known.items():
        present = [theirs[name] for name in names if name in theirs and theirs[name] not in matched.values()]
        if present:
            matched[ours] = present[0]
    return matched


def event_type_of(word: str) -> str | None:
    """Our event type for a shop's word, None if it says nothing to us."""
    return next((ours for ours, words in WORDS.items() if plain(word) in words), None)
