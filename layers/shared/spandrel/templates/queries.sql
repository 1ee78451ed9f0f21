-- name: create_template
-- With its first version, which both labels name.
WITH made AS (
    INSERT INTO templates (user_id, kind, name, description, visibility, versions)
    VALUES (%(user_id)s, %(kind)s, %(name)s, %(description)s, %(visibility)s, 1)
    RETURNING *
), saved AS (
    INSERT INTO template_versions (template_id, version, user_id, source, hash, structure, program)
    SELECT id, 1, user_id, %(source)s, %(hash)s, %(structure)s, %(program)s FROM made
    RETURNING template_id
), labelled AS (
    INSERT INTO template_labels (template_id, label, version, user_id)
    SELECT id, label, 1, user_id FROM made, unnest(ARRAY['latest', 'production']) AS label
), told AS (
    SELECT append_event(user_id, 'template.created', 'templates/' || id,
                        jsonb_build_object('name', name, 'kind', kind, 'visibility', visibility)) FROM made, saved
)
SELECT id FROM made, told;

-- name: list_templates
-- Own and shared ones, newest first; `before` is the last id of the page before. Each by an index of its own: one look for both
-- would pass over everybody's. A page reads what is on it, and with a prefix or another filter what that passes over.
WITH page AS (
    (SELECT id FROM templates WHERE user_id = (SELECT current_user_id()) AND deleted_at IS NULL
      AND (%(kind)s::text IS NULL OR kind = %(kind)s)
      AND (%(prefix)s::text IS NULL OR starts_with(name, %(prefix)s))
      AND (%(visibility)s::text IS NULL OR visibility = %(visibility)s)
      AND (%(before)s::uuid IS NULL OR id < %(before)s)
    ORDER BY id DESC LIMIT %(limit)s)
    UNION
    (SELECT id FROM templates WHERE visibility = 'shared' AND deleted_at IS NULL
      AND (%(kind)s::text IS NULL OR kind = %(kind)s)
      AND (%(prefix)s::text IS NULL OR starts_with(name, %(prefix)s))
      AND (%(visibility)s::text IS NULL OR visibility = %(visibility)s)
      AND (%(before)s::uuid IS NULL OR id < %(before)s)
    ORDER BY id DESC LIMIT %(limit)s)
)
SELECT id, kind, name, description, visibility, own, versions, labels, created_at, updated_at
FROM page JOIN template_details USING (id) ORDER BY id DESC LIMIT %(limit)s;

-- name: find_template
SELECT id, kind, name, description, visibility, own, versions, labels, created_at, updated_at
FROM template_details WHERE id = %(template_id)s;

-- name: lock_template
-- Only its owner gets it: a row that is shared with somebody cannot be locked by them.
SELECT kind, name, versions FROM templates WHERE id = %(template_id)s AND deleted_at IS NULL FOR UPDATE;

-- name: newest_hash
-- Of a locked template. Not joined to the lock: who has waited for that finds the row as it is now, but not what goes with it.
SELECT hash FROM template_versions WHERE template_id = %(template_id)s ORDER BY version DESC LIMIT 1;

-- name: find_partial
-- One's own before those that others share, and of these the oldest: nobody's newcomer takes a name over.
SELECT t.name, t.id AS template_id, v.version, v.hash, v.source
FROM templates t
JOIN template_labels l ON l.template_id = t.id AND l.label = 'production'
JOIN template_versions v ON v.template_id = t.id AND v.version = l.version
WHERE t.kind = 'partial' AND t.name = %(name)s AND t.deleted_at IS NULL
ORDER BY t.user_id = current_user_id() DESC, t.id LIMIT 1;

