"""Small shops in the layouts of eight public data sets, with their true headers, and what their events must load as."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from recsys_core.errors import RecsysError
from recsys_core.ingestion import open_shop
from recsys_core.inspection import inspect_shop

log = logging.getLogger(__name__)
Event = tuple[str | None, str | None, str, str]  # user, item, UTC time to the minute, type

FILES: dict[str, dict[str, str]] = {
    "rees46": {"2019-Oct.csv": """event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session
2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde-8bb3-4e00-8c23-a032dfed738c
2019-10-01 00:00:01 UTC,cart,3900821,2053013552326770905,appliances.environment.water_heater,aqua,33.20,554748717,9333dfbd
2019-10-01 00:05:00 UTC,purchase,3900821,2053013552326770905,appliances.environment.water_heater,aqua,33.20,554748717,9333dfbd
"""},
    "retail_rocket": {
        "events.csv": """timestamp,visitorid,event,itemid,transactionid
1433221332117,257597,view,355908,
1433224214164,992329,addtocart,248676,
1433221999827,111016,transaction,318965,5216
""",
        "item_properties_part1.csv": """timestamp,itemid,property,value
1435460400000,460429,categoryid,1338
1441508400000,206783,888,1116713 960601 n277.200
""",
        "category_tree.csv": "categoryid,parentid\n1016,213\n809,169\n570,\n"},
    "online_retail": {"Online Retail.csv": """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,12/1/2010 8:26,2.55,17850,United Kingdom
536366,22633,HAND WARMER UNION JACK,6,12/13/2010 8:28,1.85,17850,United Kingdom
C536379,D,Discount,-1,12/1/2010 9:41,27.5,14527,United Kingdom
536414,22139,"RETROSPOT ""TEA"" SET, CERAMIC",56,12/1/2010 11:52,0,,United Kingdom
"""},
    "online_retail_2": {"online_retail_II.csv": """Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country
489434,85048,15CM CHRISTMAS GLASS BALL 20 LIGHTS,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom
489435,22350,CAT BOWL ,12,2009-12-01 07:46:00,2.55,13085.0,United Kingdom
489464,21733,85123a mixed,-96,2009-12-01 10:52:00,0.0,,United Kingdom
"""},
    "instacart": {
        "orders.csv": """order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order
2,202279,prior,3,5,09,8.0
3,205970,prior,16,5,17,12.0
7,202279,prior,4,2,14,30.0
""",
        "order_products__prior.csv": """order_id,product_id,add_to_cart_order,reordered
7,34050,1,0
2,33120,1,1
2,28985,2,1
3,33754,1,1
""",
        "products.csv": """product_id,product_name,aisle_id,department_id
33120,Organic Egg Whites,86,16
28985,Michigan Organic Kale,83,4
33754,"Total 2% with ""Honey"", 2 pack",120,16
34050,Orange Juice,31,7
""",
        "aisles.csv": "aisle_id,aisle\n86,eggs\n83,fresh vegetables\n120,yogurt\n31,refrigerated\n",
        "departments.csv": "department_id,department\n16,dairy eggs\n4,produce\n7,beverages\n"},
    "hm": {
        "transactions_train.csv": """t_dat,customer_id,article_id,price,sales_channel_id
2018-09-20,000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318,0663713001,0.050830508474576264,2
2018-09-20,00007d2de826758b65a93dd24ce629ed66842531df6699338c5570910a014cc2,0541518023,0.030491525423728812,2
""",
        "articles.csv": """article_id,product_code,prod_name,product_type_no,product_type_name,product_group_name,detail_desc
0663713001,0663713,Atlanta Push Body Harlow,283,Underwear body,Underwear,"Lace push-up body with underwired, moulded cups."
0541518023,0541518,Rae Push (Melbourne) 2p,306,Bra,Underwear,
""",
        "customers.csv": """customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code
