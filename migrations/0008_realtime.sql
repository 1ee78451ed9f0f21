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
    c event_counters;
BEGIN
    INSERT INTO event_counters AS e (user_id, seq, knowledge_epoch, capability_epoch)
    VALUES (p_user_id, 1,
            (p_type IN ('document.ready', 'document.deleting', 'document.deleted', 'collection.deleted'))::integer,
            (p_type LIKE 'integration.%' OR p_type LIKE 'tool.%')::integer)
    ON CONFLICT (user_id) DO UPDATE SET
        seq = e.seq + 1,
        knowledge_epoch = e.knowledge_epoch + excluded.knowledge_epoch,
        capability_epoch = e.capability_epoch + excluded.capability_epoch
    RETURNING * INTO c;
    INSERT INTO events (user_id, seq, type, subject, data) VALUES (p_user_id, c.seq, p_type, p_subject, p_data);
    IF c.connections > 0 THEN
        RAISE NOTICE 'news' USING DETAIL = p_user_id;
    END IF;
    RETURN c.seq;
END
$$;
