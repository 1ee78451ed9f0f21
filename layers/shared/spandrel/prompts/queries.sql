-- name: prompt_context
-- Everything that a prompt is composed from, in one flight; the function is documented with its migration.
SELECT * FROM prompt_context(
    %(template_id)s::uuid, %(name)s, %(label)s, %(version)s::int, %(known)s::bytea[], %(key)s,
    %(deleted)s);
