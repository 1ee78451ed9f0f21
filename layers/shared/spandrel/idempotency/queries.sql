-- name: claim_key
-- Takes the key for this transaction. Waits for a transaction that holds it, and then finds it taken: no row.
INSERT INTO idempotency_keys (user_id, key, request_hash) VALUES (%(user_id)s, %(key)s, %(request_hash)s)
ON CONFLICT DO NOTHING RETURNING key;

-- name: find_key
SELECT request_hash, response FROM idempotency_keys WHERE user_id = %(user_id)s AND key = %(key)s;

-- name: store_response
UPDATE idempotency_keys SET response = %(response)s WHERE user_id = %(user_id)s AND key = %(key)s;
