"""One sentence for people, made of the largest contributions to a score and of nothing else.

A claim is only made where it holds: "popular" of an item that is taken more often than most, "of late" of one that rises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recsys_core.answering.contributions import Contribution
from recsys_core.schema import CART, CLICK, PURCHASE, RATING, REVIEW, VIEW

MOST_CLAIMS = 3
LEAST_SHARE = 0.15  # of all that raises the score beside popularity; a source that brings less is not told
LEAST_LOGITS = 0.1  # nor is one that makes the item less than a tenth likelier
LAST = ("trend", "popularity")  # what holds for everybody is told after what holds for this shopper
LONGEST_TITLE = 40
MOST_NAMED = {"item": 2, "word": 3}

# {what}: titles, words or a name. "because" introduces past items, "again" is said of the item itself.
TEMPLATES: dict[str, dict[str, str]] = {
    "en": {
        PURCHASE: "you bought {what}", VIEW: "you viewed {what}", CLICK: "you clicked on {what}", RATING: "you rated {what}",
        REVIEW: "you reviewed {what}", CART: "you put {what} into your cart", "because": "because {what}",
        "again": "{what} before", "it": "it", "and": "{first} and {last}", "word": "it matches {what}",
        "popularity": "popular with all shoppers", "trend": "taken more often of late",
        "segment": "more wanted than elsewhere in {what}",
        "adapter": "close to what was just chosen", "promotion": "promoted now", "rule": "placed by the shop ({what})",
        "none": "The best of what is left", "quote": "“{what}”", "list": "; ", "end": "."},
    "de": {
        PURCHASE: "Sie haben {what} gekauft", VIEW: "Sie haben {what} angesehen", CLICK: "Sie haben {what} angeklickt",
        RATING: "Sie haben {what} bewertet", REVIEW: "Sie haben {what} besprochen", CART: "Sie haben {what} in den Korb gelegt",
        "because": "passend dazu: {what}", "again": "{what}", "it": "es schon", "and": "{first} und {last}",
        "word": "es passt zu {what}", "popularity": "bei allen beliebt", "trend": "zuletzt öfter gewählt",
        "segment": "in {what} gefragter als anderswo", "adapter": "nahe an dem, was eben gewählt wurde",
        "promotion": "gerade in der Werbung", "rule": "vom Laden gesetzt ({what})", "none": "Das Beste vom Rest",
        "quote": "„{what}“", "list": "; ", "end": "."},
    "zh": {
        PURCHASE: "您买过{what}", VIEW: "您看过{what}", CLICK: "您点过{what}", RATING: "您评分过{what}", REVIEW: "您评论过{what}",
        CART: "您把{what}加入过购物车", "because": "因为{what}", "again": "{what}", "it": "它", "and": "{first}和{last}",
        "word": "与{what}相符", "popularity": "很受欢迎", "trend": "近来更受欢迎", "segment": "在{what}比别处更受欢迎",
        "adapter": "与刚才所选相近", "promotion": "正在促销", "rule": "由店铺规则{what}安排", "none": "其余商品中最合适的",
        "quote": "“{what}”", "list": "；", "end": "。"},
}


@dataclass(frozen=True)
class Facts:
    """What a sentence may say of one answered item.

    Args:
        item_id: of the item.
        titles: item id → title, of the past items.
        verbs: item id → the event type of its newest event.
        popular: whether the item is taken more often than the mean item.
        rising: whether it is taken more often of late.
        segment: how people call the segment or member; "": an adapter made from clicks.
    """

    item_id: str
    titles: Mapping[str, str]
    verbs: Mapping[str, str]
    popular: bool
    rising: bool
    segment: str


def sentence(contributions: Sequence[Contribution], facts: Facts, language: str) -> str:
    """Say why an item is there.

    Args:
        contributions: to its score; words in the query's order.
        facts: about it.
        language: a key of `TEMPLATES`.
    """
    words = TEMPLATES[language]
    placed = [one["name"] for one in contributions if one["source"] == "rule" and one["value"] == 0]
    raising = [one for one in contributions if one["value"] > 0]
    least = LEAST_SHARE * sum(one["value"] for one in raising if one["source"] != "popularity")
    claims = [((-1, 0.0), words["rule"].format(what=_quoted(placed, words)))] if placed else []
    for kind, found in _groups(raising, facts.item_id).items():
        value, said = sum(one["value"] for one in found), _claim(kind, found, facts, words)
        if said and value >= max(least, LEAST_LOGITS):
            claims.append(((LAST.index(kind) + 1 if kind in LAST else 0, -value), said))
    told = [said for _, said in sorted(claims)[:MOST_CLAIMS]] or [words["none"]]
    text = words["list"].join(told)
    return text[:1].upper() + text[1:] + words["end"]


def _groups(raising: Sequence[Contribution], item_id: str) -> dict[str, list[Contribution]]:
    """Contributions by the claim that they support."""
    groups: dict[str, list[Contribution]] = {}
    for one in raising:
        kind = "again" if one["source"] == "item" and one["name"] == item_id else str(one["source"])
        groups.setdefault(kind, []).append(one)
    return groups


def _claim(kind: str, found: Sequence[Contribution], facts: Facts, words: Mapping[str, str]) -> str | None:
    """What can be said of a group of contributions; None: nothing."""
    largest = sorted(found, key=lambda one: -one["value"])
    names = [one["name"] for one in largest]
    if kind == "again":
        return words["again"].format(what=words[facts.verbs[names[0]]].format(what=words["it"]))
    if kind == "item":
        verb = facts.verbs[names[0]]
        alike = list(dict.fromkeys(facts.titles[name] for name in names if facts.verbs[name] == verb))
        told = words[verb].format(what=_joined([_short(title) for title in alike[:MOST_NAMED["item"]]], words))
        return words["because"].format(what=told)
    if kind == "word":
        spoken = [one["name"] for one in found if one in largest[:MOST_NAMED["word"]]]  # in the query's order
        return words["word"].format(what=_quoted([" ".join(spoken)], words))
    if kind == "segment":
        return words["segment"].format(what=facts.segment) if facts.segment else words["adapter"]
    if kind == "rule":
        return words["rule"].format(what=_quoted(names, words))
    holds = {"popularity": facts.popular, "trend": facts.rising,
             "promotion": not all(name.startswith("usually ") for name in names)}
    return words[kind] if holds.get(kind) else None


def _quoted(names: Sequence[str], words: Mapping[str, str]) -> str:
    return _joined([words["quote"].format(what=_short(name)) for name in dict.fromkeys(names)], words)


def _joined(texts: Sequence[str], words: Mapping[str, str]) -> str:
    """"X", "X and Y", "X, Y and Z"."""
    if len(texts) == 1:
        return texts[0]
    return words["and"].format(first=", ".join(texts[:-1]), last=texts[-1])


def _short(title: str) -> str:
    """A title of at most 40 characters, cut at a space where one is near."""
    text = " ".join(title.split())
    if len(text) <= LONGEST_TITLE:
        return text
    cut = text[:LONGEST_TITLE - 1]
    return cut[:max(cut.rfind(" "), LONGEST_TITLE // 2)].rstrip(" ,;") + "…"
