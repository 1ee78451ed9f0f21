"""Bodies and answers of usage and budgets. Amounts are decimal text, for a JSON number would not keep them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from spandrel.usage.models import Period, money

Money = Annotated[Decimal, PlainSerializer(money, return_type=str), Field(examples=["0.0125"])]
Limit = Annotated[str, Field(pattern=r"^[0-9]{1,10}(\.[0-9]{1,10})?$", examples=["25", "0.50"])]


class PutBudget(BaseModel):
    """US dollars, one of them at least. At `warn_at` an event is sent, from `stop_at` on no turn begins."""

    model_config = ConfigDict(extra="forbid")

    warn_at: Limit | None = None
    stop_at: Limit | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        warn_at, stop_at = self.amounts()
        if warn_at is None and stop_at is None:
            raise ValueError("warn_at or stop_at must be given; to remove the budget, delete it")
        if warn_at is not None and stop_at is not None and warn_at > stop_at:
            raise ValueError("warn_at may be stop_at at most")
        return self

    def amounts(self) -> tuple[Decimal | None, Decimal | None]:
        warn_at, stop_at = (None if text is None else Decimal(text) for text in (self.warn_at, self.stop_at))
        return warn_at, stop_at


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Budget(_Answer):
    """`period` in UTC; a session's is `total`. `spent`: in the present period, US dollars as all amounts."""

    id: UUID
    period: Period
    session_id: UUID | None
    warn_at: Money | None
    stop_at: Money | None
    spent: Money
    exhausted: bool
    updated_at: datetime


class BudgetPage(_Answer):
    items: list[Budget]
    next_cursor: str | None


class UsageSum(_Answer):
    """`key`: a day (UTC), a model, a session or a turn; null: calls outside any. `unpriced_calls` are in no `cost`.

    `cached_tokens` are among `input_tokens`.
    """

    key: str | None
    calls: int
    unpriced_calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost: Money


class Usage(_Answer):
    """`complete` false: there are more groups than asked for; `total` counts them all the same."""

    since: Annotated[datetime, Field(serialization_alias="from")]
    until: Annotated[datetime, Field(serialization_alias="to")]
    total: UsageSum
    items: list[UsageSum]
    complete: bool
