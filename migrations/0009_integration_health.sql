-- compatible-from: 1
-- Integrations as they are watched: what each check found, when the next is due; and what the minute's round of upkeep found.

-- `version` rises with every change of what a verdict rests on: a check that began before it is not written. `generation` rises with
-- the address and the credentials alone. `recent`: reasons of the last checks, the newest first, '' for a good one. `turning_points`:
-- when the status changed lately. `tls_notices`: by certificate (sha256), the fewest days that its owner was told of.
ALTER TABLE integrations
    ADD COLUMN detail                 text,
    ADD COLUMN status_changed_at      timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN recent                 text[] NOT NULL DEFAULT '{}',
    ADD COLUMN failures               integer NOT NULL DEFAULT 0,
    ADD COLUMN turning_points         timestamptz[] NOT NULL DEFAULT '{}',
    ADD COLUMN flapping               boolean NOT NULL DEFAULT false,
    ADD COLUMN check_interval_seconds integer NOT NULL DEFAULT 60 CHECK (check_interval_seconds BETWEEN 60 AND 900),
    ADD COLUMN checked_at             timestamptz,
    ADD COLUMN next_check_at          timestamptz DEFAULT now(),  -- also the lease of who checks; NULL: disabled
    ADD COLUMN asked_at               timestamptz,                -- when its owner last asked for a check
    ADD COLUMN maintenance_from       timestamptz,
    ADD COLUMN maintenance_until      timestamptz,
    ADD COLUMN in_maintenance         boolean NOT NULL DEFAULT false,
    ADD COLUMN tls_notices            jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN server                 jsonb,
    ADD COLUMN tools_hash             bytea NOT NULL DEFAULT '',
    ADD COLUMN version                bigint NOT NULL DEFAULT 0,
    ADD COLUMN generation             bigint NOT NULL DEFAULT 0,
    ADD CHECK ((maintenance_from IS NULL) = (maintenance_until IS NULL)),
    ADD CHECK (maintenance_from < maintenance_until);
CREATE INDEX integrations_due ON integrations (next_check_at) WHERE enabled;

-- The evidence of a check: phase timings, address, TLS chain, what the server said of itself.
CREATE TABLE integration_checks (
    id             uuid PRIMARY KEY DEFAULT uuidv7(),
    integration_id uuid NOT NULL,
    user_id        text NOT NULL,
    reason         text,  -- NULL: it negotiated and listed its tools
    detail         text NOT NULL,
    status         text NOT NULL,  -- of the integration, after it
    asked          boolean NOT NULL,  -- by its owner, not the schedule
    total_ms       double precision NOT NULL,
    evidence       jsonb NOT NULL,
    checked_at     timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (integration_id, user_id) REFERENCES integrations (id, user_id) ON DELETE CASCADE
);
CREATE INDEX integration_checks_history ON integration_checks (integration_id, id);
CREATE INDEX integration_checks_age ON integration_checks (checked_at);

CALL protect_user_table('integration_checks');

-- What a user may have us do in a minute that reaches servers which nobody saved.
CREATE TABLE allowances (
    user_id text NOT NULL,
    kind    text NOT NULL,
    minute  timestamptz NOT NULL,
    used    integer NOT NULL,
    PRIMARY KEY (user_id, kind)
);

CALL protect_user_table('allowances');

-- Takes one of `p_limit` a minute; how many were taken with it.
CREATE FUNCTION take_allowance(p_user_id text, p_kind text) RETURNS integer
    LANGUAGE sql AS $$
    INSERT INTO allowances AS a (user_id, kind, minute, used) VALUES (p_user_id, p_kind, date_trunc('minute', now()), 1)
    ON CONFLICT (user_id, kind) DO UPDATE SET
        used = CASE WHEN a.minute = excluded.minute THEN a.used + 1 ELSE 1 END, minute = excluded.minute
    RETURNING used
$$;

