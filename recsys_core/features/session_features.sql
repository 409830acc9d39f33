-- One row per session of a user; a supplied session that crosses midnight belongs to its first day.
SELECT
    session_id,
    user_id,
    min(timestamp) AS started_at,
    max(timestamp) AS ended_at,
    min(day) AS day,
    count(*) FILTER (_positive) AS events,
    count(DISTINCT item_id) FILTER (_positive) AS items,
    count(*) FILTER (event_type = 'purchase') AS purchases,
    coalesce(sum(_value), 0)::DOUBLE AS value
FROM events
GROUP BY session_id, user_id
ORDER BY user_id, started_at, session_id
