-- One row per impression: its outcome, and the counts known when the shop's day began.
-- $outcome is the event type that counts as success. Counts are cumulative sums per day, found by
-- ASOF joins with a strict inequality: nothing of the impression's own day can enter.
WITH impressions AS (
    SELECT _row, event_id, user_id, item_id, session_id, timestamp, day, position, propensity
    FROM events
    WHERE event_type = 'impression'
),
outcomes AS (
    SELECT user_id, item_id, session_id, timestamp, day
    FROM events
    WHERE event_type = $outcome
),
labelled AS (
    -- The first outcome at or after the impression, in the same session.
    SELECT impressions.*, outcomes.day AS converted_on
    FROM impressions
    ASOF LEFT JOIN outcomes
        ON impressions.user_id = outcomes.user_id
        AND impressions.item_id = outcomes.item_id
        AND impressions.session_id = outcomes.session_id
        AND impressions.timestamp <= outcomes.timestamp
),
item_day AS (
    SELECT item_id, day, sum(purchases) AS purchases, sum(impressions) AS impressions,
        sum(conversions) AS conversions
    FROM (
        SELECT item_id, day, count(*) AS purchases, 0 AS impressions, 0 AS conversions
        FROM outcomes GROUP BY item_id, day
        UNION ALL
        SELECT item_id, day, 0, count(*), 0 FROM impressions GROUP BY item_id, day
        UNION ALL
        -- A conversion is known on the day it happens, which may follow the impression's.
        SELECT item_id, converted_on, 0, 0, count(*)
        FROM labelled WHERE converted_on IS NOT NULL GROUP BY item_id, converted_on
    )
    GROUP BY item_id, day
),
item_state AS (
    SELECT item_id, day,
        sum(purchases) OVER so_far AS purchases,
        sum(impressions) OVER so_far AS impressions,
        sum(conversions) OVER so_far AS conversions
    FROM item_day
    WINDOW so_far AS (PARTITION BY item_id ORDER BY day)
),
user_state AS (
    SELECT user_id, day, sum(count(*)) OVER (PARTITION BY user_id ORDER BY day) AS purchases
    FROM outcomes
    GROUP BY user_id, day
),
user_item_state AS (
    SELECT user_id, item_id, day,
        sum(count(*)) OVER (PARTITION BY user_id, item_id ORDER BY day) AS purchases
    FROM outcomes
    GROUP BY user_id, item_id, day
)
SELECT
    shown.event_id,
    shown.user_id,
    shown.item_id,
    shown.timestamp,
    (shown.converted_on IS NOT NULL)::TINYINT AS label,
    shown.position,
    shown.propensity,
    coalesce(user_item_state.purchases, 0)::BIGINT AS user_item_purchases,
    coalesce(user_state.purchases, 0)::BIGINT AS user_purchases,
    coalesce(item_state.purchases, 0)::BIGINT AS item_purchases,
    coalesce(item_state.impressions, 0)::BIGINT AS item_impressions,
    coalesce(item_state.conversions, 0)::BIGINT AS item_conversions
FROM labelled AS shown
ASOF LEFT JOIN item_state ON shown.item_id = item_state.item_id AND shown.day > item_state.day
ASOF LEFT JOIN user_state ON shown.user_id = user_state.user_id AND shown.day > user_state.day
ASOF LEFT JOIN user_item_state
    ON shown.user_id = user_item_state.user_id AND shown.item_id = user_item_state.item_id
    AND shown.day > user_item_state.day
ORDER BY shown._row
