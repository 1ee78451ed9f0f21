"""What the usage feature speaks of. Amounts are US dollars, times aware datetimes, tokens counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args
from uuid import UUID

from spandrel.errors import BudgetExceededError

Purpose = Literal["turn", "summary", "embedding"]
Period = Literal["day", "month", "total"]
Grouping = Literal["day", "model", "session", "turn"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)
_ENDS: dict[Period, str] = {
    "day": "Wait for the next day (UTC), or raise it.",
    "month": "Wait for the next month (UTC), or raise it.",
    "total": "Raise it, or remove it.",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """`price_version` None: the model has no price, and `amount` is 0 for want of a better figure."""

    amount: Decimal
    price_version: str | None


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One line of the ledger, before it is written. `input_tokens`: cached ones included; `cost`: see `Cost`."""

    purpose: Purpose
    model: str
    price_version: str | None
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on what a user spends in a period (UTC), or a session in its whole life. `spent`: in the present one."""

    id: UUID
    period: Period
    session_id: UUID | None
    warn_at: Decimal | None
    stop_at: Decimal | None
    spent: Decimal
    updated_at: datetime

    @property
    def exhausted(self) -> bool:
        return self.stop_at is not None and self.spent >= self.stop_at


@dataclass(frozen=True, slots=True)
class ExhaustedBudget:
    """A row of `exhausted_budgets`: no further turn may begin under it."""

    id: UUID
    period: Period
    session_id: UUID | None
    stop_at: Decimal
    spent: Decimal

    def error(self) -> BudgetExceededError:
        whose = "this session's budget" if self.session_id else f"your budget of the {self.period}"
        whose = "your whole budget" if whose.endswith("total") else whose
        spent, limit = money(self.spent), money(self.stop_at)
        members: dict[str, Any] = {"budget": str(self.id), "period": self.period, "spent": spent, "limit": limit}
        if self.session_id:
            members["session_id"] = str(self.session_id)
        return BudgetExceededError(
            f"{spent} of {limit} US dollars are spent: {whose} is used up. {_ENDS[self.period]}", **members
        )


@dataclass(frozen=True, slots=True)
class UsageSum:
    """`key`: a day (UTC), a model, a session or a turn; None: calls outside any. `unpriced_calls` are in no `cost`."""

    key: str | None
    calls: int
    unpriced_calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Calls from `since` until before `until`. `complete` False: there are more groups than were asked for."""

    since: datetime
    until: datetime
    total: UsageSum
    items: list[UsageSum]
    complete: bool


def money(amount: Decimal) -> str:
    """As it is written in JSON: plain digits, no exponent, no trailing zeros."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