-- Checks ---------------------------------------------------------------------------------------------------------------

-- Integrations whose check is due within `p_horizon_seconds`, the longest overdue first, for this caller alone: until its lease
-- runs out, nobody else is given them. Who is killed before it records its results leaves them due again.
CREATE FUNCTION claim_checks(p_limit integer, p_lease_seconds integer, p_horizon_seconds double precision) RETURNS SETOF integrations
    LANGUAGE sql AS $$
    UPDATE integrations i SET next_check_at = now() + make_interval(secs => p_lease_seconds)
    FROM (SELECT id FROM integrations
          WHERE enabled AND next_check_at <= now() + make_interval(secs => p_horizon_seconds)
          ORDER BY next_check_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED) due
    WHERE i.id = due.id
    RETURNING i.*
$$;

-- Writes what a batch of checks found: evidence, status, tools, events; all or nothing, in one flight. A result whose integration
-- is no longer of the `version` that it was judged by is left out. The ids of those that were written. `in_time`: the next check
-- is not put off beyond what it was due at, for this one was not the schedule's.
-- Locks: integrations by id, then the event counters by user.
CREATE FUNCTION record_checks(p_results jsonb) RETURNS SETOF uuid
    LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
    e     record;
BEGIN
    PERFORM id FROM integrations
    WHERE id IN (SELECT (r ->> 'id')::uuid FROM jsonb_array_elements(p_results) r) ORDER BY id FOR NO KEY UPDATE;
    v_ids := ARRAY(
        SELECT i.id FROM integrations i
        JOIN jsonb_to_recordset(p_results) AS r (id uuid, version bigint) ON r.id = i.id AND r.version = i.version
        WHERE i.enabled);
    -- All that are needed, at once: what follows a change of an integration, and then of its tools, takes those of its own users.
    PERFORM FROM event_counters WHERE user_id IN (
        SELECT i.user_id FROM integrations i
        JOIN jsonb_to_recordset(p_results) AS r (id uuid, events jsonb) ON r.id = i.id
        WHERE i.id = ANY (v_ids) AND r.events <> '[]') ORDER BY user_id FOR NO KEY UPDATE;

    UPDATE integrations i SET
        status = r.status, reason = r.reason, detail = r.detail, recent = r.recent, failures = r.failures,
        status_changed_at = CASE WHEN r.status <> i.status THEN now() ELSE i.status_changed_at END,
        turning_points = r.turning_points, flapping = r.flapping, in_maintenance = r.in_maintenance, tls_notices = r.tls_notices,
        server = coalesce(r.server, i.server), tools_hash = coalesce(decode(r.tools_hash, 'hex'), i.tools_hash),
        checked_at = now(), version = i.version + 1,
        next_check_at = least(now() + make_interval(secs => r.next_check_seconds), CASE WHEN r.in_time THEN i.next_check_at END)
    FROM jsonb_to_recordset(p_results) AS r (
        id uuid, status text, reason text, detail text, recent text[], failures integer, turning_points timestamptz[],
        flapping boolean, in_maintenance boolean, tls_notices jsonb, server jsonb, tools_hash text, next_check_seconds double precision,
        in_time boolean)
    WHERE i.id = r.id AND r.id = ANY (v_ids);

    INSERT INTO integration_checks (integration_id, user_id, reason, detail, status, asked, total_ms, evidence)
    SELECT r.id, i.user_id, r.found, r.found_detail, r.status, r.asked, r.total_ms, r.evidence
    FROM jsonb_to_recordset(p_results) AS r (
        id uuid, status text, found text, found_detail text, asked boolean, total_ms double precision, evidence jsonb)
    JOIN integrations i ON i.id = r.id
    WHERE r.id = ANY (v_ids);

    INSERT INTO integration_tools AS t (integration_id, name, user_id, title, description, input_schema, output_schema, annotations,
        schema_hash, approved_hash, rejected_hash, approved, capabilities, status)
    SELECT r.id, n.name, i.user_id, n.title, n.description, n.input_schema, n.output_schema, n.annotations,
           decode(n.schema_hash, 'hex'), decode(n.approved_hash, 'hex'), decode(n.rejected_hash, 'hex'), n.approved, n.capabilities,
           n.status
    FROM jsonb_to_recordset(p_results) AS r (id uuid, tools jsonb)
    JOIN integrations i ON i.id = r.id
    CROSS JOIN jsonb_to_recordset(r.tools) AS n (
        name text, title text, description text, input_schema jsonb, output_schema jsonb, annotations jsonb, schema_hash text,
        approved_hash text, rejected_hash text, approved jsonb, capabilities text[], status text)
    WHERE r.id = ANY (v_ids)
    ON CONFLICT (integration_id, name) DO UPDATE SET
        title = excluded.title, description = excluded.description, input_schema = excluded.input_schema,
        output_schema = excluded.output_schema, annotations = excluded.annotations, schema_hash = excluded.schema_hash,
        approved_hash = excluded.approved_hash, rejected_hash = excluded.rejected_hash, approved = excluded.approved,
        status = excluded.status, updated_at = now();

    FOR e IN
        SELECT i.user_id, v.value ->> 'type' AS type, v.value ->> 'subject' AS subject, v.value -> 'data' AS data
        FROM jsonb_to_recordset(p_results) AS r (id uuid, events jsonb)
        JOIN integrations i ON i.id = r.id
        CROSS JOIN jsonb_array_elements(r.events) WITH ORDINALITY AS v (value, place)
        WHERE r.id = ANY (v_ids)
        ORDER BY i.user_id, r.id, v.place
    LOOP
        PERFORM append_event(e.user_id, e.type, e.subject, e.data);
    END LOOP;
    RETURN QUERY SELECT unnest(v_ids);
