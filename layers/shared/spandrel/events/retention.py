"""What a schedule forgets: events past their time, tickets that nobody used."""

from __future__ import annotations

from dataclasses import dataclass

from spandrel.database import Database
from spandrel.events.store import queries

BATCH = 10_000


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What one run did."""

    events_forgotten: int
    tickets_forgotten: int


@dataclass(frozen=True, slots=True)
class Retention:
    """`days`: how long an event is kept."""

    database: Database
    days: int

    def run(self, limit: int = BATCH) -> RetentionReport:
        """`limit` of each at most. Safe beside itself."""
        [events] = self.database.run(queries.forget_events, {"days": self.days, "limit": limit})
        [tickets] = self.database.run(queries.forget_tickets, {"limit": limit})
        return RetentionReport(events["forgotten"], tickets["forgotten"])
