-- name: insert_integration
-- No row: the slug is taken, or the user has as many as are allowed.
WITH made AS (
    INSERT INTO integrations (id, user_id, slug, name, url, transport, auth, secret, secret_set_at, ca_certificate, capabilities,
                              check_interval_seconds)
    SELECT %(id)s, %(user_id)s, %(slug)s, %(name)s, %(url)s, %(transport)s, %(auth)s, %(secret)s::bytea,
           CASE WHEN %(secret)s::bytea IS NOT NULL THEN now() END, %(ca_certificate)s, %(capabilities)s, %(check_interval_seconds)s
    WHERE (SELECT count(*) FROM integrations WHERE user_id = %(user_id)s) < %(most)s
    ON CONFLICT (user_id, slug) DO NOTHING
    RETURNING id, user_id, slug, name
)
SELECT id, append_event(user_id, 'integration.created', 'integrations/' || id, jsonb_build_object('slug', slug, 'name', name))
FROM made;

-- name: count_integrations
SELECT count(*) AS number FROM integrations;

-- name: list_integrations
-- Newest first; `before` is the last id of the page before.
SELECT * FROM integrations
WHERE (%(statuses)s::text[] IS NULL OR status = ANY (%(statuses)s))
  AND (%(enabled)s::boolean IS NULL OR enabled = %(enabled)s)
  AND (%(before)s::uuid IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s;

-- name: find_integration
SELECT * FROM integrations WHERE id = %(integration_id)s;

-- name: lock_integration
SELECT * FROM integrations WHERE id = %(integration_id)s FOR NO KEY UPDATE;

-- name: update_integration
-- Where the server may be another after it (`reach`), all that was found out is void, and a check is due now.
WITH changed AS (
    UPDATE integrations SET
        name = coalesce(%(name)s, name), url = coalesce(%(url)s, url), transport = coalesce(%(transport)s, transport),
        auth = coalesce(%(auth)s, auth),
        secret = CASE WHEN %(auth)s::jsonb IS NULL THEN secret ELSE %(secret)s::bytea END,
        secret_set_at = CASE WHEN %(auth)s::jsonb IS NULL THEN secret_set_at WHEN %(secret)s::bytea IS NOT NULL THEN now() END,
        ca_certificate = CASE WHEN %(ca_certificate)s::text IS NULL THEN ca_certificate ELSE nullif(%(ca_certificate)s, '') END,
        check_interval_seconds = coalesce(%(check_interval_seconds)s, check_interval_seconds),
        status = CASE WHEN %(reach)s THEN 'unknown' ELSE status END,
        status_changed_at = CASE WHEN %(reach)s AND status <> 'unknown' THEN now() ELSE status_changed_at END,
        reason = CASE WHEN NOT %(reach)s THEN reason END, detail = CASE WHEN NOT %(reach)s THEN detail END,
        recent = CASE WHEN %(reach)s THEN '{}' ELSE recent END, failures = CASE WHEN %(reach)s THEN 0 ELSE failures END,
        next_check_at = CASE WHEN NOT enabled THEN NULL WHEN %(reach)s OR %(check_interval_seconds)s IS NOT NULL THEN now()
                             ELSE next_check_at END,
        version = version + 1, generation = generation + %(reach)s::integer, updated_at = now()
    WHERE id = %(integration_id)s
    RETURNING id, user_id
)
SELECT append_event(user_id, 'integration.updated', 'integrations/' || id, %(data)s) FROM changed;

-- name: enable_integration
-- What was found out before is of another day: its first check decides anew.
WITH changed AS (
    UPDATE integrations SET enabled = true, status = 'unknown', reason = NULL, detail = NULL, recent = '{}', failures = 0,
        status_changed_at = CASE WHEN status <> 'unknown' THEN now() ELSE status_changed_at END,
        next_check_at = now(), version = version + 1, updated_at = now()
    WHERE id = %(integration_id)s AND NOT enabled
    RETURNING id, user_id
)
SELECT append_event(user_id, 'integration.enabled', 'integrations/' || id, '{}') FROM changed;

-- name: disable_integration
WITH changed AS (
    UPDATE integrations SET enabled = false, next_check_at = NULL, version = version + 1, updated_at = now()
    WHERE id = %(integration_id)s AND enabled
    RETURNING id, user_id
)
SELECT append_event(user_id, 'integration.disabled', 'integrations/' || id, '{}') FROM changed;

-- name: set_maintenance
-- A window that has begun is told of at once; one to come, by the check at its start.
WITH changed AS (
    UPDATE integrations SET maintenance_from = %(starts)s, maintenance_until = %(until)s,
        in_maintenance = in_maintenance OR %(starts)s <= now(),
        next_check_at = CASE WHEN enabled THEN least(next_check_at, greatest(%(starts)s, now())) END,
        version = version + 1, updated_at = now()
    WHERE id = %(integration_id)s
    RETURNING id, user_id, in_maintenance
)
SELECT append_event(user_id, CASE WHEN in_maintenance THEN 'integration.maintenance_started' ELSE 'integration.updated' END,
                    'integrations/' || id, %(data)s)
FROM changed;

-- name: end_maintenance
WITH old AS (
    SELECT id, in_maintenance FROM integrations WHERE id = %(integration_id)s AND maintenance_from IS NOT NULL FOR NO KEY UPDATE
), changed AS (
    UPDATE integrations i SET maintenance_from = NULL, maintenance_until = NULL, in_maintenance = false,
        next_check_at = CASE WHEN enabled THEN now() END, version = version + 1, updated_at = now()
    FROM old WHERE i.id = old.id
    RETURNING i.id, i.user_id, old.in_maintenance AS was
)
SELECT append_event(user_id, CASE WHEN was THEN 'integration.maintenance_ended' ELSE 'integration.updated' END,
                    'integrations/' || id, '{}')
FROM changed;

-- name: delete_integration
-- It and its tools are locked before the event is told; the cascade would take the tools only after that.
WITH mine AS (
    SELECT id FROM integrations WHERE id = %(integration_id)s FOR UPDATE
), held AS (
    SELECT t.name FROM integration_tools t JOIN mine ON mine.id = t.integration_id ORDER BY t.name FOR UPDATE OF t
), gone AS (
    DELETE FROM integrations WHERE id = (SELECT id FROM mine) AND (SELECT count(*) FROM held) >= 0 RETURNING id, user_id, slug
)
SELECT append_event(user_id, 'integration.deleted', 'integrations/' || id, jsonb_build_object('slug', slug)) FROM gone;

-- name: ask_for_check
-- Takes the right to have it checked now. `allowed` false: it was asked for a moment ago, or it is disabled. No row: there is none.
WITH taken AS (
    UPDATE integrations SET asked_at = now()
    WHERE enabled AND id = %(integration_id)s AND (asked_at IS NULL OR asked_at < now() - make_interval(secs => %(gap)s))
    RETURNING id
)
SELECT EXISTS (SELECT FROM taken) AS allowed, enabled FROM integrations WHERE id = %(integration_id)s;

-- name: list_checks
-- Newest first; `before` is the last id of the page before.
SELECT id, reason, detail, status, asked, total_ms, evidence, checked_at FROM integration_checks
WHERE integration_id = %(integration_id)s AND (%(before)s::uuid IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s;

-- name: newest_check
SELECT id, reason, detail, status, asked, total_ms, evidence, checked_at FROM integration_checks
WHERE integration_id = %(integration_id)s ORDER BY id DESC LIMIT 1;

-- name: list_tools
-- By name; `after` is the last one of the page before.
SELECT * FROM integration_tools
WHERE integration_id = %(integration_id)s AND (%(statuses)s::text[] IS NULL OR status = ANY (%(statuses)s))
  AND (%(after)s::text IS NULL OR name > %(after)s)
ORDER BY name LIMIT %(limit)s;

-- name: known_tools
SELECT * FROM integration_tools WHERE integration_id = ANY (%(integration_ids)s);

-- name: find_tool
SELECT * FROM integration_tools WHERE integration_id = %(integration_id)s AND name = %(name)s;

-- name: review_tool
-- `outcome` approved, rejected. No row: the tool is not held, or no longer as the reviewer saw it.
WITH reviewed AS (
    UPDATE integration_tools SET
        status = CASE WHEN %(approve)s THEN 'active' ELSE 'held' END,
        approved_hash = CASE WHEN %(approve)s THEN schema_hash ELSE approved_hash END,
        approved = CASE WHEN NOT %(approve)s THEN approved END,
        rejected_hash = CASE WHEN NOT %(approve)s THEN schema_hash END,
        updated_at = now()
    WHERE integration_id = %(integration_id)s AND name = %(name)s AND status = 'held' AND schema_hash = %(schema_hash)s
    RETURNING user_id, name, schema_hash
), risen AS (
    UPDATE integrations SET version = version + 1 WHERE id = %(integration_id)s AND EXISTS (SELECT FROM reviewed) RETURNING id
)
SELECT append_event(user_id, CASE WHEN %(approve)s THEN 'tool.approved' ELSE 'tool.rejected' END,
                    'integrations/' || risen.id || '/tools/' || name,
                    jsonb_build_object('name', name, 'schema_hash', encode(schema_hash, 'hex'), 'integration_id', risen.id))
FROM reviewed, risen;

-- name: change_tool
WITH changed AS (
    UPDATE integration_tools SET capabilities = coalesce(%(capabilities)s, capabilities), policy = coalesce(%(policy)s, policy),
        updated_at = now()
    WHERE integration_id = %(integration_id)s AND name = %(name)s
    RETURNING user_id, integration_id, name, capabilities, policy
)
SELECT append_event(user_id, 'tool.updated', 'integrations/' || integration_id || '/tools/' || name, jsonb_build_object(
    'name', name, 'capabilities', capabilities, 'policy', policy, 'integration_id', integration_id))
FROM changed;

-- name: callable_tool
-- A tool as a call needs it, with its server and the sealed secret. No row: it is not there, or no longer.
SELECT i.id, i.user_id, i.enabled, i.status AS integration_status, i.reason, i.url, i.transport, i.auth, i.secret, i.ca_certificate,
       t.input_schema, t.status, t.policy
FROM integrations i JOIN integration_tools t ON t.integration_id = i.id AND t.name = %(tool)s
WHERE i.slug = %(slug)s AND t.status <> 'removed';

-- name: check_soon
-- A call found what a check would find: it is due now.
UPDATE integrations SET next_check_at = least(next_check_at, now()) WHERE id = %(integration_id)s AND enabled RETURNING id;

-- name: take_allowance
SELECT take_allowance(%(user_id)s, %(kind)s) AS used;

-- name: claim_checks
SELECT * FROM claim_checks(%(limit)s, %(lease_seconds)s, %(horizon_seconds)s);

-- name: release_checks
-- Claimed and not looked at: due as before. Locked by id, as those that are written.
UPDATE integrations i SET next_check_at = now()
FROM (SELECT id FROM integrations WHERE id = ANY (%(integration_ids)s) AND enabled ORDER BY id FOR NO KEY UPDATE) held
WHERE i.id = held.id
RETURNING i.id;

-- name: record_checks
SELECT record_checks(%(results)s) AS id;

-- name: forget_checks
SELECT forget_checks(%(days)s, %(keep)s, %(part)s, %(limit)s) AS forgotten;
