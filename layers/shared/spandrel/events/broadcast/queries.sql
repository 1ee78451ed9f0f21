-- name: claim_connections
-- The functions are documented with their migration.
SELECT * FROM claim_connections(%(user_ids)s, %(owner)s, %(lease_seconds)s, %(limit)s);

-- name: settle_connections
SELECT * FROM settle_connections(%(owner)s, %(lease_seconds)s, %(results)s::jsonb, %(gone)s::text[], %(let_go)s);

-- name: due_events
-- A page of events after every cursor that the owner holds, each event once however many connections wait for it. Of the held
-- connections only `ids`, where they are given: the others are still being sent to.
SELECT DISTINCT ON (e.user_id, e.seq) e.user_id, e.seq, e.type, e.subject, e.data::text AS data, e.created_at
FROM (SELECT DISTINCT user_id, delivered_seq FROM connections
      WHERE user_id = ANY (%(user_ids)s) AND lease_owner = %(owner)s
        AND (%(ids)s::text[] IS NULL OR id = ANY (%(ids)s::text[]))) c
CROSS JOIN LATERAL (SELECT * FROM events WHERE user_id = c.user_id AND seq > c.delivered_seq ORDER BY seq LIMIT %(page)s) e
ORDER BY e.user_id, e.seq;

-- name: overlooked_users
-- Users with connections that nobody is sending to although there is something to send, and has been for a while.
SELECT DISTINCT c.user_id
FROM connections c JOIN event_counters n USING (user_id)
WHERE c.delivered_seq IS NOT NULL AND c.expires_at > now()
  AND (c.lease_until IS NULL OR c.lease_until < now()) AND (c.retry_at IS NULL OR c.retry_at <= now())
  AND (NOT c.live OR c.delivered_seq < n.seq)
  AND coalesce((SELECT e.created_at FROM events e WHERE e.user_id = c.user_id AND e.seq > c.delivered_seq ORDER BY e.seq LIMIT 1),
               '-infinity') < now() - make_interval(secs => %(age_seconds)s)
LIMIT %(limit)s;

-- name: forget_expired
-- The gateway closes a connection after two hours, and may fail to say so.
SELECT forget_connections(ARRAY(SELECT id FROM connections WHERE expires_at < now() ORDER BY expires_at LIMIT %(limit)s)) AS forgotten;
