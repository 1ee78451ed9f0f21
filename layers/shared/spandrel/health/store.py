"""The SQL of components' evidence, run on an open transaction."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from spandrel.database import Transaction
from spandrel.health.models import Outcome
from spandrel.sql import Queries

queries = Queries.beside(__file__)
KEEP_DAYS = 7


def record(tx: Transaction, outcome: Outcome) -> None:
    parameters = {
        "name": outcome.name,
        "ok": outcome.ok,
        "detail": Jsonb(outcome.detail),
        "code": outcome.code,
        "duration_ms": outcome.duration_ms,
    }
    tx.execute(queries.record_component, parameters)


def forget(tx: Transaction) -> None:
    tx.execute(queries.forget_components, {"days": KEEP_DAYS})
