-- name: begin_session
-- The function is documented with its migration, as all that are called here.
SELECT * FROM begin_session(%(user_id)s, %(key)s, %(request_hash)s, %(session)s::jsonb, %(response)s::jsonb);

-- name: find_session
SELECT id, conversation_id, parent_session_id, template_id, template_version, status, status_reason, model,
       bindings -> 'variables' AS variables, bindings -> 'missing' AS missing, bindings ->> 'locale' AS locale,
       capabilities -> 'matches' AS capabilities, confidence, prompt_hash, ordinal, checkpoints, turns, cost, idle_seconds,
       keep_checkpoints, expires_at, created_at, updated_at
FROM agent_sessions WHERE id = %(session_id)s;

-- name: list_sessions
-- Newest first; `before` is the last id of the page before.
SELECT id, conversation_id, parent_session_id, template_id, template_version, status, status_reason, model,
       bindings -> 'variables' AS variables, bindings -> 'missing' AS missing, bindings ->> 'locale' AS locale,
       capabilities -> 'matches' AS capabilities, confidence, prompt_hash, ordinal, checkpoints, turns, cost, idle_seconds,
       keep_checkpoints, expires_at, created_at, updated_at
FROM agent_sessions
WHERE (%(conversation_id)s::uuid IS NULL OR conversation_id = %(conversation_id)s)
  AND (%(statuses)s::text[] IS NULL OR status = ANY (%(statuses)s))
  AND (%(before)s::uuid IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s;

-- name: move_session
SELECT move_session(%(session_id)s, %(status)s, %(reason)s) AS found;

-- name: set_session
-- Settings that may change while it lives.
UPDATE agent_sessions SET updated_at = now(), idle_seconds = coalesce(%(idle_seconds)s, idle_seconds),
    expires_at = now() + make_interval(secs => coalesce(%(idle_seconds)s, idle_seconds)),
    keep_checkpoints = CASE WHEN %(keep_all)s THEN NULL ELSE coalesce(%(keep_checkpoints)s, keep_checkpoints) END
WHERE id = %(session_id)s RETURNING id;

-- name: set_prompt
-- A session that waited for variables has more of them: bound, composed anew, and with all of them active. No row: it is not as it was
-- at `seen`.
WITH given AS (
    SELECT * FROM jsonb_populate_record(NULL::agent_sessions, %(session)s::jsonb)
)
UPDATE agent_sessions s SET bindings = g.bindings, capabilities = g.capabilities, confidence = g.confidence, prompt = g.prompt,
    prompt_hash = g.prompt_hash, knowledge = g.knowledge, updated_at = now(),
    status = g.status, status_reason = g.status_reason, expires_at = now() + make_interval(secs => s.idle_seconds)
FROM given g WHERE s.id = %(session_id)s AND s.status = 'initializing' AND s.updated_at = %(seen)s RETURNING s.id;

-- name: list_status_changes
SELECT from_status, to_status, reason, changed_at FROM session_status_changes
WHERE session_id = %(session_id)s ORDER BY changed_at;

-- name: enqueue_turn
SELECT * FROM enqueue_turn(%(session_id)s, %(turn_id)s, %(kind)s, %(client_message_id)s, %(input)s);

-- name: find_turn
-- The text of a completed turn is that of its last message.
SELECT t.id, t.session_id, t.number, t.kind, t.status, t.client_message_id, t.input,
       CASE WHEN t.status = 'completed' THEN (
           SELECT m.content FROM messages m WHERE m.branch_id = t.branch_id AND m.ordinal = t.ordinal + t.message_count)
       ELSE t.partial END AS text,
       t.branch_id, t.ordinal, t.attempt, t.cancel_requested, t.error_code, t.error_message, t.queued_at, t.started_at, t.finished_at
FROM turns t WHERE t.id = %(turn_id)s;

-- name: list_turns
-- Newest first; `before` is the last number of the page before. Texts are read one by one, or as messages.
SELECT t.id, t.session_id, t.number, t.kind, t.status, t.client_message_id, t.input, t.partial AS text,
       t.branch_id, t.ordinal, t.attempt, t.cancel_requested, t.error_code, t.error_message, t.queued_at, t.started_at, t.finished_at
FROM turns t
WHERE t.session_id = %(session_id)s AND (%(before)s::int IS NULL OR t.number < %(before)s)
ORDER BY t.number DESC LIMIT %(limit)s;

-- name: cancel_turn
-- A queued or waiting turn is cancelled at once, a running one when its worker looks next. No row: it has ended already.
WITH cancelled AS (
    UPDATE turns SET cancel_requested = true,
        status = CASE WHEN status = 'running' THEN status ELSE 'cancelled' END,
        finished_at = CASE WHEN status <> 'running' THEN now() END
    WHERE id = %(turn_id)s AND status IN ('queued', 'running', 'waiting')
    RETURNING *
)
SELECT CASE WHEN status = 'cancelled' THEN append_event(user_id, 'turn.cancelled', 'turns/' || id,
           jsonb_build_object('session_id', session_id, 'number', number)) END
FROM cancelled;

-- name: retry_turn
-- A turn that failed or was cancelled, in line again, with what the user wrote. No row: there is nothing to retry.
-- The session first: one that ends meanwhile would leave the turn in line for ever.
WITH held AS (
    SELECT s.id FROM agent_sessions s
    WHERE s.id = (SELECT session_id FROM turns WHERE id = %(turn_id)s) AND s.status = 'active' FOR NO KEY UPDATE
), again AS (
    UPDATE turns t SET status = 'queued', queued_at = now(), attempt = 0, cancel_requested = false, error_code = NULL,
        error_message = NULL, finished_at = NULL, partial = NULL
    FROM held
    WHERE t.id = %(turn_id)s AND held.id = t.session_id AND t.status IN ('failed', 'cancelled')
    RETURNING t.*
)
SELECT append_event(user_id, 'turn.queued', 'turns/' || id, jsonb_build_object('session_id', session_id, 'number', number))
FROM again;

-- name: turn_input
-- What a completed turn was asked.
SELECT t.session_id, t.branch_id, t.ordinal, t.kind, (
    SELECT m.content FROM messages m
    WHERE m.branch_id = t.branch_id AND m.ordinal > t.ordinal AND m.ordinal <= t.ordinal + t.message_count
      AND m.role = 'user' ORDER BY m.ordinal LIMIT 1) AS input
FROM turns t WHERE t.id = %(turn_id)s AND t.status = 'completed';

-- name: waiting_turns
SELECT id, user_id, session_id, attempt FROM turns
WHERE session_id = %(session_id)s AND finished_at IS NULL AND status = 'queued' ORDER BY number;

-- name: list_messages
-- The line of a session, or what it was at a checkpoint, in order. Ordinals have no gaps, so a page's end is known. The place is worked
-- out first: under row-level security, what is compared to a coalesce() is found by no index.
WITH place AS MATERIALIZED (
    SELECT coalesce(c.branch_id, s.branch_id) AS branch_id,
           least(coalesce(c.ordinal, s.ordinal), %(after)s::bigint + %(limit)s)::integer AS upto
    FROM agent_sessions s
    LEFT JOIN session_checkpoints c ON c.session_id = s.id AND c.number = %(checkpoint)s
    WHERE s.id = %(session_id)s
)
SELECT m.ordinal, m.turn_id, m.role, m.content, m.tool_calls, m.tool_call_id, m.citations, m.token_count, m.created_at
FROM place CROSS JOIN LATERAL line_messages(place.branch_id, %(after)s, place.upto) m
ORDER BY m.ordinal;

-- name: list_checkpoints
-- Newest first; `before` is the last number of the page before.
SELECT number, branch_id, ordinal, turn_id, name, created_at FROM session_checkpoints
WHERE session_id = %(session_id)s AND (%(before)s::int IS NULL OR number < %(before)s)
ORDER BY number DESC LIMIT %(limit)s;

-- name: find_checkpoint
SELECT number, branch_id, ordinal, turn_id, name, created_at FROM session_checkpoints
WHERE session_id = %(session_id)s AND number = %(number)s;

-- name: name_checkpoint
WITH named AS (
    UPDATE session_checkpoints SET name = %(name)s WHERE session_id = %(session_id)s AND number = %(number)s RETURNING *
), told AS (
    SELECT append_event(user_id, 'checkpoint.named', 'sessions/' || session_id, jsonb_build_object('checkpoint', number, 'name', name))
    FROM named
)
SELECT number, branch_id, ordinal, turn_id, name, created_at FROM named, told;

-- name: rewind_session
SELECT rewind_session(%(session_id)s, %(branch_id)s, %(ordinal)s, %(new_branch_id)s, %(event)s, %(data)s::jsonb) AS checkpoint;

-- name: fork_session
SELECT id FROM fork_session(%(session_id)s, %(number)s, %(new_id)s, %(branch_id)s);

-- name: list_conversations
-- Newest activity first; `before` and `before_id` are the last of the page before. `search`: a part of the title or of a message.
SELECT c.id, c.title, c.archived_at, c.last_activity_at, c.created_at, c.updated_at,
       (SELECT count(*) FROM agent_sessions s WHERE s.conversation_id = c.id) AS session_count
FROM conversations c
WHERE (c.archived_at IS NOT NULL) = %(archived)s
  AND (%(before)s::timestamptz IS NULL OR (c.last_activity_at, c.id) < (%(before)s, %(before_id)s::uuid))
  AND (%(search)s::text IS NULL OR c.title ILIKE %(search)s OR EXISTS (
      SELECT FROM agent_sessions s JOIN branches b ON b.session_id = s.id JOIN messages m ON m.branch_id = b.id
      WHERE s.conversation_id = c.id AND m.role <> 'tool' AND m.content ILIKE %(search)s))
ORDER BY c.last_activity_at DESC, c.id DESC LIMIT %(limit)s;

-- name: find_conversation
SELECT c.id, c.title, c.archived_at, c.last_activity_at, c.created_at, c.updated_at,
       (SELECT count(*) FROM agent_sessions s WHERE s.conversation_id = c.id) AS session_count
FROM conversations c WHERE c.id = %(conversation_id)s;

-- name: change_conversation
WITH changed AS (
    UPDATE conversations SET updated_at = now(), title = coalesce(%(title)s, title),
        archived_at = CASE %(archived)s::boolean WHEN true THEN coalesce(archived_at, now()) WHEN false THEN NULL ELSE archived_at END
    WHERE id = %(conversation_id)s RETURNING *
)
SELECT append_event(user_id, 'conversation.changed', 'conversations/' || id,
                    jsonb_build_object('title', title, 'archived', archived_at IS NOT NULL)) FROM changed;

-- name: delete_conversation
SELECT delete_conversation(%(conversation_id)s) AS found;

-- name: recover_turns
SELECT * FROM recover_turns(%(attempts)s, %(limit)s);

-- name: expire_sessions
SELECT expire_sessions(%(limit)s) AS expired;

-- name: list_approvals
-- Newest first; `before` is the last id of the page before.
SELECT id, session_id, turn_id, integration, tool, arguments, status, created_at, expires_at, decided_at FROM tool_approvals
WHERE (%(session_id)s::uuid IS NULL OR session_id = %(session_id)s)
  AND (%(statuses)s::text[] IS NULL OR status = ANY (%(statuses)s))
  AND (%(before)s::uuid IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s;

-- name: find_approval
SELECT id, session_id, turn_id, integration, tool, arguments, status, created_at, expires_at, decided_at FROM tool_approvals
WHERE id = %(approval_id)s;

-- name: decide_approval
SELECT decided, resumed FROM decide_approval(%(approval_id)s, %(status)s, %(remember)s);

-- name: expire_approvals
SELECT user_id, session_id FROM expire_approvals(%(limit)s);

-- name: session_tools
-- What a session's template asks for, and the tools that serve it now.
SELECT s.capabilities -> 'wanted' AS wanted, matching_tools(ARRAY(SELECT jsonb_array_elements_text(s.capabilities -> 'wanted'))) AS tools
FROM agent_sessions s WHERE s.id = %(session_id)s;
