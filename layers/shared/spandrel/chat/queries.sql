-- name: claim_turn
-- The functions are documented with their migration.
SELECT claim_turn(
    %(user_id)s, %(session_id)s, %(turn_id)s, %(owner)s, %(lease_seconds)s, %(known_branch_id)s, %(known_ordinal)s
) AS claim;

-- name: save_partial
-- `connections`: who may see the answer while it is made.
SELECT s.*, live_connections(current_user_id()) AS connections
FROM save_partial(%(turn_id)s, %(owner)s, %(partial)s, %(lease_seconds)s) s;

-- name: save_said
SELECT s.*, live_connections(current_user_id()) AS connections
FROM save_said(%(turn_id)s, %(owner)s, %(said)s::jsonb, %(partial)s, %(lease_seconds)s) s;

-- name: park_turn
SELECT park_turn(%(turn_id)s, %(owner)s, %(said)s::jsonb, %(partial)s, %(calls)s::jsonb, %(asks)s::jsonb, %(wait_seconds)s) AS parked;

-- name: complete_turn
SELECT complete_turn(
    %(user_id)s, %(session_id)s, %(turn_id)s, %(owner)s, %(messages)s::jsonb, %(calls)s::jsonb, %(summary)s::jsonb
);

-- name: end_turn
SELECT end_turn(%(turn_id)s, %(owner)s, %(status)s, %(code)s, %(message)s, %(partial)s, %(calls)s::jsonb) AS ended;
