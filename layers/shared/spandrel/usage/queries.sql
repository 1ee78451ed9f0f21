-- name: record_usage
SELECT record_usage(%(user_id)s, %(session_id)s, %(turn_id)s, %(purpose)s, %(model)s, %(price_version)s,
                    %(input_tokens)s, %(cached_tokens)s, %(output_tokens)s, %(cost)s);

-- name: record_usage_at_ease
-- Not worth waiting for the disk: what a crash of the server may lose are the last half second's fractions of a cent.
SELECT record_usage(%(user_id)s, %(session_id)s, %(turn_id)s, %(purpose)s, %(model)s, %(price_version)s,
                    %(input_tokens)s, %(cached_tokens)s, %(output_tokens)s, %(cost)s)
FROM set_config('synchronous_commit', 'off', true);

-- name: exhausted_budgets
SELECT id, period, session_id, stop_at, spent FROM exhausted_budgets(%(user_id)s, %(session_id)s)
ORDER BY session_id NULLS LAST, id;

-- name: usage_report
-- Sums by group, the dearest first (days: the latest first), and the sum of all of them, which comes before.
SELECT key,
       count(*) AS calls,
       count(*) FILTER (WHERE price_version IS NULL) AS unpriced_calls,
       coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
       coalesce(sum(cached_tokens), 0)::bigint AS cached_tokens,
       coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
       coalesce(sum(cost), 0) AS cost
FROM usage_ledger, LATERAL (SELECT CASE %(group_by)s::text
    WHEN 'day' THEN (created_at AT TIME ZONE 'UTC')::date::text
    WHEN 'model' THEN model
    WHEN 'session' THEN session_id::text
    ELSE turn_id::text
END AS key) AS grouped
WHERE created_at >= %(since)s AND created_at < %(until)s
  AND (%(session_id)s::uuid IS NULL OR session_id = %(session_id)s)
GROUP BY GROUPING SETS ((), (key))
ORDER BY grouping(key) DESC, CASE WHEN %(group_by)s = 'day' THEN key END DESC, cost DESC, key
LIMIT %(limit)s;

-- name: list_budgets
-- Newest first; `before` is the last id of the page before.
SELECT b.id, b.period, b.session_id, b.warn_at, b.stop_at, coalesce(t.cost, 0) AS spent, b.updated_at
FROM budgets b
LEFT JOIN usage_totals t ON t.user_id = b.user_id AND t.scope = b.scope AND t.period = b.period
                        AND t.starts = usage_period_start(b.period, now())
WHERE %(before)s::uuid IS NULL OR b.id < %(before)s
ORDER BY b.id DESC LIMIT %(limit)s;

-- name: put_budget
-- A session is held while its budget is written, or that might outlast it. Then the sum is locked, as by who adds to it, and before
-- the feed: `spent` has every call that did not see this budget. No row: there is no such session.
WITH held AS (
    SELECT FROM agent_sessions WHERE id = %(session_id)s FOR KEY SHARE
), summed AS (
    INSERT INTO usage_totals AS t (user_id, scope, period, starts, cost)
    SELECT %(user_id)s, coalesce(%(session_id)s::uuid, '00000000-0000-0000-0000-000000000000'), %(period)s::text,
           usage_period_start(%(period)s::text, now()), 0
    WHERE %(session_id)s::uuid IS NULL OR EXISTS (SELECT FROM held)
    ON CONFLICT (user_id, scope, period, starts) DO UPDATE SET cost = t.cost
    RETURNING cost
), put AS (
    INSERT INTO budgets (user_id, session_id, period, warn_at, stop_at)
    SELECT %(user_id)s, %(session_id)s::uuid, %(period)s::text, %(warn_at)s::numeric, %(stop_at)s::numeric FROM summed
    ON CONFLICT (user_id, scope, period)
        DO UPDATE SET warn_at = excluded.warn_at, stop_at = excluded.stop_at, updated_at = now()
    RETURNING *
), told AS (
    SELECT append_event(user_id, 'usage.budget_set', 'budgets/' || id, jsonb_strip_nulls(jsonb_build_object(
        'period', period, 'session_id', session_id, 'warn_at', trim_scale(warn_at)::text,
        'stop_at', trim_scale(stop_at)::text))) FROM put
)
SELECT put.id, put.period, put.session_id, put.warn_at, put.stop_at, summed.cost AS spent, put.updated_at
FROM put, summed, told;

-- name: delete_budget
WITH gone AS (
    DELETE FROM budgets WHERE period = %(period)s AND session_id IS NOT DISTINCT FROM %(session_id)s
    RETURNING id, user_id
)
SELECT append_event(user_id, 'usage.budget_deleted', 'budgets/' || id, '{}') FROM gone;
