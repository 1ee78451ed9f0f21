"""The SQL of the ledger and of budgets, run on an open transaction."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from uuid import UUID

from spandrel.database import Transaction
from spandrel.sql import Queries
from spandrel.usage.models import Budget, ExhaustedBudget, ModelCall, Period

queries = Queries.beside(__file__)


def record(
    tx: Transaction,
    user_id: str,
    call: ModelCall,
    session_id: UUID | None = None,
    turn_id: UUID | None = None,
    *,
    durable: bool = True,
) -> None:
    """Writes the ledger line, and the events of limits that it reaches. To be queued before the caller's own events.

    `durable` False: the transaction does not wait for the disk, and holds the user's sums as briefly as can be.
    """
    parameters = asdict(call) | {"user_id": user_id, "session_id": session_id, "turn_id": turn_id}
    tx.execute(queries.record_usage if durable else queries.record_usage_at_ease, parameters)


def require_budget(tx: Transaction, user_id: str, session_id: UUID | None = None) -> None:
    """Raises `BudgetExceededError` if a budget of the user, or of the session, is used up."""
    parameters = {"user_id": user_id, "session_id": session_id}
    exhausted: ExhaustedBudget | None = tx.execute(
        queries.exhausted_budgets, parameters, into=ExhaustedBudget
    ).fetchone()
    if exhausted is not None:
        raise exhausted.error()


def put_budget(
    tx: Transaction,
    user_id: str,
    period: Period,
    session_id: UUID | None,
    warn_at: Decimal | None,
    stop_at: Decimal | None,
) -> Budget | None:
    """None: there is no such session."""
    parameters = {
        "user_id": user_id,
        "period": period,
        "session_id": session_id,
        "warn_at": warn_at,
        "stop_at": stop_at,
    }
    budget: Budget | None = tx.execute(queries.put_budget, parameters, into=Budget).fetchone()
    return budget
