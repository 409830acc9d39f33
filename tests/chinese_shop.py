"""A small Chinese shop with planted answers, to try another language on: `python -m tests.chinese_shop FOLDER`.

What is planted: every shopper re-buys favourites from two departments; whoever buys a mug takes green tea along in most baskets;
shoppers search for what they then buy, in words of their own; messages to customer service tell three intents.
"""

from __future__ import annotations

import csv
import json
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

FIRST_DAY = date(2024, 3, 1)
# Department → English name, three variants, and products: Chinese and English name, and what the description says in each.
Words = tuple[str, str]
DEPARTMENTS: dict[Words, tuple[list[Words], list[tuple[str, str, str, str]]]] = {
    ("厨房用品", "Kitchen"): ([("白色", "white"), ("黑色", "black"), ("红色", "red")], [
        ("陶瓷马克杯", "ceramic mug", "办公室喝咖啡用", "for coffee at the office"),
        ("不锈钢保温杯", "stainless steel thermos", "长时间保持水温", "keeps water warm for long"),
        ("铸铁炒锅", "cast iron wok", "受热均匀不易粘", "heats evenly"),
        ("竹制砧板", "bamboo chopping board", "切菜切肉", "for vegetables and meat"),
        ("玻璃茶壶", "glass teapot", "耐高温带滤网", "heat resistant with strainer"),
        ("电热水壶", "electric kettle", "自动断电", "switches itself off"),
        ("硅胶锅铲", "silicone spatula", "不伤锅底", "does not scratch pans"),
        ("水果刀", "paring knife", "锋利易握", "sharp and easy to hold"),
        ("密封保鲜盒", "airtight food container", "可放冰箱和微波炉", "for fridge and microwave"),
        ("手摇咖啡磨豆机", "manual coffee grinder", "粗细可调", "adjustable coarseness"),
        ("家用电子秤", "digital kitchen scale", "烘焙称重", "for baking"),
        ("折叠沥水架", "folding dish rack", "晾干碗筷", "dries bowls and chopsticks")]),
    ("服装鞋帽", "Clothing"): ([("男士", "men's"), ("女士", "women's"), ("儿童", "kids'")], [
        ("纯棉T恤", "cotton T-shirt", "夏季透气短袖", "breathable short sleeves for summer"),
        ("轻薄羽绒服", "light down jacket", "冬天保暖", "warm in winter"),
        ("牛仔裤", "jeans", "修身弹力", "slim and stretchy"),
        ("运动跑步鞋", "running shoes", "缓震防滑", "cushioned and non-slip"),
        ("羊毛围巾", "wool scarf", "柔软亲肤", "soft on the skin"),
        ("防水冲锋衣", "waterproof shell jacket", "登山徒步", "for mountains and hikes"),
        ("法兰绒睡衣", "flannel pyjamas", "居家两件套", "two pieces for the home"),
        ("遮阳渔夫帽", "bucket hat", "防晒可折叠", "sun protection, foldable"),
        ("皮革腰带", "leather belt", "自动扣", "automatic buckle"),
        ("中筒袜子", "crew socks", "五双装", "five pairs"),
        ("针织毛衣", "knitted sweater", "圆领套头", "round neck pullover"),
        ("加厚手套", "thick gloves", "骑车防风", "windproof for cycling")]),
    ("食品饮料", "Food"): ([("小袋装", "small pack"), ("家庭装", "family pack"), ("礼盒装", "gift box")], [
        ("龙井绿茶", "Longjing green tea", "明前新茶", "early spring harvest"),
        ("纯牛奶", "whole milk", "早餐常温奶", "long-life milk for breakfast"),
        ("原味燕麦片", "plain oatmeal", "免煮即食", "instant"),
        ("东北大米", "northeast rice", "煮饭香软", "cooks soft and fragrant"),
        ("黑巧克力", "dark chocolate", "高可可含量", "high cocoa content"),
        ("蜂蜜柚子茶", "honey citron tea", "冲饮果酱", "jam to mix with water"),
        ("速溶咖啡粉", "instant coffee powder", "提神醒脑", "wakes you up"),
        ("烤海苔零食", "roasted seaweed snack", "酥脆咸香", "crisp and salty"),
        ("特级初榨橄榄油", "extra virgin olive oil", "凉拌烹饪", "for salads and cooking"),
        ("每日坚果", "mixed nuts", "核桃腰果混合", "walnuts and cashews"),
        ("方便面", "instant noodles", "红烧牛肉味", "braised beef flavour"),
        ("矿泉水", "mineral water", "天然弱碱", "natural, slightly alkaline")]),
    ("数码电器", "Electronics"): ([("旗舰款", "flagship"), ("标准款", "standard"), ("迷你款", "mini")], [
        ("无线蓝牙耳机", "wireless bluetooth earphones", "主动降噪", "noise cancelling"),
        ("快充移动电源", "fast charging power bank", "一万毫安", "ten thousand mAh"),
        ("USB-C数据线", "USB-C cable", "充电传输两用", "for charging and data"),
        ("机械键盘", "mechanical keyboard", "青轴手感", "blue switches"),
        ("静音鼠标", "silent mouse", "无线办公", "wireless for the office"),
        ("智能手表", "smart watch", "心率监测", "heart rate monitor"),
        ("空气净化器", "air purifier", "去除甲醛异味", "removes odours"),
        ("落地电风扇", "standing fan", "遥控定时", "with timer and remote"),
        ("吹风机", "hair dryer", "负离子护发", "ionic hair care"),
        ("扫地机器人", "robot vacuum cleaner", "自动回充", "returns to charge"),
        ("电动牙刷", "electric toothbrush", "声波震动", "sonic"),
        ("护眼台灯", "eye-care desk lamp", "亮度可调", "dimmable")]),
    ("家居生活", "Home"): ([("蓝色", "blue"), ("灰色", "grey"), ("绿色", "green")], [
        ("全棉床单", "cotton bed sheet", "双人床用", "for double beds"),
        ("记忆棉枕头", "memory foam pillow", "护颈助眠", "supports the neck"),
        ("遮光窗帘", "blackout curtain", "卧室隔热", "insulating for the bedroom"),
        ("浴室防滑垫", "non-slip bath mat", "吸水速干", "absorbs and dries fast"),
        ("收纳箱", "storage box", "衣物整理", "sorts clothes"),
        ("珊瑚绒毛毯", "coral fleece blanket", "沙发午睡", "for naps on the sofa"),
        ("晴雨两用伞", "rain and sun umbrella", "抗风折叠", "windproof and foldable"),
        ("香薰蜡烛", "scented candle", "薰衣草味", "lavender"),
        ("懒人沙发", "bean bag chair", "单人休闲", "for one"),
        ("挂墙时钟", "wall clock", "静音走时", "silent"),
        ("洗脸毛巾", "face towel", "柔软吸水", "soft and absorbent"),
        ("垃圾桶", "rubbish bin", "脚踏带盖", "pedal and lid")]),
    ("儿童玩具", "Toys"): ([("木制", "wooden"), ("塑料", "plastic"), ("磁性", "magnetic")], [
        ("小火车", "train", "轨道拼接", "with tracks to join"),
        ("恐龙模型", "dinosaur figure", "霸王龙", "tyrannosaurus"),
        ("积木", "building blocks", "益智拼搭", "to build and learn"),
        ("娃娃屋", "doll house", "过家家", "to play house"),
        ("遥控赛车", "remote control race car", "高速漂移", "drifts at speed"),
        ("地图拼图", "map puzzle", "认识中国省份", "learn the provinces"),
        ("儿童画板", "drawing board", "可擦写", "erasable"),
        ("钓鱼玩具", "fishing toy", "锻炼手眼协调", "trains hand and eye"),
        ("国际象棋", "chess set", "入门棋类", "for beginners"),
        ("陀螺", "spinning top", "指尖旋转", "spins on a fingertip"),
        ("小提琴玩具", "toy violin", "音乐启蒙", "first music"),
        ("过山车珠子", "bead maze", "绕珠训练", "beads on wires")])}