-- name: save_version
WITH numbered AS (
    UPDATE templates SET versions = versions + 1, updated_at = now() WHERE id = %(template_id)s
    RETURNING id, user_id, name, versions
), saved AS (
    INSERT INTO template_versions (template_id, version, user_id, source, hash, structure, program)
    SELECT id, versions, user_id, %(source)s, %(hash)s, %(structure)s, %(program)s FROM numbered
    RETURNING version
), labelled AS (
    UPDATE template_labels l SET version = n.versions, updated_at = now()
    FROM numbered n WHERE l.template_id = n.id AND l.label = 'latest'
), told AS (
    SELECT append_event(user_id, 'template.version_saved', 'templates/' || id,
                        jsonb_build_object('name', name, 'version', versions)) FROM numbered, saved
)
SELECT versions FROM numbered, told;

-- name: find_version
-- By its number, or by a label.
SELECT v.template_id, v.version, v.source, encode(v.hash, 'hex') AS hash, v.structure, v.created_at,
       ARRAY(SELECT l.label FROM template_labels l
             WHERE l.template_id = v.template_id AND l.version = v.version ORDER BY l.label) AS labels
FROM template_details t JOIN template_versions v ON v.template_id = t.id
WHERE t.id = %(template_id)s AND v.version = CASE
    WHEN %(version)s::integer IS NOT NULL THEN %(version)s::integer  -- coalesce() finds no index under row-level security
    ELSE (SELECT l.version FROM template_labels l WHERE l.template_id = %(template_id)s AND l.label = %(label)s) END;

-- name: list_versions
-- Newest first; `before` is the last number of the page before.
SELECT v.version, encode(v.hash, 'hex') AS hash, v.created_at,
       ARRAY(SELECT l.label FROM template_labels l
             WHERE l.template_id = v.template_id AND l.version = v.version ORDER BY l.label) AS labels
FROM template_versions v
WHERE v.template_id = %(template_id)s AND (%(before)s::integer IS NULL OR v.version < %(before)s)
ORDER BY v.version DESC LIMIT %(limit)s;

-- name: update_template
WITH changed AS (
    UPDATE templates
    SET description = coalesce(%(description)s, description), visibility = coalesce(%(visibility)s, visibility),
        updated_at = now()
    WHERE id = %(template_id)s AND deleted_at IS NULL
    RETURNING id, user_id, name, visibility
)
SELECT append_event(user_id, 'template.updated', 'templates/' || id,
                    jsonb_build_object('name', name, 'visibility', visibility)) FROM changed;

-- name: set_label
-- A label that is there already says nothing new, and no event either. The template is locked before.
WITH moved AS (
    INSERT INTO template_labels AS l (template_id, label, version, user_id)
    SELECT id, %(label)s, %(version)s, user_id FROM templates WHERE id = %(template_id)s
    ON CONFLICT (template_id, label) DO UPDATE SET version = excluded.version, updated_at = now()
    WHERE l.version <> excluded.version
    RETURNING template_id, user_id, label, version
), touched AS (
    UPDATE templates t SET updated_at = now() FROM moved m WHERE t.id = m.template_id RETURNING t.id
)
SELECT append_event(user_id, 'template.label_moved', 'templates/' || template_id,
                    jsonb_build_object('label', label, 'version', version)) FROM moved, touched;

-- name: remove_label
WITH removed AS (
    DELETE FROM template_labels WHERE template_id = %(template_id)s AND label = %(label)s
    RETURNING template_id, user_id, label
), touched AS (
    UPDATE templates t SET updated_at = now() FROM removed r WHERE t.id = r.template_id RETURNING t.id
)
SELECT append_event(user_id, 'template.label_moved', 'templates/' || template_id,
                    jsonb_build_object('label', label, 'version', NULL)) FROM removed, touched;

-- name: delete_template
-- Gone for every request at once; its versions stay for what was made from them.
WITH gone AS (
    UPDATE templates SET deleted_at = now(), updated_at = now() WHERE id = %(template_id)s AND deleted_at IS NULL
    RETURNING id, user_id, name
)
SELECT append_event(user_id, 'template.deleted', 'templates/' || id, jsonb_build_object('name', name)) FROM gone;
