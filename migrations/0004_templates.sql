-- compatible-from: 1
-- Templates: dotprompt sources in immutable versions, with labels that move.

CREATE TABLE templates (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id     text NOT NULL,
    kind        text NOT NULL DEFAULT 'prompt' CHECK (kind IN ('prompt', 'partial')),
    name        text NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$'),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 2000),
    visibility  text NOT NULL DEFAULT 'private' CHECK (visibility IN ('private', 'shared')),
    versions    integer NOT NULL DEFAULT 0,  -- the number of the newest
    deleted_at  timestamptz,                 -- its versions stay for the sessions that were made from them
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, user_id)
);
CREATE UNIQUE INDEX templates_name ON templates (user_id, kind, name) WHERE deleted_at IS NULL;
CREATE INDEX templates_by_user ON templates (user_id, id);
CREATE INDEX templates_shared ON templates (id) WHERE visibility = 'shared' AND deleted_at IS NULL;
CREATE INDEX templates_shared_name ON templates (kind, name) WHERE visibility = 'shared' AND deleted_at IS NULL;

-- `structure` is what the source declares (variables, capabilities, tools, ...), `program` its body compiled, partials included
-- as they were when it was saved: a version never changes, whatever becomes of its partials.
CREATE TABLE template_versions (
    template_id uuid NOT NULL,
    version     integer NOT NULL CHECK (version > 0),
    user_id     text NOT NULL,
    source      text NOT NULL CHECK (length(source) <= 200000),
    hash        bytea NOT NULL,  -- SHA-256 of the source and of its partials' hashes
    structure   jsonb NOT NULL,
    program     jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (template_id, version),
    UNIQUE (template_id, version, user_id),
    -- With its owner: nobody adds a version to what is only shared with them.
    FOREIGN KEY (template_id, user_id) REFERENCES templates (id, user_id) ON DELETE CASCADE
);

-- `latest` follows every save; `production` is what is used where no label is named, and moves only when told. A label begins
-- with a letter: where one can stand, so can a version's number.
CREATE TABLE template_labels (
    template_id uuid NOT NULL,
    label       text NOT NULL CHECK (label ~ '^[a-z][a-z0-9_-]{0,49}$'),
    version     integer NOT NULL,
    user_id     text NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (template_id, label),
    FOREIGN KEY (template_id, version, user_id) REFERENCES template_versions (template_id, version, user_id) ON DELETE CASCADE
);

CALL protect_user_table('templates');
CALL protect_user_table('template_versions');
CALL protect_user_table('template_labels');

-- Who lists their own says whose, for the policy lets shared ones through. The planner takes the policy's condition and theirs for two,
-- and a user's templates for so few that it would read and sort all of them for a page: of each condition it is to expect more.
ALTER TABLE templates ALTER COLUMN user_id SET (n_distinct = 7);

-- A shared template is readable for everybody of this deployment, and writable for its owner alone.
CREATE POLICY shared_rows ON templates FOR SELECT TO spandrel_app USING (visibility = 'shared' AND deleted_at IS NULL);
CREATE POLICY shared_rows ON template_versions FOR SELECT TO spandrel_app USING (
    EXISTS (SELECT FROM templates t WHERE t.id = template_id AND t.visibility = 'shared' AND t.deleted_at IS NULL));
CREATE POLICY shared_rows ON template_labels FOR SELECT TO spandrel_app USING (
    EXISTS (SELECT FROM templates t WHERE t.id = template_id AND t.visibility = 'shared' AND t.deleted_at IS NULL));

-- A template as it is answered, to whom it may be: the view sees with the eyes of whoever asks.
CREATE VIEW template_details WITH (security_invoker = true) AS
SELECT t.id, t.kind, t.name, t.description, t.visibility, t.user_id = (SELECT current_user_id()) AS own, t.versions,
       coalesce((SELECT jsonb_object_agg(l.label, l.version) FROM template_labels l WHERE l.template_id = t.id), '{}') AS labels,
       t.created_at, t.updated_at
FROM templates t WHERE t.deleted_at IS NULL;
GRANT SELECT ON template_details TO spandrel_app, spandrel_system;

-- What was saved stays what it was.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'SP002';
END
$$;
CREATE TRIGGER template_versions_immutable BEFORE UPDATE ON template_versions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
