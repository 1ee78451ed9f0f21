"""Budgets: what a user, or one session, may spend."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from spandrel.database import Database
from spandrel.errors import NotFoundError
from spandrel.pagination import Page, decode_cursor, paginate
from spandrel.usage import store
from spandrel.usage.models import Budget, Period
from spandrel.usage.store import queries


@dataclass(frozen=True, slots=True)
class Budgets:
    database: Database

    def page(self, user_id: str, limit: int, cursor: str | None) -> Page[Budget]:
        parameters = {"before": decode_cursor(cursor), "limit": limit + 1}
        return paginate(self.database.run(queries.list_budgets, parameters, user_id=user_id, into=Budget), limit)

    def put(
        self,
        user_id: str,
        period: Period,
        session_id: UUID | None,
        warn_at: Decimal | None,
        stop_at: Decimal | None,
    ) -> Budget:
        """Sets the budget of the period, or the session's (its period is `total`), in the place of any before it."""
        with self.database.transaction(user_id) as tx:
            budget = store.put_budget(tx, user_id, period, session_id, warn_at, stop_at)
        if budget is None:
            raise NotFoundError("There is no such session, or it is not yours.")
        return budget

    def delete(self, user_id: str, period: Period, session_id: UUID | None) -> None:
        parameters = {"period": period, "session_id": session_id}
        if not self.database.run(queries.delete_budget, parameters, user_id=user_id):
            raise NotFoundError("There is no such budget, or it is not yours.")
