-- name: record_component
INSERT INTO component_checks (name, ok, detail, code, duration_ms)
VALUES (%(name)s, %(ok)s, %(detail)s, %(code)s, %(duration_ms)s);

-- name: forget_components
-- The oldest that are too old, a part at a time.
DELETE FROM component_checks WHERE id IN (
    SELECT id FROM (SELECT id, checked_at FROM component_checks ORDER BY id LIMIT 1000) oldest
    WHERE checked_at < now() - make_interval(days => %(days)s));

-- name: latest_components
SELECT wanted.name, c.ok, c.detail, c.code, c.duration_ms, c.checked_at,
       extract(epoch FROM now() - c.checked_at)::double precision AS age_seconds
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS wanted (name, place)
LEFT JOIN LATERAL (SELECT * FROM component_checks k WHERE k.name = wanted.name ORDER BY k.checked_at DESC LIMIT 1) c ON true
ORDER BY wanted.place;

-- name: count_by_status
SELECT CASE WHEN enabled THEN status ELSE 'disabled' END AS status, count(*) AS number
FROM integrations GROUP BY 1 ORDER BY 1;

-- name: schema_version
SELECT version FROM schema_version;
