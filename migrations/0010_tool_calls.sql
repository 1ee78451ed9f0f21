-- compatible-from: 1
-- Tool calls of turns: what waits for a person's word, and sessions told what they can do now.

-- A call that waits for a person's word. `call_id` is the model's; one turn asks for it once.
CREATE TABLE tool_approvals (
    id          uuid PRIMARY KEY,
    user_id     text NOT NULL,
    session_id  uuid NOT NULL,
    turn_id     uuid NOT NULL,
    call_id     text NOT NULL,
    integration text NOT NULL,
    tool        text NOT NULL,
    arguments   jsonb NOT NULL,
    status      text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'denied', 'expired', 'cancelled')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    decided_at  timestamptz,
    UNIQUE (turn_id, call_id),
    FOREIGN KEY (session_id, user_id) REFERENCES agent_sessions (id, user_id) ON DELETE CASCADE
);
CREATE INDEX tool_approvals_by_user ON tool_approvals (user_id, id);
CREATE INDEX tool_approvals_pending ON tool_approvals (expires_at) WHERE status = 'pending';
CALL protect_user_table('tool_approvals');

-- What was decided of a turn's calls, by call id.
CREATE FUNCTION turn_decisions(p_turn_id uuid) RETURNS jsonb
    LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_object_agg(call_id, jsonb_build_object('status', status, 'integration', integration, 'tool', tool)), '{}')
    FROM tool_approvals
    WHERE turn_id = p_turn_id AND status IN ('approved', 'denied', 'expired')
$$;

-- Keeps what a turn has said, so that no tool is called again for it, and prolongs the lease. No row: it is no longer `p_owner`'s.
CREATE FUNCTION save_said(p_turn_id uuid, p_owner uuid, p_said jsonb, p_partial text, p_lease_seconds integer)
    RETURNS TABLE (cancel_requested boolean)
    LANGUAGE sql AS $$
    UPDATE turns SET said = p_said, partial = p_partial, lease_until = now() + make_interval(secs => p_lease_seconds)
    WHERE id = p_turn_id AND lease_owner = p_owner AND status = 'running'
    RETURNING turns.cancel_requested
$$;

-- Puts a turn aside until its user has decided on `p_asks` (id, call_id, integration, tool, arguments), and charges what the model
-- calls have cost. False where the turn is no longer `p_owner`'s. One that was to be cancelled meanwhile is.
CREATE FUNCTION park_turn(
    p_turn_id uuid, p_owner uuid, p_said jsonb, p_partial text, p_calls jsonb, p_asks jsonb, p_wait_seconds integer
) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    t turns;
    a tool_approvals;
    v_cost  numeric := cost_of(p_calls);
    v_lines integer;
BEGIN
    SELECT * INTO t FROM turns WHERE id = p_turn_id;
    PERFORM FROM agent_sessions WHERE id = t.session_id FOR NO KEY UPDATE;
    UPDATE turns SET status = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'waiting' END, said = p_said, partial = p_partial,
        waits = waits + 1, finished_at = CASE WHEN cancel_requested THEN now() END, lease_owner = NULL, lease_until = NULL
    WHERE id = p_turn_id AND lease_owner = p_owner AND status = 'running' RETURNING * INTO t;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    v_lines := charge_calls(t.user_id, t.session_id, t.id, p_calls);
    UPDATE agent_sessions SET cost = cost + v_cost, updated_at = now() WHERE id = t.session_id AND v_cost > 0;
    IF t.status = 'cancelled' THEN
        PERFORM append_event(t.user_id, 'turn.cancelled', 'turns/' || t.id,
            jsonb_build_object('session_id', t.session_id, 'number', t.number));
        RETURN true;
    END IF;
    FOR a IN
        INSERT INTO tool_approvals AS o (id, user_id, session_id, turn_id, call_id, integration, tool, arguments, expires_at)
        SELECT r.id, t.user_id, t.session_id, t.id, r.call_id, r.integration, r.tool, r.arguments,
               now() + make_interval(secs => p_wait_seconds)
        FROM jsonb_to_recordset(p_asks) AS r (id uuid, call_id text, integration text, tool text, arguments jsonb)
        ON CONFLICT (turn_id, call_id) DO UPDATE  -- of a turn that was cancelled and is tried again
            SET status = 'pending', expires_at = excluded.expires_at, decided_at = NULL
        RETURNING *
    LOOP
        PERFORM append_event(a.user_id, 'approval.requested', 'tool-approvals/' || a.id, jsonb_build_object(
            'session_id', a.session_id, 'turn_id', a.turn_id, 'integration', a.integration, 'tool', a.tool,
            'arguments', a.arguments, 'expires_at', a.expires_at));
    END LOOP;
    PERFORM append_event(t.user_id, 'turn.waiting', 'turns/' || t.id, jsonb_build_object('session_id', t.session_id, 'number', t.number));
    RETURN true;
