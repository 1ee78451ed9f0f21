-- compatible-from: 1
-- What every feature stands on: the two roles, the tenant scope, the event log, idempotency keys.

CREATE EXTENSION IF NOT EXISTS vector;

-- spandrel_app serves one user at a time and sees only what belongs to spandrel.user_id;
-- spandrel_system runs the jobs that serve all users, by policies of its own.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['spandrel_app', 'spandrel_system'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- roles belong to the cluster: another database of it made them
        END;
        -- An administrator that is no superuser must be a member to hand tables over, and to alter them later.
        EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
            EXECUTE format('GRANT rds_iam TO %I', role_name);
        END IF;
    END LOOP;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO spandrel_app, spandrel_system;
GRANT SELECT ON schema_migrations, schema_version TO spandrel_app, spandrel_system;

-- Refuses to go on if code written for schema `p_version` cannot serve on this one. Travels with a connection's first flight.
CREATE FUNCTION require_schema(p_version integer) RETURNS void
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    v schema_version;
BEGIN
    SELECT * INTO v FROM schema_version;
    IF p_version NOT BETWEEN v.compatible_from AND v.version THEN
        RAISE EXCEPTION 'schema % serves code from % on, not %', v.version, v.compatible_from, p_version
            USING ERRCODE = 'SP001';
    END IF;
    -- Until it has once freed a block as large as this, glibc gives what a query frees back to the kernel, and the next faults it in
    -- again (mallopt(3), M_MMAP_THRESHOLD): a tenth of a text search.
    PERFORM octet_length(repeat(repeat(' ', 8192), 64));
END
$$;

-- The user that this transaction serves; NULL outside a scope, which matches no row.
CREATE FUNCTION current_user_id() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('spandrel.user_id', true), '');

-- Gives a user table its policies and grants. Called by migrations, once a table.
CREATE PROCEDURE protect_user_table(target regclass)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    -- The sub-select makes the scope a constant of the plan rather than a call a row.
    EXECUTE format('CREATE POLICY own_rows ON %s TO spandrel_app
                    USING (user_id = (SELECT current_user_id()))
                    WITH CHECK (user_id = (SELECT current_user_id()))', target);
    EXECUTE format('CREATE POLICY all_rows ON %s TO spandrel_system USING (true) WITH CHECK (true)', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO spandrel_app, spandrel_system', target);
    -- Whose rows a policy leaves is not known when a statement is planned, and the planner takes them for as many as a user has on
    -- average: among many small users it would read all that a large one has to find a page of it. It is to plan for the large.
    EXECUTE format('ALTER TABLE %s ALTER COLUMN user_id SET (n_distinct = 50)', target);
END
$$;

-- Events -------------------------------------------------------------------------------------------------------------

-- The next number of a user's feed. Its row lock is what makes commit order and seq order one.
CREATE TABLE event_counters (
    user_id text PRIMARY KEY,
    seq     bigint NOT NULL
);

-- CloudEvents 1.0: id, source and specversion follow from (user_id, seq) and are not stored.
CREATE TABLE events (
    user_id    text NOT NULL,
    seq        bigint NOT NULL,
    type       text NOT NULL,
    subject    text NOT NULL,
    data       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, seq)
);

CALL protect_user_table('event_counters');
CALL protect_user_table('events');

-- Appends one event in the caller's transaction and returns its seq. Call it last: it holds the user's feed until commit.
CREATE FUNCTION append_event(p_user_id text, p_type text, p_subject text, p_data jsonb) RETURNS bigint
    LANGUAGE sql AS $$
    WITH counter AS (
        INSERT INTO event_counters AS c (user_id, seq) VALUES (p_user_id, 1)
        ON CONFLICT (user_id) DO UPDATE SET seq = c.seq + 1
        RETURNING seq
    )
    INSERT INTO events (user_id, seq, type, subject, data)
    SELECT p_user_id, seq, p_type, p_subject, p_data FROM counter
    RETURNING seq
$$;

-- Idempotency ----------------------------------------------------------------------------------------------------------

-- One row a key and user, written in the transaction of the request that it names: the request's hash and what it made.
CREATE TABLE idempotency_keys (
    user_id      text NOT NULL,
    key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL,
    response     jsonb,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CALL protect_user_table('idempotency_keys');
