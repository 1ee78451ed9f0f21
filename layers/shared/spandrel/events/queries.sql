-- name: issue_ticket
-- Keeps a ticket's hash for as long as it is good. Those of the user that are not any more go.
WITH stale AS (
    DELETE FROM realtime_tickets WHERE user_id = %(user_id)s AND expires_at < now()
)
INSERT INTO realtime_tickets (hash, user_id, expires_at)
VALUES (%(hash)s, %(user_id)s, now() + make_interval(secs => %(seconds)s))
RETURNING expires_at;

-- name: open_connection
SELECT open_connection(%(hash)s, %(connection_id)s) AS user_id;

-- name: close_connection
SELECT close_connection(%(connection_id)s);

-- name: admit_message
SELECT user_id, tokens FROM admit_message(%(connection_id)s, %(burst)s, %(per_second)s);

-- name: subscribe_connection
SELECT outcome, after_seq, head_seq, oldest_seq FROM subscribe_connection(%(connection_id)s, %(after_seq)s);

-- name: read_feed
-- A page of the feed after `after_seq`, in order, and the feed's bounds; one row with no `seq` where nothing matches. It looks at
-- `window` events at most, so that a rare type costs no more than that.
WITH page AS (
    SELECT user_id, seq, type, subject, data, created_at FROM events
    WHERE user_id = current_user_id() AND seq > %(after_seq)s AND seq <= %(after_seq)s::bigint + %(window)s
      AND (%(types)s::text[] IS NULL OR type = ANY (%(types)s)
           OR EXISTS (SELECT FROM unnest(%(prefixes)s::text[]) AS prefix WHERE starts_with(type, prefix)))
    ORDER BY seq LIMIT %(limit)s
)
SELECT b.head_seq, b.oldest_seq, p.* FROM feed_bounds() b LEFT JOIN page p ON true ORDER BY p.seq;

-- name: find_event
SELECT user_id, seq, type, subject, data, created_at FROM events WHERE user_id = current_user_id() AND seq = %(seq)s;

-- name: feed_bounds
SELECT head_seq, oldest_seq FROM feed_bounds();

-- name: feed_head
-- Where the feed is, for those who wait for it to move.
SELECT coalesce((SELECT seq FROM event_counters WHERE user_id = current_user_id()), 0) AS head_seq;

-- name: forget_events
SELECT forget_events(%(days)s, %(limit)s) AS forgotten;

-- name: forget_tickets
WITH gone AS (
    DELETE FROM realtime_tickets WHERE hash IN (
        SELECT hash FROM realtime_tickets WHERE expires_at < now() LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    RETURNING hash
)
SELECT count(*)::integer AS forgotten FROM gone;
