-- One row per item and local day on which anything happened to it.
-- Money is summed as decimals: float sums depend on the order in which threads arrive.
SELECT
    _file,
    item_id,
    day,
    count(*) FILTER (event_type = 'impression') AS impressions,
    count(*) FILTER (event_type = 'view') AS views,
    count(*) FILTER (event_type = 'click') AS clicks,
    count(*) FILTER (event_type = 'add_to_cart') AS carts,
    count(*) FILTER (event_type = 'purchase') AS purchases,
    count(DISTINCT user_id) FILTER (_positive) AS users,
    coalesce(sum(CAST(coalesce(quantity, 1) AS DECIMAL(38, 4))) FILTER (event_type = 'purchase'), 0)::DOUBLE AS quantity,
    coalesce(sum(CAST(price * coalesce(quantity, 1) AS DECIMAL(38, 4))) FILTER (event_type = 'purchase'), 0)::DOUBLE AS revenue
FROM events
WHERE item_id IS NOT NULL
GROUP BY _file, item_id, day
ORDER BY _file, item_id, day
