-- One row per impression: its outcome, and the counts known when the shop's day began.
-- `known` holds the totals of all drops before these. Days within these drops are cumulative sums per day, found by ASOF joins
-- with a strict inequality: nothing of the impression's own day can enter.
WITH item_day AS (
    SELECT item_id, DATE '0001-01-01' AS day, outcomes, impressions, conversions
    FROM known WHERE user_id IS NULL
    UNION ALL
    SELECT item_id, day, count(*), 0, 0 FROM events WHERE _outcome GROUP BY item_id, day
    UNION ALL
    SELECT item_id, day, 0, count(*), 0 FROM events WHERE event_type = 'impression' GROUP BY item_id, day
    UNION ALL
    -- A conversion is known on the day it happens, which may follow the impression's.
    SELECT item_id, converted_on, 0, 0, count(*)
    FROM labelled
    WHERE converted_in IN (SELECT DISTINCT _file FROM events)
    GROUP BY item_id, converted_on
),
item_state AS (
    SELECT item_id, day,
        sum(sum(outcomes)) OVER so_far AS outcomes,
        sum(sum(impressions)) OVER so_far AS impressions,
        sum(sum(conversions)) OVER so_far AS conversions
    FROM item_day
    GROUP BY item_id, day
    WINDOW so_far AS (PARTITION BY item_id ORDER BY day)
),
user_state AS (
    SELECT user_id, day, sum(sum(outcomes)) OVER (PARTITION BY user_id ORDER BY day) AS outcomes
    FROM (
        SELECT user_id, DATE '0001-01-01' AS day, outcomes FROM known WHERE item_id IS NULL
        UNION ALL
        SELECT user_id, day, count(*) FROM events WHERE _outcome GROUP BY user_id, day
    )
    GROUP BY user_id, day
),
user_item_state AS (
    SELECT user_id, item_id, day, sum(sum(outcomes)) OVER (PARTITION BY user_id, item_id ORDER BY day) AS outcomes
    FROM (
        SELECT user_id, item_id, DATE '0001-01-01' AS day, outcomes FROM known WHERE user_id IS NOT NULL AND item_id IS NOT NULL
        UNION ALL
        SELECT user_id, item_id, day, count(*) FROM events WHERE _outcome GROUP BY user_id, item_id, day
    )
    GROUP BY user_id, item_id, day
)
SELECT
    shown._file,
    shown.event_id,
    shown.user_id,
    shown.item_id,
    shown.timestamp,
    (shown.converted_on IS NOT NULL)::TINYINT AS label,
    shown.position,
    shown.propensity,
    coalesce(user_item_state.outcomes, 0)::BIGINT AS user_item_purchases,
    coalesce(user_state.outcomes, 0)::BIGINT AS user_purchases,
    coalesce(item_state.outcomes, 0)::BIGINT AS item_purchases,
    coalesce(item_state.impressions, 0)::BIGINT AS item_impressions,
    coalesce(item_state.conversions, 0)::BIGINT AS item_conversions
FROM labelled AS shown
ASOF LEFT JOIN item_state ON shown.item_id = item_state.item_id AND shown.day > item_state.day
ASOF LEFT JOIN user_state ON shown.user_id = user_state.user_id AND shown.day > user_state.day
ASOF LEFT JOIN user_item_state
    ON shown.user_id = user_item_state.user_id AND shown.item_id = user_item_state.item_id
    AND shown.day > user_item_state.day
WHERE shown._row IS NOT NULL
ORDER BY shown._row