END
$$;

-- Writes what became of a pending approval. Whether its turn goes on: nothing else is open. The session's row is locked already.
CREATE FUNCTION settle_approval(p_approval_id uuid, p_status text, p_remembered boolean) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    a tool_approvals;
    t turns;
BEGIN
    UPDATE tool_approvals SET status = p_status, decided_at = now() WHERE id = p_approval_id AND status = 'pending' RETURNING * INTO a;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE turns SET status = 'queued', queued_at = now()
    WHERE id = a.turn_id AND status = 'waiting'
      AND NOT EXISTS (SELECT FROM tool_approvals o WHERE o.turn_id = a.turn_id AND o.status = 'pending')
    RETURNING * INTO t;
    PERFORM append_event(a.user_id, 'approval.decided', 'tool-approvals/' || a.id, jsonb_build_object(
        'session_id', a.session_id, 'turn_id', a.turn_id, 'integration', a.integration, 'tool', a.tool, 'status', p_status,
        'remembered', p_remembered));
    IF t.id IS NOT NULL THEN
        PERFORM append_event(t.user_id, 'turn.queued', 'turns/' || t.id, jsonb_build_object('session_id', t.session_id, 'number', t.number));
    END IF;
    RETURN t.id IS NOT NULL;
END
$$;

-- A person's word: `p_status` approved or denied. With `p_remember` it holds for every later call of the tool.
-- `decided` false: it was decided before. `resumed`: its turn is in line again. No row: there is no such approval.
CREATE FUNCTION decide_approval(p_approval_id uuid, p_status text, p_remember boolean) RETURNS TABLE (decided boolean, resumed boolean)
    LANGUAGE plpgsql ROWS 1 AS $$
DECLARE
    a tool_approvals;
BEGIN
    SELECT * INTO a FROM tool_approvals WHERE id = p_approval_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF p_remember THEN  -- the tool before the session, and both before the event counter: the order of everything that takes them
        PERFORM FROM integration_tools t JOIN integrations i ON i.id = t.integration_id
        WHERE i.user_id = a.user_id AND i.slug = a.integration AND t.name = a.tool FOR UPDATE OF t;
    END IF;
    PERFORM FROM agent_sessions WHERE id = a.session_id FOR NO KEY UPDATE;
    resumed := settle_approval(p_approval_id, p_status, p_remember);
    decided := resumed IS NOT NULL;
    IF decided AND p_remember THEN
        UPDATE integration_tools t SET policy = CASE p_status WHEN 'approved' THEN 'always' ELSE 'never' END, updated_at = now()
        FROM integrations i
        WHERE i.id = t.integration_id AND i.user_id = a.user_id AND i.slug = a.integration AND t.name = a.tool;
    END IF;
    RETURN NEXT;
END
$$;

-- Approvals that nobody gave in time: their turns go on and are told so. A row a session with turns to be sent.
CREATE FUNCTION expire_approvals(p_limit integer) RETURNS TABLE (user_id text, session_id uuid)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    a record;
BEGIN
    FOR a IN
        SELECT * FROM (
            SELECT o.id, o.user_id, o.session_id FROM tool_approvals o JOIN agent_sessions s ON s.id = o.session_id
            WHERE o.status = 'pending' AND o.expires_at < now()
            ORDER BY o.expires_at LIMIT p_limit FOR NO KEY UPDATE OF s SKIP LOCKED) due
        ORDER BY user_id  -- several users' feeds are locked, by all who do so in this order
    LOOP
        IF settle_approval(a.id, 'expired', false) THEN
            user_id := a.user_id; session_id := a.session_id;
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

-- A turn that no longer waits, for whatever reason, leaves no question open.
CREATE FUNCTION close_approvals() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tool_approvals SET status = 'cancelled', decided_at = now() WHERE turn_id = new.id AND status = 'pending';
    RETURN NULL;
END
$$;
-- Whatever ends says when: of `finished_at`, a claim does not ask for it.
CREATE TRIGGER turns_close_approvals AFTER UPDATE OF finished_at ON turns
    FOR EACH ROW WHEN (old.status = 'waiting' AND new.status = 'cancelled') EXECUTE FUNCTION close_approvals();