END
$$;

-- Forgets evidence older than `p_days`, and of a tenth of the integrations (`p_part`: 0 to 9) all but the newest `p_keep`. How many
-- rows went; a run does a part. What another holds, a run beside this one or the deletion of the integration, is left to it.
CREATE FUNCTION forget_checks(p_days integer, p_keep integer, p_part integer, p_limit integer) RETURNS integer
    LANGUAGE sql AS $$
    WITH old AS (
        SELECT id FROM integration_checks WHERE checked_at < now() - make_interval(days => p_days) LIMIT p_limit
    ), many AS (
        SELECT c.id FROM integrations i
        CROSS JOIN LATERAL (SELECT k.id FROM integration_checks k WHERE k.integration_id = i.id
                            ORDER BY k.id DESC OFFSET p_keep LIMIT 100) c
        WHERE mod(abs(hashtext(i.id::text)::bigint), 10) = p_part
        LIMIT p_limit
    ), free AS MATERIALIZED (
        SELECT id FROM integration_checks WHERE id IN (SELECT id FROM old UNION SELECT id FROM many) FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM integration_checks WHERE id IN (SELECT id FROM free) RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;

-- Components -----------------------------------------------------------------------------------------------------------

-- What a run of one component of the minute's round found. Operation's own, of no user. `code`: of the fault that ended it.
CREATE TABLE component_checks (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    name        text NOT NULL,
    ok          boolean NOT NULL,
    detail      jsonb NOT NULL,
    code        text,
    duration_ms double precision NOT NULL,
    checked_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX component_checks_latest ON component_checks (name, checked_at DESC);
GRANT SELECT ON component_checks TO spandrel_app, spandrel_system;
GRANT INSERT, DELETE ON component_checks TO spandrel_system;

-- Where an incremental pass goes on: the last place that it has looked at; empty: at the beginning.
CREATE TABLE reconciliation_cursors (
    name       text PRIMARY KEY,
    place      text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE ON reconciliation_cursors TO spandrel_system;
