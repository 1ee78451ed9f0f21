"""Idempotency keys: the same request twice does its work once (draft-ietf-httpapi-idempotency-key-header)."""
