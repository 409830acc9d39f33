-- What a drop adds to what is known of each shopper, of each item, and of each shopper with each item.
-- Sums and the earliest day: merging is associative, so totals of any days merge into totals of all of them.
SELECT _file, user_id, item_id, sum(outcomes)::BIGINT AS outcomes, sum(impressions)::BIGINT AS impressions,
    sum(conversions)::BIGINT AS conversions, sum(positives)::BIGINT AS positives, min(first_day) AS first_day
FROM (
    SELECT _file, user_id, NULL AS item_id, count(*) FILTER (_outcome) AS outcomes, 0 AS impressions, 0 AS conversions,
        count(*) FILTER (_positive) AS positives, min(day) AS first_day
    FROM events
    GROUP BY _file, user_id
    UNION ALL
    SELECT _file, NULL, item_id, count(*) FILTER (_outcome), count(*) FILTER (event_type = 'impression'), 0, 0, NULL
    FROM events
    WHERE item_id IS NOT NULL
    GROUP BY _file, item_id
    UNION ALL
    -- A conversion is known on the day it happens, which may follow the impression's.
    SELECT converted_in, NULL, item_id, 0, 0, count(*), 0, NULL
    FROM labelled
    WHERE converted_in IN (SELECT DISTINCT _file FROM events)
    GROUP BY converted_in, item_id
    UNION ALL
    SELECT _file, user_id, item_id, count(*), 0, 0, 0, NULL
    FROM events
    WHERE _outcome AND item_id IS NOT NULL
    GROUP BY _file, user_id, item_id
)
GROUP BY _file, user_id, item_id
ORDER BY _file, user_id NULLS FIRST, item_id NULLS FIRST
