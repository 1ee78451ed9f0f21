"""/v1/usage, /v1/budgets and /v1/sessions/{session_id}/budget"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BeforeValidator

from functions.api.dependencies import Cursor, Limit, UserId
from functions.api.schemas_usage import Budget, BudgetPage, PutBudget, Usage
from spandrel import wiring
from spandrel.usage.models import Grouping, Period

router = APIRouter(tags=["usage"])


def _written_out(value: object) -> object:
    """A number is no time here, though pydantic would take it for seconds since 1970."""
    if isinstance(value, str) and not value[4:5] == "-":
        raise ValueError("must be a date and time as RFC 3339 writes them")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]


@router.get("/usage", operation_id="get_usage")
async def usage(
    user_id: UserId,
    group_by: Grouping = "day",
    since: Annotated[Moment | None, Query(alias="from", description="Default: thirty days before `to`.")] = None,
    until: Annotated[Moment | None, Query(alias="to", description="Not included. Default: now.")] = None,
    session_id: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Groups to be named.")] = 100,
) -> Usage:
    """What your calls of models took and cost, in a stretch of 366 days at most: those of the language model, and the
    vectors of documents and queries. Days come latest first, others dearest first.
    """
    return Usage.model_validate(wiring.reports().run(user_id, group_by, since, until, session_id, limit))


@router.get("/budgets", operation_id="list_budgets")
async def list_(user_id: UserId, limit: Limit = 20, cursor: Cursor = None) -> BudgetPage:
    """Your budgets, sessions' included, newest first."""
    return BudgetPage.model_validate(wiring.budgets().page(user_id, limit, cursor))


@router.put("/budgets/{period}", operation_id="put_budget")
async def put(period: Period, body: PutBudget, user_id: UserId) -> Budget:
    """Limits what you spend in each day or month (UTC), or in all. Once it is reached no turn begins; one that runs is
    finished.
    """
    return Budget.model_validate(wiring.budgets().put(user_id, period, None, *body.amounts()))


@router.delete("/budgets/{period}", status_code=204, operation_id="delete_budget")
async def delete(period: Period, user_id: UserId) -> None:
    wiring.budgets().delete(user_id, period, None)


@router.put("/sessions/{session_id}/budget", operation_id="put_session_budget")
async def put_of_session(session_id: UUID, body: PutBudget, user_id: UserId) -> Budget:
    """Limits what a session may spend in its whole life."""
    return Budget.model_validate(wiring.budgets().put(user_id, "total", session_id, *body.amounts()))


@router.delete("/sessions/{session_id}/budget", status_code=204, operation_id="delete_session_budget")
async def delete_of_session(session_id: UUID, user_id: UserId) -> None:
    wiring.budgets().delete(user_id, "total", session_id)
