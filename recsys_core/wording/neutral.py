"""Words that claim nothing of an item, by language: what a text may hold beside the words of the item's data.

The lists are closed and short on purpose. A word that is missing costs a text its place, a word too many lets a claim through.
"""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of a list that is written as one text."""
    return frozenset(text.split())


NEUTRAL: dict[str, frozenset[str]] = {
    "en": word_set("""
        a an the this that these it its them is are was be has have come comes sold offered item items product products type kind
        category categories department section range group under in on at of from by for with and or as to you your find found
        listed belongs belong size sizes sized amount pack packs package packages packed quantity brand brands name named called
        title price priced cost costs which also each per here shop"""),
    "de": word_set("""
        der die das den dem des ein eine einen einem einer dies dieser diese dieses es ist sind wird werden hat haben sie ihr
        finden artikel produkt produkte art kategorie kategorien abteilung bereich gruppe unter in im am an auf aus von vom für
        mit und oder als zu größe menge packung packungen inhalt marke name titel preis kostet auch je pro hier laden"""),
    "zh": word_set("""
        商品 产品 品牌 规格 分类 价格 类别 名称 标题 属于 来自 位于 这款 这个 是 的 在 为 和 与 该 有 售价"""),
}
# What turns the meaning of its neighbour round: "sugar-free", "no sugar". Never neutral.
BEFORE = word_set("no not non without zero less low reduced anti un ohne kein keine keinen nicht")  # its neighbour follows
AFTER = word_set("free frei")  # its neighbour comes before
BRAND = word_set("brand brands marke")
PLACE = word_set("category categories department section group range kategorie kategorien abteilung bereich gruppe")
INSIDE = word_set("in under im unter")
MAKER = word_set("by von")
ORIGIN = word_set("from aus vom")
PRICE = word_set("price priced cost costs preis kostet dollar euro cent buck usd eur gbp")
CURRENCY = "$€£¥￥"
PRICE_SIGNS = ("价格", "售价", "元", "块钱")
NUMBERS = {word: number for number, words in {
    "0": "zero", "1": "one single", "2": "two twin pair double twice both", "3": "three triple trio", "4": "four", "5": "five",
    "6": "six", "7": "seven", "8": "eight", "9": "nine", "10": "ten", "11": "eleven", "12": "twelve dozen", "15": "fifteen",
    "20": "twenty", "50": "fifty", "100": "hundred", "1000": "thousand", "0.5": "half", "0.25": "quarter"}.items()
    for word in words.split()}
