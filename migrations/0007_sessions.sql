-- compatible-from: 1
-- Sessions: a template brought to life. Conversations group them; turns are worked on by leases; messages lie on branches,
-- and a checkpoint is a place on one, so it costs the same however long the history is.

-- Domains rather than CHECKs, for what every turn writes: see usage.
CREATE DOMAIN session_status AS text
    CHECK (VALUE IN ('initializing', 'active', 'paused', 'completed', 'failed', 'cancelled', 'expired'));
CREATE DOMAIN idle_limit AS integer CHECK (VALUE BETWEEN 60 AND 31536000);  -- seconds
CREATE DOMAIN checkpoint_limit AS integer CHECK (VALUE BETWEEN 1 AND 10000);
CREATE DOMAIN checkpoint_name AS text CHECK (length(VALUE) BETWEEN 1 AND 200);
CREATE DOMAIN turn_kind AS text CHECK (VALUE IN ('message', 'auto'));
CREATE DOMAIN turn_status AS text CHECK (VALUE IN ('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled'));
CREATE DOMAIN client_id AS text CHECK (length(VALUE) BETWEEN 1 AND 255);
CREATE DOMAIN message_ordinal AS integer CHECK (VALUE > 0);
CREATE DOMAIN message_role AS text CHECK (VALUE IN ('user', 'assistant', 'tool'));

CREATE TABLE conversations (
    id               uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id          text NOT NULL,
    title            text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    archived_at      timestamptz,
    last_activity_at timestamptz NOT NULL DEFAULT now(),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, user_id)
);
CREATE INDEX conversations_by_activity ON conversations (user_id, last_activity_at DESC, id DESC);

-- Which moves of a session's status are legal. The trigger below holds every update to it.
CREATE TABLE session_transitions (
    from_status text NOT NULL,
    to_status   text NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
INSERT INTO session_transitions VALUES
    ('initializing', 'active'), ('initializing', 'failed'), ('initializing', 'cancelled'), ('initializing', 'expired'),
    ('active', 'paused'), ('active', 'completed'), ('active', 'failed'), ('active', 'cancelled'), ('active', 'expired'),
    ('paused', 'active'), ('paused', 'completed'), ('paused', 'failed'), ('paused', 'cancelled'), ('paused', 'expired');
GRANT SELECT ON session_transitions TO spandrel_app, spandrel_system;

CREATE TABLE agent_sessions (
    id                uuid PRIMARY KEY,
    user_id           text NOT NULL,
    conversation_id   uuid NOT NULL,
    parent_session_id uuid,              -- the one that it was forked from
    template_id       uuid NOT NULL,
    template_version  integer NOT NULL,
    status            session_status NOT NULL,
    status_reason     text,
    model             text NOT NULL,
    config            jsonb NOT NULL,
    -- How its prompt came about: every variable's value and source, what served each capability, confidence and its reasons.
    bindings          jsonb NOT NULL,
    capabilities      jsonb NOT NULL,
    confidence        jsonb NOT NULL,
    prompt            jsonb NOT NULL,    -- the composed messages before the history, and after it
    prompt_hash       text NOT NULL,
    knowledge         jsonb,             -- what a turn retrieves by; NULL: nothing
    -- The head: the branch that goes on, and its newest message.
    branch_id         uuid NOT NULL,     -- its own id: the branch that it began with, which has no parent
    ordinal           integer NOT NULL DEFAULT 0,
    checkpoints       integer NOT NULL DEFAULT 0,  -- how many were made: the newest one's number
    turns             integer NOT NULL DEFAULT 0,
    cost              numeric(20, 10) NOT NULL DEFAULT 0,
    idle_seconds      idle_limit NOT NULL,
    keep_checkpoints  checkpoint_limit,  -- unnamed ones; NULL: all
    expires_at        timestamptz NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, id),
    FOREIGN KEY (conversation_id, user_id) REFERENCES conversations (id, user_id) ON DELETE CASCADE
) WITH (fillfactor = 70);  -- room for the updates that every turn makes
CREATE INDEX agent_sessions_by_conversation ON agent_sessions (conversation_id, id);
CREATE INDEX agent_sessions_idle ON agent_sessions (expires_at) WHERE status IN ('initializing', 'active', 'paused');

-- Every move of a status, with its reason. Append-only.
CREATE TABLE session_status_changes (
    session_id  uuid NOT NULL,
    user_id     text NOT NULL,
    from_status text,
    to_status   text NOT NULL,
    reason      text,
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (session_id, user_id) REFERENCES agent_sessions (id, user_id) ON DELETE CASCADE
);
CREATE INDEX session_status_changes_by_session ON session_status_changes (session_id, changed_at);