BRANDS: list[Words] = [("青禾", "Qinghe"), ("云帆", "Yunfan"), ("山月", "Shanyue"), ("东篱", "Dongli")]
MUG, TEA = "A00", "C00"  # products whose first variants are taken together
# Ticket codes of the shop, whose names tell nothing: refunds, delivery, advice.
INTENTS = {
    "T1": ["我要退货", "东西坏了想退钱", "怎么申请退款", "不喜欢想退掉", "质量太差给我退款", "退货运费谁出", "钱什么时候退回来",
           "尺码不对要退"],
    "T2": ["快递到哪里了", "什么时候能送到", "包裹几天没动静", "为什么还不发货", "能查一下运单吗", "配送员联系不上",
           "今天能收到货吗", "我的订单发出了没"],
    "T3": ["有什么好用的推荐", "送妈妈买哪个好", "想买个性价比高的", "帮我挑一款", "哪种卖得最好", "新手适合用什么",
           "给孩子选哪个", "有没有类似的商品"]}
SHOP_YAML = """\
name: 示例商店
time_zone: Asia/Shanghai
base_model: multilingual
segments:
  - {name: toys, kind: domain, where: "items.department = '儿童玩具'"}
"""


def chinese_items(english: bool = False) -> list[dict]:
    """216 items as contract rows, `<department letter><two digits>-<variant>`: in Chinese, or the same in English."""
    items, at = [], int(english)
    for letter, (department, (variants, products)) in zip("ABCDEF", DEPARTMENTS.items(), strict=True):
        for number, product in enumerate(products):
            for place, variant in enumerate(variants):
                brand = BRANDS[(number + place) % len(BRANDS)][at]
                title = f"{brand} {variant[1]} {product[1]}" if english else f"{brand}{variant[0]}{product[0]}"
                items.append({"item_id": f"{letter}{number:02d}-{place}", "title": title, "description": product[2 + at],
                              "brand": brand, "category": f"{department[at]} > {product[at]}",
                              "price": round(9.9 + 7 * number + 2.5 * place, 2), "department": department[at]})
    return items


