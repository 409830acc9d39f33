-- One row per user and local day; impressions open a session but are not the user's own events.
SELECT
    user_id,
    day,
    count(*) FILTER (_positive) AS events,
    count(*) FILTER (event_type = 'purchase') AS purchases,
    count(DISTINCT session_id) AS sessions,
    count(DISTINCT item_id) FILTER (_positive) AS items,
    coalesce(sum(_value), 0)::DOUBLE AS spend
FROM events
GROUP BY user_id, day
ORDER BY user_id, day