-- A line of messages. One that begins at another's message holds only what comes after it.
CREATE TABLE branches (
    id             uuid PRIMARY KEY,
    user_id        text NOT NULL,
    session_id     uuid NOT NULL,
    parent_id      uuid,
    parent_ordinal integer NOT NULL DEFAULT 0,
    FOREIGN KEY (session_id, user_id) REFERENCES agent_sessions (id, user_id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX branches_by_session ON branches (session_id);
CREATE INDEX branches_by_parent ON branches (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE messages (
    branch_id    uuid NOT NULL,
    ordinal      message_ordinal NOT NULL,
    token_count  integer NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    turn_id      uuid NOT NULL,
    user_id      text NOT NULL,
    role         message_role NOT NULL,
    content      text NOT NULL,
    tool_calls   jsonb,  -- of the assistant: what it asked for
    tool_call_id text,   -- of a tool: what it answers
    citations    jsonb,  -- of the assistant: the passages that its [n] marks name
    PRIMARY KEY (branch_id, ordinal)
);

-- What has fallen out of the model's window, told in short: stands for every message of the line up to `ordinal`.
CREATE TABLE branch_summaries (
    branch_id   uuid NOT NULL REFERENCES branches (id) ON DELETE CASCADE,
    ordinal     integer NOT NULL,
    user_id     text NOT NULL,
    content     text NOT NULL,
    token_count integer NOT NULL,
    PRIMARY KEY (branch_id, ordinal)
);

CREATE TABLE session_checkpoints (
    session_id uuid NOT NULL,
    number     integer NOT NULL,
    ordinal    integer NOT NULL,
    branch_id  uuid NOT NULL,
    turn_id    uuid,
    user_id    text NOT NULL,
    name       checkpoint_name,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, number)
);

-- `input` is what the user wrote, kept here until it stands on the branch as a message; `partial` the answer so far; `said` the
-- messages that are not to be said again, whoever goes on with the turn: what tools were called and what they answered.
-- `waiting`: for a person's word on a tool call; `waits` counts how often.
CREATE TABLE turns (
    id                uuid PRIMARY KEY,
    user_id           text NOT NULL,
    session_id        uuid NOT NULL,
    number            integer NOT NULL,
    kind              turn_kind NOT NULL,
    status            turn_status NOT NULL DEFAULT 'queued',
    client_message_id client_id,
    input             text,
    partial           text,
    said              jsonb,
    waits             integer NOT NULL DEFAULT 0,
    branch_id         uuid,              -- where it stands once it is completed
    ordinal           integer,           -- of the last message before it
    message_count     integer,           -- how many it added
    attempt           integer NOT NULL DEFAULT 0,
    cancel_requested  boolean NOT NULL DEFAULT false,
    error_code        text,
    error_message     text,
    lease_owner       uuid,
    lease_until       timestamptz,
    queued_at         timestamptz NOT NULL DEFAULT now(),
    started_at        timestamptz,
    finished_at       timestamptz,       -- NULL: it is queued, running or waiting
    UNIQUE (session_id, number),
    UNIQUE (session_id, client_message_id),
    FOREIGN KEY (session_id, user_id) REFERENCES agent_sessions (id, user_id) ON DELETE CASCADE
);
-- By `finished_at` and not by status, so that a claim touches no index.
CREATE INDEX turns_unfinished ON turns (session_id, number) WHERE finished_at IS NULL;

CALL protect_user_table('conversations');
CALL protect_user_table('agent_sessions');
CALL protect_user_table('session_status_changes');
CALL protect_user_table('branches');
CALL protect_user_table('messages');
CALL protect_user_table('branch_summaries');
CALL protect_user_table('session_checkpoints');
CALL protect_user_table('turns');
CREATE TRIGGER session_status_changes_append_only BEFORE UPDATE ON session_status_changes
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER messages_append_only BEFORE UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Messages go with their branch; a foreign key would cost every turn a check a message.
CREATE FUNCTION delete_branch_messages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM messages WHERE branch_id = old.id;
    RETURN old;
END
$$;
CREATE TRIGGER branches_messages AFTER DELETE ON branches FOR EACH ROW EXECUTE FUNCTION delete_branch_messages();

-- Checkpoints go with their session, likewise: whoever writes one holds the session's row.
CREATE FUNCTION delete_session_checkpoints() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM session_checkpoints WHERE session_id = old.id;
    RETURN old;
END
$$;
CREATE TRIGGER agent_sessions_checkpoints AFTER DELETE ON agent_sessions
    FOR EACH ROW EXECUTE FUNCTION delete_session_checkpoints();

-- Status ---------------------------------------------------------------------------------------------------------------

-- What a session of this status may become, for those who asked for something else.
CREATE FUNCTION legal_moves(p_status text) RETURNS text
    LANGUAGE sql STABLE
    RETURN (SELECT coalesce(string_agg(to_status, ',' ORDER BY to_status), '') FROM session_transitions
            WHERE from_status = p_status);

-- Holds a status to the legal moves, writes each into the audit, and tells it.
CREATE FUNCTION guard_session_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM session_transitions WHERE from_status = old.status AND to_status = new.status) THEN
        RAISE EXCEPTION 'A session that is % cannot become %.', old.status, new.status
            USING ERRCODE = 'SP003', DETAIL = legal_moves(old.status);
    END IF;
    INSERT INTO session_status_changes (session_id, user_id, from_status, to_status, reason)
    VALUES (new.id, new.user_id, old.status, new.status, new.status_reason);
    PERFORM append_event(new.user_id, 'session.' || new.status, 'sessions/' || new.id,
                         jsonb_strip_nulls(jsonb_build_object('from', old.status, 'reason', new.status_reason)));
    RETURN new;
END
$$;
CREATE TRIGGER agent_sessions_status BEFORE UPDATE OF status ON agent_sessions
    FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION guard_session_status();

-- The messages of a line in order, its ancestors' included, after `p_after` and up to `p_upto`.
CREATE FUNCTION line_messages(p_branch_id uuid, p_after integer, p_upto integer) RETURNS SETOF messages
    LANGUAGE sql STABLE AS $$
    WITH RECURSIVE line AS (
        SELECT b.parent_id, b.parent_ordinal, b.id, p_upto AS upto FROM branches b WHERE b.id = p_branch_id
        UNION ALL
        SELECT b.parent_id, b.parent_ordinal, b.id, least(line.parent_ordinal, line.upto)
        FROM line JOIN branches b ON b.id = line.parent_id
        WHERE least(line.parent_ordinal, line.upto) > p_after
    )
    SELECT m.* FROM line CROSS JOIN LATERAL (
        SELECT * FROM messages WHERE branch_id = line.id AND ordinal > p_after AND ordinal <= line.upto
        OFFSET 0) m  -- branch by branch: of how many there are the planner has no idea, and would read all messages
    ORDER BY m.ordinal
$$;

-- The newest summary on a line.
CREATE FUNCTION line_summary(p_branch_id uuid) RETURNS SETOF branch_summaries
    LANGUAGE sql STABLE ROWS 1 AS $$
    WITH RECURSIVE line AS (
        SELECT b.parent_id, b.parent_ordinal, b.id, 2147483647 AS upto FROM branches b WHERE b.id = p_branch_id
        UNION ALL
        SELECT b.parent_id, b.parent_ordinal, b.id, least(line.parent_ordinal, line.upto)
        FROM line JOIN branches b ON b.id = line.parent_id
    )
    SELECT s.* FROM line JOIN branch_summaries s ON s.branch_id = line.id AND s.ordinal <= line.upto
    ORDER BY s.ordinal DESC LIMIT 1
$$;

-- What a prompt is made from -------------------------------------------------------------------------------------------

-- A user's tools that serve any of the wanted capabilities, or are named by `tool` or `slug.tool`, as they are now.
CREATE FUNCTION matching_tools(p_wanted text[]) RETURNS jsonb
    LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'integration_id', i.id, 'integration', i.slug, 'enabled', i.enabled, 'integration_status', i.status,
               'reason', i.reason, 'name', t.name, 'status', t.status, 'policy', t.policy, 'capabilities', t.capabilities,
               'description', t.description, 'parameters', t.input_schema) ORDER BY i.slug, t.name), '[]')
    FROM integrations i
    JOIN integration_tools t ON t.integration_id = i.id
    WHERE i.user_id = current_user_id() AND t.user_id = current_user_id() AND t.status <> 'removed'
      AND (t.capabilities && p_wanted OR t.name = ANY (p_wanted) OR i.slug || '.' || t.name = ANY (p_wanted))