def chinese_shop(folder: Path | str, seed: int = 0, users: int = 60, days: int = 42) -> Path:
    """Write the shop into `folder` (made if missing) and return it; same arguments, same bytes."""
    folder = Path(folder)
    (folder / "events").mkdir(parents=True, exist_ok=True)
    rng, items = np.random.default_rng(seed), chinese_items()
    _write(folder / "items.csv", items)
    _write(folder / "labels.csv", chinese_labels())
    (folder / "shop.yaml").write_text(SHOP_YAML, encoding="utf-8")
    by_id = {item["item_id"]: item for item in items}
    departments = sorted({item["department"] for item in items})
    shoppers = []
    for number in range(users):
        liked = [departments[number % 6], departments[(number + 1 + number // 6) % 6]]
        own = [item["item_id"] for item in items if item["department"] in liked]
        shoppers.append((f"顾客{number:03d}", rng.choice(own, 5, replace=False).tolist()))
    for offset in range(days):
        today = FIRST_DAY + timedelta(days=offset)
        rows = [row for at, (user, favourites) in enumerate(shoppers) if rng.random() < 0.35 or at == offset % users
                for row in _visit(rng, user, favourites, today, by_id)]
        (folder / "events" / f"{today}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
                                                          encoding="utf-8")
    return folder


def _visit(rng: np.random.Generator, user: str, favourites: list[str], today: date, by_id: dict[str, dict]) -> list[dict]:
    """Sometimes a search, then one basket."""
    at = datetime(today.year, today.month, today.day, int(rng.integers(8, 21)), int(rng.integers(0, 60)))
    taken = {item for item in favourites if rng.random() < 0.4} or {favourites[0]}
    if rng.random() < 0.3:
        taken.add(f"{MUG}-0")
    if f"{MUG}-0" in taken and rng.random() < 0.7:
        taken.add(f"{TEA}-0")
    rows = []
    wanted = by_id[sorted(taken)[0]]
    if rng.random() < 0.3:
        rows.append({"event_type": "search", "query": wanted["category"].split(" > ")[1], "seconds": 0})
    rows += [{"event_type": "purchase", "item_id": item, "price": by_id[item]["price"], "seconds": 300} for item in sorted(taken)]
    return [{"event_id": f"{user}-{today:%m%d}-{place}", "user_id": user, "session_id": f"{user}-{today:%m%d}",
             "timestamp": (at + timedelta(seconds=row.pop("seconds"))).isoformat(), **row} for place, row in enumerate(rows)]


def chinese_labels() -> list[dict]:
    """One task: the intent of a message to customer service."""
    return [{"task": "intent", "text": text, "label": intent} for intent, texts in INTENTS.items() for text in texts]


def _write(path: Path, rows: list[dict]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    print(chinese_shop(sys.argv[1]))
