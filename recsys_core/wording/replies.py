"""What the assistant says, in several languages, and the words of a message that ask for nothing.

Facts are put between these words as they were given. {what}: such a fact.
"""

from __future__ import annotations

from recsys_core.wording.neutral import NEUTRAL, word_set

REPLIES: dict[str, dict[str, str]] = {
    "en": {"found": "I found {what}", "close": "Nothing matches all of that. Closest: {what}",
           "order": "Order {what}", "date": " of {what}", "status": ": {what}", "holds": "It holds {what}",
           "more": "You have {what} orders; these are the newest", "and": "{first} and {last}", "end": ".", "gap": " ",
           "details": "{title} ({what})", "nothing": "I found nothing in the catalogue that matches",
           "unknown_order": "I do not see that order", "no_orders": "I do not see any orders of yours",
           "unsure": "I am not sure what you need", "not_mine": "I cannot do this myself",
           "over": "I pass you on to a colleague", "ask": "What are you looking for?"},
    "de": {"found": "Gefunden: {what}", "close": "Nichts passt zu allem. Am nächsten: {what}",
           "order": "Bestellung {what}", "date": " vom {what}", "status": ": {what}",
           "holds": "Enthalten: {what}", "more": "Es sind {what} Bestellungen; dies sind die neuesten",
           "and": "{first} und {last}", "end": ".", "gap": " ", "details": "{title} ({what})",
           "nothing": "Im Sortiment passt nichts dazu", "unknown_order": "Diese Bestellung sehe ich nicht",
           "no_orders": "Ich sehe keine Bestellungen von Ihnen", "unsure": "Ich bin nicht sicher, was Sie brauchen",
           "not_mine": "Das kann ich nicht selbst erledigen", "over": "Ich gebe an eine Kollegin oder einen Kollegen weiter",
           "ask": "Was suchen Sie?"},
    "zh": {"found": "找到：{what}", "close": "没有完全相符的商品，最接近的是：{what}", "order": "订单{what}",
           "date": "（{what}）", "status": "：{what}", "holds": "包含：{what}",
           "more": "您共有{what}个订单，以下是最新的", "and": "{first}、{last}", "end": "。", "gap": "",
           "details": "{title}（{what}）", "nothing": "商品目录中没有相符的商品",
           "unknown_order": "没有看到这个订单", "no_orders": "没有看到您的订单",
           "unsure": "不太确定您需要什么", "not_mine": "这件事需要人工处理", "over": "正在为您转接人工客服",
           "ask": "您在找什么？"},
}
# Words around what is asked for. They are no intents: they only keep a search to the words that name something.
ASKING: dict[str, frozenset[str]] = {
    "en": NEUTRAL["en"] | word_set("""
        i me my we us our do does did can could would will shall should may might got want need like looking look search searching
        sell sells carry stock show give get buy please hello hi hey thanks thank any some what who where when how much many there
        about something anything one ones more tell not no if so just only but then now"""),
    "de": NEUTRAL["de"] | word_set("""
        ich mir mich mein meine wir uns kann können könnte möchte will brauche suche suchen zeigen zeige bitte hallo danke gibt
        habt verkaufen führen was welche welcher welches wo wann wie viel viele etwas davon mehr nicht nein wenn nur aber denn
        jetzt kaufen"""),
    "zh": NEUTRAL["zh"] | word_set("""
        我 我们 你 你们 想 要 想要 请 请问 你好 谢谢 有没有 什么 哪个 哪里 多少 吗 呢 吧 买 找 看看 一下 给"""),
}
# What a message begins with that goes on with the one before it.
GOING_ON: dict[str, tuple[str, ...]] = {
    "en": ("and ", "or ", "but ", "what about ", "how about ", "also ", "in ", "with ", "without "),
    "de": ("und ", "oder ", "aber ", "auch ", "in ", "mit ", "ohne "),
    "zh": ("那", "还有", "或者", "以及"),
}
