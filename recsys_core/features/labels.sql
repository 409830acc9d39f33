-- Impressions and the first outcome at or after each, in the same session, that day or the next.
-- `impressions_before` and `outcomes_after` hold what the neighbouring drops add: sessions that go on past midnight.
CREATE OR REPLACE TEMP TABLE labelled AS
WITH impressions AS (
    SELECT _row, _file, event_id, user_id, item_id, session_id, timestamp, day, position, propensity
    FROM events
    WHERE event_type = 'impression'
    UNION ALL
    SELECT NULL, _file, event_id, user_id, item_id, session_id, timestamp, day, position, propensity
    FROM impressions_before
),
outcomes AS (
    SELECT _file, user_id, item_id, session_id, timestamp, day FROM events WHERE _outcome
    UNION ALL
    SELECT _file, user_id, item_id, session_id, timestamp, day FROM outcomes_after
)
SELECT impressions.*, outcomes._file AS converted_in, outcomes.day AS converted_on
FROM impressions
ASOF LEFT JOIN outcomes
    ON impressions.user_id = outcomes.user_id
    AND impressions.item_id = outcomes.item_id
    AND impressions.session_id = outcomes.session_id
    AND impressions.timestamp <= outcomes.timestamp;
UPDATE labelled SET converted_in = NULL, converted_on = NULL WHERE converted_on > day + 1
