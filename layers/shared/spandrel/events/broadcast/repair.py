"""What a schedule does for the feed: users whose word of news was lost are told again, expired connections go."""

from __future__ import annotations

from dataclasses import dataclass

from spandrel.database import Database
from spandrel.events.broadcast.store import queries
from spandrel.events.ports import News

OVERLOOKED_SECONDS = 5.0
"""What is older than this and still not sent was overlooked: a message lost, a pump that died."""


@dataclass(frozen=True, slots=True)
class FeedRepairReport:
    """What one run did."""

    users_told: int = 0
    connections_expired: int = 0


@dataclass(frozen=True, slots=True)
class RepairFeed:
    database: Database
    news: News

    def run(self, limit: int) -> FeedRepairReport:
        """Up to `limit` of each. Safe beside itself: told twice is told once. Raises `QueueUnavailableError`."""
        with self.database.transaction(block=False) as tx:
            overlooked = tx.execute(queries.overlooked_users, {"limit": limit, "age_seconds": OVERLOOKED_SECONDS})
            forgotten = tx.execute(queries.forget_expired, {"limit": limit})
        user_ids = [row["user_id"] for row in overlooked.fetchall()]
        if user_ids:
            self.news.tell(user_ids)
        return FeedRepairReport(len(user_ids), forgotten.fetchall()[0]["forgotten"])
