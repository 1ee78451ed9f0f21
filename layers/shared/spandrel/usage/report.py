"""What was used in a stretch of time, by day, model, session or turn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from spandrel.database import Database
from spandrel.errors import InvalidRequestError
from spandrel.usage.models import Grouping, UsageReport, UsageSum
from spandrel.usage.store import queries

LONGEST = timedelta(days=366)
DEFAULT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Reports:
    database: Database

    def run(
        self,
        user_id: str,
        group_by: Grouping,
        since: datetime | None = None,
        until: datetime | None = None,
        session_id: UUID | None = None,
        limit: int = 100,
    ) -> UsageReport:
        """The last thirty days unless told otherwise. Raises `InvalidRequestError` for a stretch that is none."""
        since, until = _stretch(since, until)
        parameters = {
            "group_by": group_by,
            "since": since,
            "until": until,
            "session_id": session_id,
            "limit": limit + 2,  # the total, and one to see that there are more
        }
        total, *items = self.database.run(queries.usage_report, parameters, user_id=user_id, into=UsageSum)
        return UsageReport(since, until, total, items[:limit], complete=len(items) <= limit)


def _stretch(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    try:
        until = until or (since + DEFAULT if since else datetime.now(UTC))
        since = since or until - DEFAULT
    except OverflowError:
        raise InvalidRequestError("The stretch of time lies outside the calendar.") from None
    if not timedelta(0) < until - since <= LONGEST:
        raise InvalidRequestError("`from` must be before `to`, by 366 days at most.")
    return since, until
