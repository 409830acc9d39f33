-- One row per positive event of a known item: the rows that models learn from.
SELECT events.event_id, events.user_id, events.item_id, events.timestamp, events.event_type, events.session_id,
    events.context
FROM events
SEMI JOIN items ON events.item_id = items.item_id
WHERE events._positive
ORDER BY events.user_id, events.timestamp, events.item_id, events.event_id