-- What sessions can do now -----------------------------------------------------------------------------------------------

-- What a live session was last told it can do. No foreign key: rows are written under the user's event counter, which a session's own
-- changes lock last, and waiting for a session under it would be a deadlock.
CREATE TABLE session_capabilities (
    session_id uuid PRIMARY KEY,
    user_id    text NOT NULL,
    available  text[] NOT NULL
);
CALL protect_user_table('session_capabilities');

-- Tells each live session of a user what it can do now, if that has changed.
CREATE FUNCTION follow_capabilities(p_user_id text) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    PERFORM FROM event_counters WHERE user_id = p_user_id FOR UPDATE;  -- one after the other, and before any other lock
    DELETE FROM session_capabilities k WHERE k.user_id = p_user_id
        AND NOT EXISTS (SELECT FROM agent_sessions s WHERE s.id = k.session_id AND s.status IN ('initializing', 'active', 'paused'));
    FOR c IN
        WITH callable AS MATERIALIZED (
            SELECT t.capabilities || t.name || (i.slug || '.' || t.name) AS serves
            FROM integrations i JOIN integration_tools t ON t.integration_id = i.id
            WHERE i.user_id = p_user_id AND i.enabled AND i.status IN ('healthy', 'degraded') AND t.status = 'active'
              AND t.policy <> 'never'
        ), live AS (
            SELECT s.id, ARRAY(SELECT jsonb_array_elements_text(s.capabilities -> 'wanted')) AS wanted, coalesce(k.available, ARRAY(
                       SELECT m ->> 'capability' FROM jsonb_array_elements(s.capabilities -> 'matches') m
                       WHERE (m ->> 'available')::boolean)) AS before
            FROM agent_sessions s LEFT JOIN session_capabilities k ON k.session_id = s.id
            WHERE s.user_id = p_user_id AND s.status IN ('initializing', 'active', 'paused')
              AND jsonb_array_length(s.capabilities -> 'wanted') > 0
        ), told AS (
            SELECT l.*, ARRAY(SELECT w FROM unnest(l.wanted) w WHERE EXISTS (SELECT FROM callable WHERE w = ANY (serves))) AS available
            FROM live l
        )
        SELECT id, wanted, before, available FROM told
        WHERE NOT (before @> available AND available @> before) ORDER BY id
    LOOP
        INSERT INTO session_capabilities AS k (session_id, user_id, available) VALUES (c.id, p_user_id, c.available)
        ON CONFLICT (session_id) DO UPDATE SET available = excluded.available;
        PERFORM append_event(p_user_id, 'session.capabilities_changed', 'sessions/' || c.id, jsonb_build_object(
            'available', c.available,
            'gained', ARRAY(SELECT a FROM unnest(c.available) a WHERE a <> ALL (c.before)),
            'lost', ARRAY(SELECT b FROM unnest(c.before) b WHERE b <> ALL (c.available))));
    END LOOP;
END
$$;

-- Whatever changes an integration or a tool, in whatever place: sessions hear of it in the same transaction.
CREATE FUNCTION integrations_followed() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM follow_capabilities(u.user_id) FROM (
        SELECT DISTINCT n.user_id FROM before o JOIN after n ON n.id = o.id
        WHERE (n.enabled, n.status, n.slug) IS DISTINCT FROM (o.enabled, o.status, o.slug) ORDER BY 1) u;
    RETURN NULL;
END
$$;
CREATE TRIGGER integrations_followed AFTER UPDATE ON integrations
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION integrations_followed();

CREATE FUNCTION tools_changed_followed() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM follow_capabilities(u.user_id) FROM (
        SELECT DISTINCT n.user_id FROM before o JOIN after n ON n.integration_id = o.integration_id AND n.name = o.name
        WHERE (n.status, n.policy, n.capabilities) IS DISTINCT FROM (o.status, o.policy, o.capabilities) ORDER BY 1) u;
    RETURN NULL;
END
$$;
CREATE TRIGGER tools_changed_followed AFTER UPDATE ON integration_tools
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION tools_changed_followed();

CREATE FUNCTION tools_followed() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM follow_capabilities(u.user_id) FROM (SELECT DISTINCT user_id FROM changed ORDER BY 1) u;
    RETURN NULL;
END
$$;
CREATE TRIGGER tools_added_followed AFTER INSERT ON integration_tools
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tools_followed();
CREATE TRIGGER tools_removed_followed AFTER DELETE ON integration_tools
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tools_followed();
