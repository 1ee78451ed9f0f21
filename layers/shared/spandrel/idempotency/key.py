"""One request's idempotency key, used inside the use case's own transaction."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from spandrel.database import Transaction
from spandrel.errors import IdempotencyMismatchError
from spandrel.sql import Queries

queries = Queries.beside(__file__)


class IdempotencyKey(msgspec.Struct, frozen=True):
    """`request_hash` covers the operation and its body: the key is good for that request alone."""

    user_id: str
    key: str
    request_hash: bytes

    @classmethod
    def of(cls, user_id: str, key: str, operation: str, request: object) -> IdempotencyKey:
        digest = hashlib.sha256(operation.encode() + b"\0" + msgspec.json.encode(request, order="deterministic"))
        return cls(user_id, key, digest.digest())

    def claim(self, tx: Transaction) -> Any | None:
        """None if the work is this transaction's to do, else what was stored by the one that did it.

        Waits while another transaction works under the key. Raises `IdempotencyMismatchError` if it did something else.
        """
        claimed = tx.execute(
            queries.claim_key, {"user_id": self.user_id, "key": self.key, "request_hash": self.request_hash}
        )
        if claimed.fetchone() is not None:
            return None
        row = tx.execute(queries.find_key, {"user_id": self.user_id, "key": self.key}).fetchone()
        if row is None or row["request_hash"] != self.request_hash:
            raise IdempotencyMismatchError
        return row["response"]

    def store(self, tx: Transaction, response: object) -> None:
        tx.execute(queries.store_response, {"user_id": self.user_id, "key": self.key, "response": Jsonb(response)})