$$;

-- One flight's worth of everything that a prompt is composed from. `p_known` are hashes of versions that the caller holds
-- already: their structure and program are not sent again. `p_deleted`: a deleted template will do, for a session that was made
-- from it before. No row: there is no such template or version.
CREATE FUNCTION prompt_context(
    p_template_id uuid, p_name text, p_label text, p_version integer, p_known bytea[], p_key text, p_deleted boolean
) RETURNS TABLE (
    template_id uuid, template_name text, version integer, hash bytea, structure jsonb, program jsonb, tools jsonb, collections uuid[],
    knowledge_epoch bigint, capability_epoch bigint, request_hash bytea, stored jsonb
)
    LANGUAGE sql STABLE ROWS 1 AS $$
    WITH found AS (
        SELECT t.id, t.name FROM templates t
        WHERE t.kind = 'prompt' AND (t.id = p_template_id AND (t.deleted_at IS NULL OR p_deleted)
                                     OR p_template_id IS NULL AND t.name = p_name AND t.deleted_at IS NULL)
        ORDER BY t.user_id <> current_user_id(), t.id LIMIT 1
    ), resolved AS (
        SELECT f.id, f.name, coalesce(p_version, (
            SELECT l.version FROM template_labels l WHERE l.template_id = f.id AND l.label = p_label)) AS version
        FROM found f
    )
    SELECT r.id, r.name, r.version, v.hash,
           CASE WHEN v.hash <> ALL (p_known) THEN v.structure END, CASE WHEN v.hash <> ALL (p_known) THEN v.program END,
           CASE WHEN v.wanted = '[]' THEN '[]' ELSE matching_tools(ARRAY(SELECT jsonb_array_elements_text(v.wanted))) END,
           CASE WHEN v.structure #> '{knowledge,collections,0}' IS NOT NULL THEN ARRAY(
               SELECT n.id FROM collections n
               WHERE n.deleted_at IS NULL AND (v.structure #> '{knowledge,collections}') ?| ARRAY[n.name, n.id::text]) END,
           coalesce(c.knowledge_epoch, 0), coalesce(c.capability_epoch, 0), k.request_hash, k.response
    FROM resolved r
    JOIN LATERAL (
        SELECT hash, structure, program, coalesce(structure -> 'capabilities', '[]') || coalesce(structure -> 'tools', '[]') AS wanted
        FROM template_versions WHERE template_id = r.id AND version = r.version
    ) v ON true
    LEFT JOIN event_counters c ON c.user_id = current_user_id()
    LEFT JOIN idempotency_keys k ON k.user_id = current_user_id() AND k.key = p_key
$$;

-- Begins a session: row, branch, first checkpoint, its first turn where there is a `turn_id`, events; all or nothing. With a `title`
-- its conversation is made too.
-- `outcome`: created, replayed (`stored` is what the key's first request answered), mismatch, no_conversation.
CREATE FUNCTION begin_session(p_user_id text, p_key text, p_request_hash bytea, p_session jsonb, p_response jsonb)
    RETURNS TABLE (outcome text, stored jsonb)
    LANGUAGE plpgsql AS $$
DECLARE
    s       agent_sessions;
    v_turn  uuid := p_session ->> 'turn_id';
    v_scope text := set_config('spandrel.user_id', p_user_id, true);
BEGIN
    IF p_key IS NOT NULL THEN
        INSERT INTO idempotency_keys (user_id, key, request_hash, response)
        VALUES (p_user_id, p_key, p_request_hash, p_response) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN QUERY SELECT CASE WHEN k.request_hash = p_request_hash THEN 'replayed' ELSE 'mismatch' END, k.response
                         FROM idempotency_keys k WHERE k.user_id = p_user_id AND k.key = p_key;
            RETURN;
        END IF;
    END IF;
    s := jsonb_populate_record(NULL::agent_sessions, p_session);
    s.branch_id := s.id;  -- what it begins on is known by that
    IF p_session ? 'title' THEN
        INSERT INTO conversations (id, user_id, title) VALUES (s.conversation_id, p_user_id, p_session ->> 'title');
    ELSE
        UPDATE conversations SET last_activity_at = now() WHERE id = s.conversation_id;
        IF NOT FOUND THEN
            DELETE FROM idempotency_keys WHERE user_id = p_user_id AND key = p_key;
            RETURN QUERY SELECT 'no_conversation', NULL::jsonb;
            RETURN;
        END IF;
    END IF;
    INSERT INTO agent_sessions (id, user_id, conversation_id, template_id, template_version, status, status_reason, model, config,
        bindings, capabilities, confidence, prompt, prompt_hash, knowledge, branch_id, turns, idle_seconds, keep_checkpoints, expires_at)
    VALUES (s.id, p_user_id, s.conversation_id, s.template_id, s.template_version, s.status, s.status_reason, s.model, s.config,
        s.bindings, s.capabilities, s.confidence, s.prompt, s.prompt_hash, s.knowledge, s.branch_id, (v_turn IS NOT NULL)::integer,
        s.idle_seconds, s.keep_checkpoints, now() + make_interval(secs => s.idle_seconds));
    INSERT INTO branches (id, user_id, session_id) VALUES (s.branch_id, p_user_id, s.id);
    INSERT INTO session_checkpoints (session_id, number, ordinal, branch_id, user_id) VALUES (s.id, 0, 0, s.branch_id, p_user_id);
    INSERT INTO session_status_changes (session_id, user_id, to_status, reason)
    VALUES (s.id, p_user_id, s.status, s.status_reason);
    PERFORM append_event(p_user_id, 'session.created', 'sessions/' || s.id, jsonb_build_object('status', s.status,
        'conversation_id', s.conversation_id, 'template_id', s.template_id, 'template_version', s.template_version));
    IF v_turn IS NOT NULL THEN
        INSERT INTO turns (id, user_id, session_id, number, kind) VALUES (v_turn, p_user_id, s.id, 1, 'auto');
        PERFORM append_event(p_user_id, 'turn.queued', 'turns/' || v_turn, jsonb_build_object('session_id', s.id, 'number', 1));
    END IF;
    RETURN QUERY SELECT 'created', NULL::jsonb;
END
$$;

-- When a session that is used now expires. What moves it by less than a fiftieth is not written: the index would be, too.
CREATE FUNCTION postponed(p_expires_at timestamptz, p_idle_seconds integer) RETURNS timestamptz
    LANGUAGE sql STABLE
    RETURN CASE WHEN p_expires_at > now() + make_interval(secs => p_idle_seconds * 0.98) THEN p_expires_at
                ELSE now() + make_interval(secs => p_idle_seconds) END;

-- Turns ----------------------------------------------------------------------------------------------------------------

-- Puts a turn in line, or finds the one that `p_client_message_id` made before. No row: there is no such session.
-- Raises SP003 where the session takes no turns.
CREATE FUNCTION enqueue_turn(
    p_session_id uuid, p_turn_id uuid, p_kind text, p_client_message_id text, p_input text
) RETURNS SETOF turns
    LANGUAGE plpgsql AS $$
DECLARE
    s agent_sessions;
    t turns;
BEGIN
    SELECT * INTO s FROM agent_sessions WHERE id = p_session_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO t FROM turns WHERE session_id = p_session_id AND client_message_id = p_client_message_id;
    IF FOUND THEN
        RETURN NEXT t;
        RETURN;
    END IF;
    IF s.status <> 'active' THEN
        RAISE EXCEPTION 'A session that is % takes no turns.', s.status
            USING ERRCODE = 'SP003', DETAIL = legal_moves(s.status);
    END IF;
    UPDATE agent_sessions SET turns = turns + 1, updated_at = now(), expires_at = postponed(expires_at, idle_seconds)
    WHERE id = p_session_id;
    UPDATE conversations SET last_activity_at = now() WHERE id = s.conversation_id;
    INSERT INTO turns (id, user_id, session_id, number, kind, client_message_id, input)
    VALUES (p_turn_id, s.user_id, p_session_id, s.turns + 1, p_kind, p_client_message_id, p_input) RETURNING * INTO t;
    PERFORM append_event(s.user_id, 'turn.queued', 'turns/' || t.id, jsonb_build_object('session_id', s.id, 'number', t.number));
    RETURN NEXT t;
END
$$;

-- A message as a turn's worker takes it.
CREATE FUNCTION told_message(m messages) RETURNS json
    LANGUAGE sql STABLE
    RETURN json_build_array(m.ordinal, m.role, m.content, m.tool_calls, m.tool_call_id, m.token_count);

-- Takes a turn for `p_owner` and gives what it is worked on with, as JSON text: {outcome, work}. `outcome`: claimed, or what `refuse_turn`
-- says; then there is no work. Its `connections`: who may see the answer while it is made. Its `history`: what was said after
-- `history_after`, which is what its summary tells or, if the worker knows of more of this very line, `p_known_ordinal`.
--
-- This and `complete_turn` are what every turn waits for. They set their scope themselves, so that each is one message and no more,
-- and they assign what they call, which is cheaper than PERFORM: a plain expression needs no executor.
-- The claim's commit waits for no disk. Were it lost with the server, the turn would be in line again and its worker told so.
CREATE FUNCTION claim_turn(
    p_user_id text, p_session_id uuid, p_turn_id uuid, p_owner uuid, p_lease_seconds integer,
    p_known_branch_id uuid, p_known_ordinal integer
) RETURNS text
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    t turns;
    s agent_sessions;
    v_summary   branch_summaries;
    v_after     integer;
    v_history   json;
    v_decisions jsonb := '{}';
    v_tools     jsonb := '[]';
    v_live      text[];
    v_work      text;
    v_scope     text := set_config('spandrel.user_id', p_user_id, true);
    v_commit    text := set_config('synchronous_commit', 'off', true);
    v_seq       bigint;
BEGIN
    -- The session first, then its turns: the order of everything that touches both. The turn is looked for by its id alone:
    -- on a table without statistics yet, the planner would as soon read all the turns of the session.
    SELECT * INTO s FROM agent_sessions WHERE id = p_session_id FOR NO KEY UPDATE;
    UPDATE turns SET status = 'running', attempt = attempt + 1, lease_owner = p_owner, partial = NULL,
        lease_until = now() + make_interval(secs => p_lease_seconds), started_at = coalesce(started_at, now())
    WHERE id = p_turn_id AND s.status = 'active'
      AND (status = 'queued' OR status = 'running' AND lease_until <= now())
      AND NOT EXISTS (SELECT FROM turns e WHERE e.session_id = s.id AND e.finished_at IS NULL AND (
          e.number < turns.number OR e.id <> turns.id AND e.status = 'running' AND e.lease_until > now()))
      AND NOT EXISTS (SELECT FROM exhausted_budgets(s.user_id, s.id))
    RETURNING * INTO t;
    IF NOT FOUND THEN
        RETURN json_build_object('outcome', refuse_turn(p_turn_id, s));
    ELSIF t.session_id <> s.id THEN
        RAISE EXCEPTION 'turn % is not of session %', p_turn_id, p_session_id;
    END IF;
    IF s.branch_id = s.id THEN  -- the line that the session began with: there is nothing before it
        SELECT * INTO v_summary FROM branch_summaries WHERE branch_id = s.id ORDER BY ordinal DESC LIMIT 1;
    ELSE
        SELECT * INTO v_summary FROM line_summary(s.branch_id);
    END IF;
    v_after := coalesce(v_summary.ordinal, 0);
    IF s.branch_id = p_known_branch_id AND p_known_ordinal BETWEEN v_after AND s.ordinal THEN
        v_after := p_known_ordinal;
    END IF;
    IF v_after = s.ordinal THEN  -- nothing that the worker has not read
        v_history := NULL;
    ELSIF s.branch_id = s.id THEN
        SELECT json_agg(told_message(m) ORDER BY m.ordinal) INTO v_history
        FROM messages m WHERE m.branch_id = s.id AND m.ordinal > v_after;
    ELSE
        SELECT json_agg(told_message(m) ORDER BY m.ordinal) INTO v_history FROM line_messages(s.branch_id, v_after, s.ordinal) m;
    END IF;
    IF t.waits > 0 THEN
        v_decisions := turn_decisions(t.id);
    END IF;
    IF s.capabilities -> 'wanted' <> '[]' THEN
        v_tools := matching_tools(ARRAY(SELECT jsonb_array_elements_text(s.capabilities -> 'wanted')));
    END IF;
    v_live := live_connections(s.user_id);
    v_work := json_build_object('outcome', 'claimed', 'work', json_build_object(
        'number', t.number, 'kind', t.kind, 'input', t.input, 'attempt', t.attempt, 'model', s.model, 'config', s.config,
        'prompt', s.prompt, 'knowledge', s.knowledge, 'branch_id', s.branch_id, 'ordinal', s.ordinal,
        'wanted', s.capabilities -> 'wanted', 'said', coalesce(t.said, '[]'), 'decisions', v_decisions, 'tools', v_tools,
        'summary', CASE WHEN v_summary.ordinal IS NOT NULL
                        THEN json_build_object('ordinal', v_summary.ordinal, 'content', v_summary.content) END,
        'connections', v_live, 'history_after', v_after, 'history', coalesce(v_history, '[]')));
    v_seq := append_event(s.user_id, 'turn.started', 'turns/' || t.id,
                          jsonb_build_object('session_id', s.id, 'number', t.number, 'attempt', t.attempt));
    RETURN v_work;
END
$$;

-- Why a turn of session `s`, whose row is locked, cannot be claimed: done (nothing is left to do); busy (another worker holds it or a
-- later turn, which was first when this one was put in line again, or an earlier turn of the session is not finished); paused (it
-- waits with its session); waiting (an earlier turn waits for a person's word, and is sent on with those behind it); budget (it
-- failed: a budget is used up).
CREATE FUNCTION refuse_turn(p_turn_id uuid, s agent_sessions) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    t turns;
    v_budgets jsonb;
BEGIN
    SELECT * INTO t FROM turns WHERE id = p_turn_id AND session_id = s.id FOR UPDATE;
    IF t.id IS NULL OR t.status NOT IN ('queued', 'running') OR s.status NOT IN ('active', 'paused') THEN
        RETURN 'done';
    ELSIF s.status = 'paused' THEN
        RETURN 'paused';
    ELSIF t.status = 'running' AND t.lease_until > now() THEN
        RETURN 'busy';
    ELSIF EXISTS (SELECT FROM turns WHERE session_id = s.id AND number < t.number AND finished_at IS NULL AND status = 'waiting') THEN
        RETURN 'waiting';
    ELSIF EXISTS (SELECT FROM turns WHERE session_id = s.id AND number < t.number AND finished_at IS NULL) THEN
        RETURN 'busy';
    END IF;
    SELECT jsonb_agg(to_jsonb(b)) INTO v_budgets FROM exhausted_budgets(s.user_id, s.id) b;
    IF v_budgets IS NULL THEN
        RETURN 'busy';  -- what stood against it has just gone: come back
    END IF;
    UPDATE turns SET status = 'failed', finished_at = now(), error_code = 'budget_exceeded',
        error_message = 'A budget is used up. Raise it, or wait for its next period, and retry the turn.' WHERE id = t.id;
    PERFORM append_event(s.user_id, 'turn.failed', 'turns/' || t.id,
        jsonb_build_object('session_id', s.id, 'number', t.number, 'code', 'budget_exceeded', 'budgets', v_budgets));
    RETURN 'budget';
END
$$;

-- Saves the answer so far and prolongs the lease. No row: the turn is no longer `p_owner`'s.
CREATE FUNCTION save_partial(p_turn_id uuid, p_owner uuid, p_partial text, p_lease_seconds integer)
    RETURNS TABLE (cancel_requested boolean)
    LANGUAGE sql AS $$
    SELECT set_config('synchronous_commit', 'off', true);  -- the next save tells the same and more
    UPDATE turns SET partial = p_partial, lease_until = now() + make_interval(secs => p_lease_seconds)
    WHERE id = p_turn_id AND lease_owner = p_owner AND status = 'running'
    RETURNING turns.cancel_requested
$$;

-- Writes a finished turn: its messages, a checkpoint, what it cost, events. Once, whoever asks how often: raises SP004, and nothing is
-- written, where the turn is no longer `p_owner`'s. `p_calls`: a line a model call. `p_summary`: what stands for the messages up to its
-- ordinal from now on.
CREATE FUNCTION complete_turn(
    p_user_id text, p_session_id uuid, p_turn_id uuid, p_owner uuid, p_messages jsonb, p_calls jsonb, p_summary jsonb
) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_scope      text := set_config('spandrel.user_id', p_user_id, true);
    v_count      integer := jsonb_array_length(p_messages);
    v_branch     uuid;
    v_ordinal    integer;  -- of the last message before the turn
    v_checkpoint integer;
    v_keep       integer;
    v_number     integer;
    v_session    uuid;
    v_seq        bigint;
BEGIN
    -- Taken to be ours, so that the session is locked and moved on in one go.
    UPDATE agent_sessions s SET ordinal = s.ordinal + v_count, checkpoints = checkpoints + 1, cost = cost + cost_of(p_calls),
        updated_at = now(), expires_at = postponed(expires_at, idle_seconds)
    WHERE id = p_session_id RETURNING branch_id, old.ordinal, checkpoints, keep_checkpoints
    INTO v_branch, v_ordinal, v_checkpoint, v_keep;
    UPDATE turns SET status = 'completed', finished_at = now(), input = NULL, partial = NULL, said = NULL, lease_owner = NULL,
        lease_until = NULL, branch_id = v_branch, ordinal = v_ordinal, message_count = v_count
    WHERE id = p_turn_id AND lease_owner = p_owner AND status = 'running' RETURNING number, session_id INTO v_number, v_session;
    IF NOT FOUND OR v_session <> p_session_id THEN
        RAISE EXCEPTION 'turn % has gone to another worker, or has ended', p_turn_id USING ERRCODE = 'SP004';
    END IF;
    INSERT INTO messages (branch_id, ordinal, turn_id, user_id, role, content, tool_calls, tool_call_id, citations, token_count)
    SELECT v_branch, v_ordinal + m.place, p_turn_id, p_user_id, m.value ->> 'role', m.value ->> 'content',
           nullif(m.value -> 'tool_calls', 'null'), m.value ->> 'tool_call_id', nullif(m.value -> 'citations', 'null'),
           (m.value ->> 'token_count')::integer
    FROM jsonb_array_elements(p_messages) WITH ORDINALITY AS m (value, place);
    v_seq := charge_calls(p_user_id, p_session_id, p_turn_id, p_calls);
    IF p_summary IS NOT NULL THEN
        INSERT INTO branch_summaries (branch_id, ordinal, user_id, content, token_count)
        VALUES (v_branch, (p_summary ->> 'ordinal')::integer, p_user_id, p_summary ->> 'content',
                (p_summary ->> 'token_count')::integer)
        ON CONFLICT (branch_id, ordinal) DO NOTHING;
    END IF;
    INSERT INTO session_checkpoints (session_id, number, ordinal, branch_id, turn_id, user_id)
    VALUES (p_session_id, v_checkpoint, v_ordinal + v_count, v_branch, p_turn_id, p_user_id);
    IF v_keep IS NOT NULL THEN
        DELETE FROM session_checkpoints c
        WHERE c.session_id = p_session_id AND c.name IS NULL AND c.number > 0 AND c.number <= v_checkpoint - v_keep;
    END IF;
    v_seq := append_event(p_user_id, 'turn.completed', 'turns/' || p_turn_id, jsonb_build_object('session_id', p_session_id,
        'number', v_number, 'checkpoint', v_checkpoint, 'ordinal', v_ordinal + v_count));
END
$$;

-- What model calls cost together, each rounded as the ledger has it.
CREATE FUNCTION cost_of(p_calls jsonb) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_sum numeric := 0;
BEGIN
    FOR i IN 0 .. jsonb_array_length(p_calls) - 1 LOOP
        v_sum := v_sum + (p_calls -> i ->> 'cost')::us_dollars;
    END LOOP;
    RETURN v_sum;
END
$$;

-- Writes the ledger lines of a turn's model calls, and counts them. How many there were.
-- A statement a call: jsonb_to_recordset looks up each column's type every time.
CREATE FUNCTION charge_calls(p_user_id text, p_session_id uuid, p_turn_id uuid, p_calls jsonb) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    v_call jsonb;
    v_cost numeric;
BEGIN
    FOR i IN 0 .. jsonb_array_length(p_calls) - 1 LOOP
        v_call := p_calls -> i;
        INSERT INTO usage_ledger (user_id, session_id, turn_id, purpose, model, price_version, input_tokens, cached_tokens,
                                  output_tokens, cost)
        VALUES (p_user_id, p_session_id, p_turn_id, v_call ->> 'purpose', v_call ->> 'model', v_call ->> 'price_version',
                (v_call ->> 'input_tokens')::bigint, (v_call ->> 'cached_tokens')::bigint, (v_call ->> 'output_tokens')::bigint,
                (v_call ->> 'cost')::numeric)
        RETURNING cost INTO v_cost;
        IF v_cost > 0 THEN
            PERFORM count_cost(p_user_id, p_session_id, p_turn_id, v_cost);
        END IF;
    END LOOP;
    RETURN jsonb_array_length(p_calls);
END
$$;

-- Ends a turn without an answer: `p_status` failed or cancelled. What the model calls cost is charged all the same, and what the user
-- wrote stays. False where the turn is no longer `p_owner`'s.
CREATE FUNCTION end_turn(
    p_turn_id uuid, p_owner uuid, p_status text, p_code text, p_message text, p_partial text, p_calls jsonb
) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    t turns;
    v_cost  numeric := cost_of(p_calls);
    v_lines integer;
BEGIN
    SELECT * INTO t FROM turns WHERE id = p_turn_id;
    PERFORM FROM agent_sessions WHERE id = t.session_id FOR NO KEY UPDATE;
    UPDATE turns SET status = p_status, finished_at = now(), error_code = p_code, error_message = p_message, partial = p_partial,
        lease_owner = NULL, lease_until = NULL
    WHERE id = p_turn_id AND lease_owner = p_owner AND status = 'running';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    v_lines := charge_calls(t.user_id, t.session_id, t.id, p_calls);
    UPDATE agent_sessions SET cost = cost + v_cost, updated_at = now() WHERE id = t.session_id AND v_cost > 0;
    PERFORM append_event(t.user_id, 'turn.' || p_status, 'turns/' || t.id, jsonb_strip_nulls(jsonb_build_object(
        'session_id', t.session_id, 'number', t.number, 'code', p_code)));
    RETURN true;
END
$$;

-- Turns whose worker died: back in line, or failed after `p_attempts`. And turns that have waited so long that their message may be
-- lost. Both are to be sent (again); `sent` tells them apart from those that failed.
CREATE FUNCTION recover_turns(p_attempts integer, p_limit integer) RETURNS TABLE (
    id uuid, user_id text, session_id uuid, attempt integer, outcome text
)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    t record;
BEGIN
    FOR t IN
        SELECT * FROM (
            SELECT turns.* FROM turns JOIN agent_sessions s ON s.id = turns.session_id
            WHERE turns.finished_at IS NULL AND turns.status = 'running' AND turns.lease_until < now()
            ORDER BY turns.lease_until LIMIT p_limit FOR UPDATE OF s SKIP LOCKED) lost
        ORDER BY user_id  -- several users' feeds are locked, by all who do so in this order
    LOOP
        outcome := CASE WHEN t.cancel_requested THEN 'cancelled' WHEN t.attempt - t.waits < p_attempts THEN 'queued' ELSE 'failed' END;
        UPDATE turns SET status = outcome, lease_owner = NULL, lease_until = NULL,
            queued_at = CASE WHEN outcome = 'queued' THEN now() ELSE queued_at END,
            finished_at = CASE WHEN outcome <> 'queued' THEN now() END,
            error_code = CASE WHEN outcome = 'failed' THEN 'worker_lost' END,
            error_message = CASE WHEN outcome = 'failed' THEN 'Its worker stopped unexpectedly several times. Retry the turn.' END
        WHERE turns.id = t.id AND turns.status = 'running' AND turns.lease_until < now();
        CONTINUE WHEN NOT FOUND;
        PERFORM append_event(t.user_id, 'turn.' || CASE WHEN outcome = 'queued' THEN 'retrying' ELSE outcome END, 'turns/' || t.id,
            jsonb_build_object('session_id', t.session_id, 'number', t.number, 'code', 'worker_lost', 'attempt', t.attempt));
        id := t.id; user_id := t.user_id; session_id := t.session_id; attempt := t.attempt;
        RETURN NEXT;
    END LOOP;
    RETURN QUERY
        UPDATE turns SET queued_at = now()
        WHERE turns.id IN (SELECT q.id FROM turns q JOIN agent_sessions s ON s.id = q.session_id
                           WHERE q.finished_at IS NULL AND q.status = 'queued' AND q.queued_at < now() - interval '1 minute'
                             AND s.status = 'active'
                             AND NOT EXISTS (SELECT FROM turns e WHERE e.session_id = q.session_id AND e.number < q.number
                                             AND e.finished_at IS NULL AND e.status = 'waiting')
                           ORDER BY q.queued_at LIMIT p_limit FOR UPDATE OF q SKIP LOCKED)
        RETURNING turns.id, turns.user_id, turns.session_id, turns.attempt, 'queued';
END
$$;

-- Lifecycle ------------------------------------------------------------------------------------------------------------

-- Moves a session to `p_status`; the guard raises SP003 where that is not legal. One that ends takes its waiting turns with it and
-- asks a running one to stop. False: there is no such session.
CREATE FUNCTION move_session(p_session_id uuid, p_status text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    t turns;
BEGIN
    PERFORM FROM agent_sessions WHERE id = p_session_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_status NOT IN ('active', 'paused') THEN
        UPDATE turns SET cancel_requested = true WHERE session_id = p_session_id AND finished_at IS NULL AND status = 'running';
        FOR t IN UPDATE turns SET status = 'cancelled', finished_at = now(), error_code = 'session_ended',
                     error_message = 'Its session ended before it was worked on.'
                 WHERE session_id = p_session_id AND finished_at IS NULL AND status IN ('queued', 'waiting') RETURNING * LOOP
            PERFORM append_event(t.user_id, 'turn.cancelled', 'turns/' || t.id,
                jsonb_build_object('session_id', t.session_id, 'number', t.number, 'code', 'session_ended'));
        END LOOP;
    END IF;
    UPDATE agent_sessions SET status = p_status, status_reason = p_reason, updated_at = now(),
        expires_at = now() + make_interval(secs => idle_seconds)
    WHERE id = p_session_id AND status <> p_status;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'The session is % already.', p_status USING ERRCODE = 'SP003', DETAIL = legal_moves(p_status);
    END IF;
    RETURN true;
END
$$;

-- Ends sessions that nobody has used for as long as they allow.
CREATE FUNCTION expire_sessions(p_limit integer) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    v_id    uuid;
    v_count integer := 0;
BEGIN
    FOR v_id IN
        SELECT id FROM (
            SELECT id, user_id FROM agent_sessions s
            WHERE status IN ('initializing', 'active', 'paused') AND expires_at < now()
              AND NOT EXISTS (SELECT FROM turns t WHERE t.session_id = s.id AND t.finished_at IS NULL AND t.status <> 'waiting'
                              AND s.status = 'active')
            ORDER BY expires_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED) due
        ORDER BY user_id  -- several users' feeds are locked, by all who do so in this order
    LOOP
        PERFORM move_session(v_id, 'expired', 'idle');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END
$$;

-- Puts a session's head back to a place on a line: what came after stays on its own branch, and a checkpoint marks the move.
-- Raises SP003 while turns wait or run, or where the session has ended. The number of the new checkpoint; NULL: there is no such
-- session.
CREATE FUNCTION rewind_session(p_session_id uuid, p_branch_id uuid, p_ordinal integer, p_new_branch_id uuid, p_event text, p_data jsonb)
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    s agent_sessions;
BEGIN
    SELECT * INTO s FROM agent_sessions WHERE id = p_session_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF s.status NOT IN ('active', 'paused') THEN
        RAISE EXCEPTION 'A session that is % cannot go back. Fork it instead.', s.status
            USING ERRCODE = 'SP003', DETAIL = legal_moves(s.status);
    END IF;
    IF EXISTS (SELECT FROM turns WHERE session_id = p_session_id AND finished_at IS NULL) THEN
        RAISE EXCEPTION 'A turn is queued, running or waiting. Wait for it or cancel it.'
            USING ERRCODE = 'SP003', DETAIL = legal_moves(s.status);
    END IF;
    -- The conversation before the event counter, for the turn that may be put in line in the same transaction.
    PERFORM FROM conversations WHERE id = s.conversation_id FOR NO KEY UPDATE;
    INSERT INTO branches (id, user_id, session_id, parent_id, parent_ordinal)
    VALUES (p_new_branch_id, s.user_id, s.id, p_branch_id, p_ordinal);
    UPDATE agent_sessions SET branch_id = p_new_branch_id, ordinal = p_ordinal, checkpoints = checkpoints + 1, updated_at = now()
    WHERE id = s.id;
    INSERT INTO session_checkpoints (session_id, number, ordinal, branch_id, user_id)
    VALUES (s.id, s.checkpoints + 1, p_ordinal, p_new_branch_id, s.user_id);
    PERFORM append_event(s.user_id, p_event, 'sessions/' || s.id, p_data || jsonb_build_object('checkpoint', s.checkpoints + 1));
    RETURN s.checkpoints + 1;
END
$$;

-- A new session that goes on from a checkpoint of another, in the same conversation. It copies no message. No row: no such
-- checkpoint. A session that has ended can be forked; the fork is active.
CREATE FUNCTION fork_session(p_session_id uuid, p_number integer, p_new_id uuid, p_branch_id uuid) RETURNS SETOF agent_sessions
    LANGUAGE plpgsql AS $$
DECLARE
    s agent_sessions;
    c session_checkpoints;
BEGIN
    SELECT * INTO s FROM agent_sessions WHERE id = p_session_id FOR KEY SHARE;  -- or its conversation may be gone before we end
    SELECT * INTO c FROM session_checkpoints WHERE session_id = p_session_id AND number = p_number;
    IF s.id IS NULL OR c.session_id IS NULL THEN
        RETURN;
    END IF;
    s.parent_session_id := s.id;
    s.id := p_new_id;
    s.branch_id := p_branch_id;
    s.ordinal := c.ordinal;
    s.status := CASE WHEN s.status = 'initializing' THEN s.status ELSE 'active' END;
    s.status_reason := NULL;
    s.checkpoints := 0;
    s.turns := 0;
    s.cost := 0;
    s.created_at := now();
    s.updated_at := now();
    s.expires_at := now() + make_interval(secs => s.idle_seconds);
    INSERT INTO agent_sessions SELECT s.*;
    INSERT INTO branches (id, user_id, session_id, parent_id, parent_ordinal)
    VALUES (p_branch_id, s.user_id, p_new_id, c.branch_id, c.ordinal);
    INSERT INTO session_checkpoints (session_id, number, ordinal, branch_id, user_id) VALUES (p_new_id, 0, c.ordinal, p_branch_id, s.user_id);
    INSERT INTO session_status_changes (session_id, user_id, to_status, reason) VALUES (p_new_id, s.user_id, s.status, 'fork');
    UPDATE conversations SET last_activity_at = now() WHERE id = s.conversation_id;
    PERFORM append_event(s.user_id, 'session.created', 'sessions/' || p_new_id, jsonb_build_object('status', s.status,
        'conversation_id', s.conversation_id, 'template_id', s.template_id, 'template_version', s.template_version,
        'parent_session_id', p_session_id, 'checkpoint', p_number));
    RETURN NEXT s;
END
$$;

-- A conversation goes with its sessions, their branches, messages, turns, checkpoints and budgets. What they cost stays in the ledger.
-- Whoever is at work on one of the sessions is waited for, and all rows are gone before the event is told: so locks are taken in the
-- order that everybody takes them in. A session that came after the others were locked, and is being asked, would be waited for by
-- who holds its conversation: that is let go, and the session locked first. False: there is no such conversation.
CREATE FUNCTION delete_conversation(p_conversation_id uuid) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    c conversations;
BEGIN
    LOOP
        PERFORM FROM agent_sessions WHERE conversation_id = p_conversation_id ORDER BY id FOR UPDATE;
        BEGIN
            PERFORM FROM conversations WHERE id = p_conversation_id FOR UPDATE;  -- from here on no session can come
            PERFORM FROM agent_sessions WHERE conversation_id = p_conversation_id FOR UPDATE NOWAIT;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN  -- and the conversation's lock is gone with this block
        END;
    END LOOP;
    DELETE FROM budgets b USING agent_sessions s
    WHERE s.conversation_id = p_conversation_id AND b.user_id = s.user_id AND b.scope = s.id;
    DELETE FROM conversations WHERE id = p_conversation_id RETURNING * INTO c;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM append_event(c.user_id, 'conversation.deleted', 'conversations/' || c.id, '{}');
    RETURN true;
END
$$;