000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318,,,ACTIVE,NONE,24.0,64f17e6a330a85798e4998f62d0930d1
00007d2de826758b65a93dd24ce629ed66842531df6699338c5570910a014cc2,1.0,1.0,ACTIVE,Regularly,32.0,2973abc54daa8a5f8ccfe9362140c63
"""},
    "amazon_reviews_2023": {
        "All_Beauty.jsonl": "\n".join(json.dumps(row) for row in (
            {"rating": 5.0, "title": "Such a lovely scent", "text": "Love it! <br /> 5\" tall", "images": [],
             "asin": "B00YQ6X8EO", "parent_asin": "B00YQ6X8E0",
             "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "timestamp": 1588687728923, "helpful_vote": 0},
            {"rating": 1.0, "title": "Meh", "text": "", "images": [], "asin": "B081TJ8YS3", "parent_asin": "B081TJ8YS3",
             "user_id": "AEVVWBLBHTQXZTGRIVD4NMOXOXTQ", "timestamp": 1605000000000, "helpful_vote": 2})),
        "meta_All_Beauty.jsonl": "\n".join(json.dumps(row) for row in (
            {"main_category": "All Beauty", "title": "Spray", "average_rating": 4.8, "features": [], "description": [],
             "price": None, "store": "Howard", "categories": [], "parent_asin": "B00YQ6X8E0"},
            {"main_category": "All Beauty", "title": "Gel", "average_rating": 4.5, "features": [], "description": ["a", "b"],
             "price": "7.98", "store": None, "categories": ["Beauty", "Nails"], "parent_asin": "B081TJ8YS3"}))},
    "movielens": {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,11,4.0,964981247\n2,11,2.5,1445714835\n",
        "movies.csv": """movieId,title,genres
