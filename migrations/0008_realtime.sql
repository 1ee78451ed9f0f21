-- compatible-from: 1
-- The live feed: clients' connections with their cursors, single-use tickets, and word of news for those who listen.

-- A WebSocket connection. `id` is the gateway's. `delivered_seq` is the last event that it has been sent; NULL until it subscribes.
-- `live`: the marker that replay has caught up was sent. `retry_at`: not before, after a fault of sending.
CREATE TABLE connections (
    id            text PRIMARY KEY,
    user_id       text NOT NULL,
    delivered_seq bigint,
    live          boolean NOT NULL DEFAULT false,
    failures      integer NOT NULL DEFAULT 0,
    retry_at      timestamptz,
    connected_at  timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL DEFAULT now() + interval '2 hours 10 minutes'
);
CREATE INDEX connections_by_user ON connections (user_id);

CREATE TABLE realtime_tickets (
    hash       bytea PRIMARY KEY,
    user_id    text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX realtime_tickets_age ON realtime_tickets (expires_at);

CALL protect_user_table('connections');
CALL protect_user_table('realtime_tickets');

-- How many connections a user has. It stands in the row that every event locks: whoever writes an event sees it as it is at that
-- moment, and whoever connects waits for events under way. So news is told exactly to those who may be waiting for it.
ALTER TABLE event_counters ADD COLUMN connections integer NOT NULL DEFAULT 0;

CREATE FUNCTION count_connections() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO event_counters AS c (user_id, seq, connections) VALUES (new.user_id, 0, 1)
        ON CONFLICT (user_id) DO UPDATE SET connections = c.connections + 1;
    ELSE
        UPDATE event_counters SET connections = greatest(connections - 1, 0) WHERE user_id = old.user_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER connections_counted AFTER INSERT OR DELETE ON connections
    FOR EACH ROW EXECUTE FUNCTION count_connections();

-- Appends one event in the caller's transaction and returns its seq. Call it last: it holds the user's feed until commit.
-- Where the user has connections, the caller is told by a notice, which costs no flight: `database.py` hands it on after commit.
CREATE OR REPLACE FUNCTION append_event(p_user_id text, p_type text, p_subject text, p_data jsonb) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    v_knowledge  integer := (p_type IN ('document.ready', 'document.deleting', 'document.deleted', 'collection.renamed',
                                        'collection.deleted'))::integer;  -- renamed: templates name collections
    v_capability integer := (p_type LIKE 'integration.%' OR p_type LIKE 'tool.%')::integer;
    c event_counters;
BEGIN
    UPDATE event_counters SET seq = seq + 1, knowledge_epoch = knowledge_epoch + v_knowledge,
        capability_epoch = capability_epoch + v_capability
    WHERE user_id = p_user_id RETURNING * INTO c;
    IF NOT FOUND THEN  -- the user's first event, or another's at this very moment
        INSERT INTO event_counters AS e (user_id, seq, knowledge_epoch, capability_epoch)
        VALUES (p_user_id, 1, v_knowledge, v_capability)
        ON CONFLICT (user_id) DO UPDATE SET
            seq = e.seq + 1,
            knowledge_epoch = e.knowledge_epoch + excluded.knowledge_epoch,
            capability_epoch = e.capability_epoch + excluded.capability_epoch
        RETURNING * INTO c;
    END IF;
    INSERT INTO events (user_id, seq, type, subject, data) VALUES (p_user_id, c.seq, p_type, p_subject, p_data);
    IF c.connections > 0 THEN
        RAISE NOTICE 'news' USING DETAIL = p_user_id;
    END IF;
    RETURN c.seq;
END
$$;

-- Doors ----------------------------------------------------------------------------------------------------------------

-- How many messages a connection may send now: a token bucket. Below zero is what it sent beyond. Losing it with a crash is no loss.
CREATE UNLOGGED TABLE connection_allowances (
    connection_id text PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
    user_id       text NOT NULL,
    tokens        double precision NOT NULL,
    taken_at      timestamptz NOT NULL
) WITH (fillfactor = 50);
CALL protect_user_table('connection_allowances');

-- The first three run with their owner's rights: whoever calls them does not know yet whose connection it is. Each gives only what
-- belongs to the ticket or the connection that its caller can name.

-- Redeems a ticket, which can be done once, and opens a connection for its user. NULL: there is no such ticket, or not any more.
CREATE FUNCTION open_connection(p_ticket bytea, p_connection_id text) RETURNS text
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH redeemed AS (
        DELETE FROM realtime_tickets WHERE hash = p_ticket RETURNING user_id, expires_at
    )
    INSERT INTO connections (id, user_id) SELECT p_connection_id, user_id FROM redeemed WHERE expires_at > now()
    RETURNING user_id
$$;

CREATE FUNCTION close_connection(p_connection_id text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM connections WHERE id = p_connection_id
$$;

-- Takes the right to one message. `tokens` below zero: there was none. No row: there is no such connection, or not any more.
CREATE FUNCTION admit_message(p_connection_id text, p_burst integer, p_per_second integer)
    RETURNS TABLE (user_id text, tokens double precision)
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO connection_allowances AS a (connection_id, user_id, tokens, taken_at)
    SELECT id, c.user_id, p_burst - 1, clock_timestamp() FROM connections c WHERE id = p_connection_id AND expires_at > now()
    ON CONFLICT (connection_id) DO UPDATE SET
        tokens = least(p_burst, a.tokens + p_per_second * greatest(extract(epoch FROM clock_timestamp() - a.taken_at), 0)) - 1,
        taken_at = clock_timestamp()
    RETURNING a.user_id, a.tokens
$$;

REVOKE EXECUTE ON FUNCTION open_connection, close_connection, admit_message FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_connection, close_connection, admit_message TO spandrel_app, spandrel_system;

-- The newest seq of the current user's feed, and the oldest that is kept (`head_seq` + 1: none is).
CREATE FUNCTION feed_bounds() RETURNS TABLE (head_seq bigint, oldest_seq bigint)
    LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT f.head, coalesce((SELECT min(seq) FROM events WHERE user_id = current_user_id()), f.head + 1)
    FROM (SELECT coalesce((SELECT seq FROM event_counters WHERE user_id = current_user_id()), 0) AS head) f
$$;

-- Sets a connection's cursor; NULL sets it to the feed's head. `outcome`: subscribed; ahead (of the feed); expired (what follows
-- `p_after_seq` is not kept any more); unknown (there is no such connection of this user). Whoever sends is told like of an event.
CREATE FUNCTION subscribe_connection(p_connection_id text, p_after_seq bigint)
    RETURNS TABLE (outcome text, after_seq bigint, head_seq bigint, oldest_seq bigint)
    LANGUAGE plpgsql ROWS 1 AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM connections WHERE id = p_connection_id AND user_id = current_user_id() FOR NO KEY UPDATE;
    outcome := CASE WHEN FOUND THEN 'subscribed' ELSE 'unknown' END;
    SELECT b.head_seq, b.oldest_seq INTO head_seq, oldest_seq FROM feed_bounds() b;
    after_seq := coalesce(p_after_seq, head_seq);
    IF outcome = 'subscribed' THEN
        outcome := CASE WHEN after_seq > head_seq THEN 'ahead' WHEN after_seq + 1 < oldest_seq THEN 'expired' ELSE outcome END;
    END IF;
    IF outcome = 'subscribed' THEN
        UPDATE connections SET delivered_seq = after_seq, live = false, failures = 0, retry_at = NULL WHERE id = p_connection_id;
        RAISE NOTICE 'news' USING DETAIL = current_user_id();
    END IF;
    RETURN NEXT;
END
$$;

-- Deletes what is older than `p_days`, `p_limit` events at most, and of each user's feed only from its beginning: what is kept has
-- no gap. How many went. Users in one order: two runs that overlap would wait for each other.
CREATE FUNCTION forget_events(p_days integer, p_limit integer) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    v_before timestamptz := now() - make_interval(days => p_days);
    v_user   text;
    v_count  integer;
    v_total  integer := 0;
BEGIN
    FOR v_user IN
        SELECT c.user_id FROM event_counters c
        CROSS JOIN LATERAL (SELECT e.created_at FROM events e WHERE e.user_id = c.user_id ORDER BY e.seq LIMIT 1) f
        WHERE f.created_at < v_before
        ORDER BY c.user_id
    LOOP
        DELETE FROM events WHERE user_id = v_user AND seq IN (
            SELECT o.seq FROM (
                SELECT f.seq, bool_and(f.created_at < v_before) OVER (ORDER BY f.seq) AS old
                FROM (SELECT e.seq, e.created_at FROM events e WHERE e.user_id = v_user ORDER BY e.seq LIMIT p_limit - v_total) f
            ) o WHERE o.old);
        GET DIAGNOSTICS v_count = ROW_COUNT;
        v_total := v_total + v_count;
        EXIT WHEN v_total >= p_limit;
    END LOOP;
    RETURN v_total;
END
$$;

-- Pump -----------------------------------------------------------------------------------------------------------------
-- A pump holds a connection by a lease while it posts, so no transaction is open meanwhile. What frees one from a pump that died
-- is time. Rows are locked in the order of their ids, for as long as one statement takes.

ALTER TABLE connections
    ADD COLUMN lease_owner uuid,
    ADD COLUMN lease_until timestamptz;
ALTER TABLE connections SET (fillfactor = 70);  -- room for the updates that every pass makes
CREATE INDEX connections_by_expiry ON connections (expires_at);

-- The ids of a user's connections that have caught up with their feed: whom the pieces of an answer are streamed to.
CREATE FUNCTION live_connections(p_user_id text) RETURNS text[]
    LANGUAGE sql STABLE
    RETURN ARRAY(SELECT id FROM connections WHERE user_id = p_user_id AND live AND expires_at > now() ORDER BY id);

-- Takes the users' connections that something is to be sent to, for `p_owner`. Those that another pump holds, or that wait after a
-- fault, are left out. `head`: the newest seq of the user's feed.
--
-- The lock comes first and is waited for: a pump that lets go at this moment has looked for news under the same lock. Either it
-- saw what we were told of, or we find the connection free.
CREATE FUNCTION claim_connections(p_user_ids text[], p_owner uuid, p_lease_seconds integer, p_limit integer) RETURNS TABLE (
    id text, user_id text, delivered_seq bigint, live boolean, failures integer, head bigint
)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_ids text[];  -- what subscribes from here on is told of anew, and would be locked out of order
BEGIN
    -- What is sent must outlast a crash of the server, or its number would be given to another event, which clients would leave
    -- out. Some events are committed without waiting for the disk; who waits here has them written too.
    PERFORM set_config('synchronous_commit', 'on', true);
    v_ids := ARRAY(SELECT c.id FROM connections c WHERE c.user_id = ANY (p_user_ids) AND c.delivered_seq IS NOT NULL
                   ORDER BY c.id FOR NO KEY UPDATE);
    RETURN QUERY
        UPDATE connections c SET lease_owner = p_owner, lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
        FROM event_counters e
        WHERE e.user_id = c.user_id AND c.id IN (
            SELECT f.id FROM connections f JOIN event_counters n USING (user_id)
            WHERE f.id = ANY (v_ids) AND f.delivered_seq IS NOT NULL AND f.expires_at > now()
              AND (f.lease_until IS NULL OR f.lease_until < clock_timestamp())
              AND (f.retry_at IS NULL OR f.retry_at <= clock_timestamp())
              AND (NOT f.live OR f.delivered_seq < n.seq)
            LIMIT p_limit)
        RETURNING c.id, c.user_id, c.delivered_seq, c.live, c.failures, e.seq;
END
$$;

-- Writes down how far connections came and lets go of those that have caught up or must wait. Each of `p_results` is
-- {id, from_seq, was_live, seq, live, failures, retry_seconds}; a cursor that its client has set anew meanwhile is not touched.
-- `p_gone` are closed for good. `p_let_go`: whatever is left to send.
-- A row for each that is still the caller's: `held` says that there is more to send and it was not let go; `behind` that there is
-- more to send.
CREATE FUNCTION settle_connections(
    p_owner uuid, p_lease_seconds integer, p_results jsonb, p_gone text[], p_let_go boolean
) RETURNS TABLE (
    id text, user_id text, delivered_seq bigint, live boolean, failures integer, head bigint, held boolean, behind boolean
)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_ids text[] := ARRAY(SELECT r ->> 'id' FROM jsonb_array_elements(p_results) r);
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);  -- a cursor lost with the server only means sending again
    PERFORM FROM connections c WHERE c.id = ANY (v_ids || p_gone) ORDER BY c.id FOR NO KEY UPDATE;
    IF p_gone <> '{}' THEN
        PERFORM forget_connections(p_gone);
    END IF;
    UPDATE connections c SET delivered_seq = r.seq, live = r.live, failures = r.failures,
        retry_at = clock_timestamp() + make_interval(secs => r.retry_seconds)
    FROM jsonb_to_recordset(p_results) AS r (id text, from_seq bigint, was_live boolean, seq bigint, live boolean, failures integer,
                                             retry_seconds float)
    WHERE c.id = r.id AND c.lease_owner = p_owner AND c.delivered_seq = r.from_seq AND c.live = r.was_live;
    -- A statement of its own sees what was committed until the rows were locked: this is the look before letting go.
    RETURN QUERY
        UPDATE connections c SET
            lease_owner = CASE WHEN n.held THEN p_owner END,
            lease_until = CASE WHEN n.held THEN clock_timestamp() + make_interval(secs => p_lease_seconds) END
        FROM (SELECT f.id, e.seq, NOT f.live OR f.delivered_seq < e.seq AS behind,
                     NOT p_let_go AND f.retry_at IS NULL AND (NOT f.live OR f.delivered_seq < e.seq) AS held
              FROM connections f JOIN event_counters e USING (user_id) WHERE f.id = ANY (v_ids)) n
        WHERE c.id = n.id AND c.lease_owner = p_owner
        RETURNING c.id, c.user_id, c.delivered_seq, c.live, c.failures, n.seq, n.held, n.behind;
    IF EXISTS (SELECT FROM connections c WHERE c.id = ANY (v_ids) AND c.lease_owner = p_owner) THEN
        PERFORM set_config('synchronous_commit', 'on', true);  -- there is more to send: as in claim_connections
    END IF;
END
$$;

-- Deletes connections that are closed. Deleting one counts it out of its user's counter, which others hold until they commit, several
-- at a time even: one that is not free now is not waited for, or both might wait for ever. What stays is past its time, is
-- not sent anything and goes the next time. How many went.
CREATE FUNCTION forget_connections(p_ids text[]) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    v_count integer;
BEGIN
    PERFORM FROM connections c WHERE c.id = ANY (p_ids) ORDER BY c.id FOR UPDATE;  -- in the order of $disconnect: row, then counter
    WITH free AS MATERIALIZED (
        SELECT user_id FROM event_counters e
        WHERE e.user_id IN (SELECT c.user_id FROM connections c WHERE c.id = ANY (p_ids))
        FOR NO KEY UPDATE SKIP LOCKED)
    DELETE FROM connections c USING free WHERE c.user_id = free.user_id AND c.id = ANY (p_ids);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    UPDATE connections SET delivered_seq = NULL, live = false, lease_owner = NULL, lease_until = NULL, expires_at = least(expires_at, now())
    WHERE id = ANY (p_ids);
    RETURN v_count;
END
$$;
