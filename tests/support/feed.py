"""A user's feed on real Postgres as its doors leave it: connections that subscribe, events that are written."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from spandrel.database import Database
from spandrel.errors import QueueUnavailableError
from spandrel.events.broadcast.models import PumpReport
from spandrel.events.broadcast.pump import Pump
from spandrel.events.ports import Gateway
from tests.support.knowledge import ADA
from tests.support.postgres import settings_for

APPEND = b"SELECT append_event(%(user_id)s, 'test.thing', 'things/1', '{\"n\": 1}') AS seq"
SUBSCRIBE = (
    b"UPDATE connections SET delivered_seq = %(seq)s, live = false, failures = 0, retry_at = NULL WHERE id = %(id)s"
)


class FakeNews:
    """Implements `News` and `Reminders`; `told` is what lies in the queue, `reminders` what was asked for later."""

    def __init__(self) -> None:
        self.told: deque[str] = deque()
        self.reminders: list[tuple[str, float]] = []
        self.broken = False

    def tell(self, user_ids: Iterable[str]) -> None:
        if self.broken:
            raise QueueUnavailableError
        self.told.extend(user_ids)

    def remind(self, user_ids: Iterable[str], delay_seconds: float) -> None:
        if self.broken:
            raise QueueUnavailableError
        self.reminders.extend((user_id, delay_seconds) for user_id in user_ids)


class Feed:
    """`url` names the superuser; requests run as the application, pumps as the system."""

    def __init__(self, url: str) -> None:
        self.url, self.news = url, FakeNews()
        self.app, self.system = self.connect("spandrel_app"), self.connect("spandrel_system")
        self._lock = threading.Lock()

    def connect(self, role: str) -> Database:
        return Database(settings_for(self.url), role, news=lambda: self.news)

    def close(self) -> None:
        self.app.close()
        self.system.close()

    def open(
        self, connection_id: str, user: str = ADA, after: int | None = None, database: Database | None = None
    ) -> None:
        """$connect, and `subscribe` where there is an `after`."""
        with (database or self.app).transaction(user) as tx:
            tx.execute(b"INSERT INTO connections (id, user_id) VALUES (%s, %s)", [connection_id, user])
        if after is not None:
            self.subscribe(connection_id, user, after, database)

    def subscribe(self, connection_id: str, user: str, after: int, database: Database | None = None) -> None:
        with (database or self.app).transaction(user) as tx:
            tx.execute(SUBSCRIBE, {"id": connection_id, "seq": after})
        self.news.tell([user])

    def shut(self, connection_id: str, user: str = ADA, database: Database | None = None) -> None:
        """$disconnect."""
        with (database or self.app).transaction(user) as tx:
            tx.execute(b"DELETE FROM connections WHERE id = %s", [connection_id])

    def append(self, count: int = 1, user: str = ADA) -> int:
        """The last seq."""
        for _ in range(count):
            [row] = self.app.run(APPEND, {"user_id": user}, user_id=user)
        return int(row["seq"])

    def row(self, connection_id: str) -> dict[str, Any] | None:
        rows = self.system.run(b"SELECT * FROM connections WHERE id = %s", [connection_id])
        return rows[0] if rows else None

    def change(self, statement: bytes, *parameters: object) -> None:
        with self.system.transaction() as tx:
            tx.execute(statement, parameters or None)


@contextmanager
def pumping(database: Database, gateway: Gateway, news: FakeNews) -> Iterator[Pump]:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield Pump(database, gateway, news, runner)


def run(pump: Pump, *user_ids: str, seconds: float = 60) -> PumpReport:
    return pump.run(user_ids or (ADA,), lambda: seconds)