1,Toy Story (1995),Adventure|Animation|Children|Comedy|Fantasy
11,"American President, The (1995)",Comedy|Drama|Romance
""",
        "tags.csv": "userId,movieId,tag,timestamp\n2,11,funny,1445714994\n",
        "links.csv": "movieId,imdbId,tmdbId\n1,0114709,862\n11,0112346,9087\n"},
    "olist": {
        "olist_orders_dataset.csv": '''"order_id","customer_id","order_status","order_purchase_timestamp","order_approved_at"
"e481f51c","9ef432eb","delivered","2017-10-02 10:56:33","2017-10-02 11:07:15"
"53cdb2fc","b0830fb4","delivered","2018-07-24 20:41:37","2018-07-26 03:24:27"
''',
        "olist_order_items_dataset.csv": '''\
"order_id","order_item_id","product_id","seller_id","shipping_limit_date","price","freight_value"
"e481f51c",1,"87285b34","3504c0cb","2017-10-06 11:07:15",29.99,8.72
"53cdb2fc",1,"595fac2a","289cdb32","2018-07-30 03:24:27",118.70,22.76
"53cdb2fc",2,"595fac2a","289cdb32","2018-07-30 03:24:27",118.70,22.76
''',
        "olist_products_dataset.csv": '''"product_id","product_category_name","product_name_lenght","product_weight_g"
"87285b34","utilidades_domesticas",40,500
"595fac2a","perfumaria",29,400
''',
        "olist_customers_dataset.csv": '''\
"customer_id","customer_unique_id","customer_zip_code_prefix","customer_city","customer_state"
"9ef432eb","7c396fd4","03149","sao paulo","SP"
"b0830fb4","af07308b","47813","barreiras","BA"
''',
        "olist_order_reviews_dataset.csv": '"review_id","order_id","review_score"\n"7bc2406110","53cdb2fc",4\n',
        "product_category_name_translation.csv": "product_category_name,product_category_name_english\nperfumaria,perfumery\n"},
}
PSEUDO = "2000-01-01 23:59"
EVENTS: dict[str, list[Event]] = {
    "rees46": [("541312140", "44600062", "2019-10-01 00:00", "view"), ("554748717", "3900821", "2019-10-01 00:00", "add_to_cart"),
               ("554748717", "3900821", "2019-10-01 00:05", "purchase")],
    "retail_rocket": [("257597", "355908", "2015-06-02 05:02", "view"), ("992329", "248676", "2015-06-02 05:50", "add_to_cart"),
                      ("111016", "318965", "2015-06-02 05:13", "purchase")],
    "online_retail": [("17850", "85123A", "2010-12-01 08:26", "purchase"), ("17850", "22633", "2010-12-13 08:28", "purchase"),
                      ("14527", "D", "2010-12-01 09:41", "purchase"), (None, "22139", "2010-12-01 11:52", "purchase")],
    "online_retail_2": [("13085.0", "85048", "2009-12-01 07:45", "purchase"),
                        ("13085.0", "22350", "2009-12-01 07:46", "purchase"),
                        (None, "21733", "2009-12-01 10:52", "purchase")],
    "instacart": [("202279", "34050", PSEUDO, "purchase"), ("202279", "33120", PSEUDO, "purchase"),
                  ("202279", "28985", PSEUDO, "purchase"), ("205970", "33754", PSEUDO, "purchase")],
    "hm": [("000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318", "0663713001", "2018-09-20 00:00", "purchase"),
           ("00007d2de826758b65a93dd24ce629ed66842531df6699338c5570910a014cc2", "0541518023", "2018-09-20 00:00", "purchase")],
    "amazon_reviews_2023": [("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B00YQ6X8E0", "2020-05-05 14:08", "review"),
                            ("AEVVWBLBHTQXZTGRIVD4NMOXOXTQ", "B081TJ8YS3", "2020-11-10 09:20", "review")],
    "movielens": [("1", "1", "2000-07-30 18:45", "rating"), ("1", "11", "2000-07-30 18:20", "rating"),
                  ("2", "11", "2015-10-24 19:27", "rating")],
    "olist": [("7c396fd4", "87285b34", "2017-10-02 10:56", "purchase"), ("af07308b", "595fac2a", "2018-07-24 20:41", "purchase"),
              ("af07308b", "595fac2a", "2018-07-24 20:41", "purchase")],
}
TITLES = {"online_retail": 4, "online_retail_2": 3, "instacart": 4, "hm": 2, "amazon_reviews_2023": 2,\
 "movielens": 2}  # with a title
LAST_OF = {"instacart": ("202279", "34050")}  # a shopper's newest event, where only the order is known


def understood(layout: str, folder: Path) -> str:
    """Plant a layout in an empty folder, open it with the shop.yaml that check-shop proposes; "" or what is wrong."""
    for name, text in FILES[layout].items():
        (folder / name).write_text(text)
    try:
        inspection = inspect_shop(folder)
        if inspection.settings:
            (folder / "shop.yaml").write_text(yaml.safe_dump(inspection.settings, allow_unicode=True))
        shop = open_shop(folder)
        rows = [row for drop in shop.events() for row in drop.events.select(
            "user_id", "item_id", "timestamp", "event_type").iter_rows()]
        items = shop.items()
    except RecsysError as error:
        return str(error)
    found = sorted(((user, item, f"{time:%Y-%m-%d %H:%M}", kind) for user, item, time, kind in rows), key=str)
    if found != sorted(EVENTS[layout], key=str):
        return f"events are {found}"
    if layout in LAST_OF:
        user, item = LAST_OF[layout]
        if max((time, thing) for who, thing, time, _ in rows if who == user)[1] != item:
            return "the order is wrong"
    titled = items["title"].count()
    return "" if titled == TITLES.get(layout, titled) else f"{titled} titles among {items.rows()}"


def layouts_understood() -> dict[str, str]:
    """Layout → "" or why it is not understood; both versions of Online Retail count as one."""
    found = {}
    for layout in FILES:
        with TemporaryDirectory() as folder:
            found[layout] = understood(layout, Path(folder))
    second = found.pop("online_retail_2")
    found["online_retail"] = found["online_retail"] or second
    return found
