-- compatible-from: 1
-- Integrations and their tools, as far as templates and sessions read them, and the epochs that say when a user's
-- capabilities or knowledge changed.

-- Two axes: `enabled` is the user's wish, `status` what was found out. `slug` names it in capabilities and tool names.
-- `auth` is all of it but the secret, which stands sealed in `secret`: a box that opens for this user and row alone.
-- `capabilities`: by tool name, for tools that are not known yet.
CREATE TABLE integrations (
    id             uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id        text NOT NULL,
    slug           text NOT NULL CHECK (slug ~ '^[a-z0-9][a-z0-9_-]{0,49}$'),
    name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    url            text NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    transport      text NOT NULL DEFAULT 'streamable_http' CHECK (transport IN ('streamable_http', 'sse')),
    auth           jsonb NOT NULL DEFAULT '{"type": "none"}' CHECK (auth ->> 'type' IN
                   ('none', 'bearer', 'header', 'oauth_client_credentials')),
    secret         bytea,
    secret_set_at  timestamptz,
    ca_certificate text,
    capabilities   jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(capabilities) = 'object'),
    enabled        boolean NOT NULL DEFAULT true,
    status         text NOT NULL DEFAULT 'unknown' CHECK (status IN
                   ('unknown', 'healthy', 'degraded', 'unreachable', 'auth_required', 'misconfigured')),
    reason         text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, slug),
    UNIQUE (id, user_id),
    CHECK ((secret IS NULL) = (auth ->> 'type' = 'none'))
);

-- `capabilities`: what the tool serves, as templates ask for it (calendar.read). `schema_hash` is that of the tool as its server
-- lists it now, `approved_hash` of the one that its owner trusts: the first seen, or what was reviewed. Where they differ the tool
-- is `held`, and `approved` has what was trusted before. `rejected_hash`: what a review turned down.
-- `policy`: `always`: called without asking; `ask`: a turn waits for its user's word; `never`: not offered to a model at all.
CREATE TABLE integration_tools (
    integration_id uuid NOT NULL,
    name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    user_id        text NOT NULL,
    title          text,
    description    text NOT NULL DEFAULT '',
    input_schema   jsonb NOT NULL DEFAULT '{"type": "object"}',
    output_schema  jsonb,
    annotations    jsonb NOT NULL DEFAULT '{}',
    schema_hash    bytea NOT NULL DEFAULT '',
    approved_hash  bytea NOT NULL DEFAULT '',
    rejected_hash  bytea,
    approved       jsonb,
    capabilities   text[] NOT NULL DEFAULT '{}',
    status         text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'held', 'removed')),
    policy         text NOT NULL DEFAULT 'ask' CHECK (policy IN ('always', 'ask', 'never')),
    first_seen_at  timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (integration_id, name),
    FOREIGN KEY (integration_id, user_id) REFERENCES integrations (id, user_id) ON DELETE CASCADE
);
CREATE INDEX integration_tools_by_user ON integration_tools (user_id);

CALL protect_user_table('integrations');
CALL protect_user_table('integration_tools');

-- Epochs: counters that rise in the very transaction that changes their subject, which is the one that writes its event.
-- What is cached under them cannot go stale.
ALTER TABLE event_counters
    ADD COLUMN knowledge_epoch  bigint NOT NULL DEFAULT 0,
    ADD COLUMN capability_epoch bigint NOT NULL DEFAULT 0;

CREATE OR REPLACE FUNCTION append_event(p_user_id text, p_type text, p_subject text, p_data jsonb) RETURNS bigint
    LANGUAGE sql AS $$
    WITH change AS (
        SELECT (p_type IN ('document.ready', 'document.deleting', 'document.deleted', 'collection.renamed',
                           'collection.deleted'))::integer AS knowledge,  -- renamed: templates name collections
               (p_type LIKE 'integration.%' OR p_type LIKE 'tool.%')::integer AS capability
    ), counter AS (
        INSERT INTO event_counters AS c (user_id, seq, knowledge_epoch, capability_epoch)
        SELECT p_user_id, 1, knowledge, capability FROM change
        ON CONFLICT (user_id) DO UPDATE SET
            seq = c.seq + 1,
            knowledge_epoch = c.knowledge_epoch + excluded.knowledge_epoch,
            capability_epoch = c.capability_epoch + excluded.capability_epoch
        RETURNING seq
    )
    INSERT INTO events (user_id, seq, type, subject, data)
    SELECT p_user_id, seq, p_type, p_subject, p_data FROM counter
    RETURNING seq
$$;
