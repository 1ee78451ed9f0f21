"""The SQL of the pump. Claiming and settling take one flight each and bring the events that follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec

from spandrel.database import Database
from spandrel.events.broadcast.models import Frame, Held, Page, Result
from spandrel.events.frames import event_frame
from spandrel.events.models import StoredEvent
from spandrel.sql import Queries

queries = Queries.beside(__file__)
LEASE_SECONDS = 20
PAGE_EVENTS = 100
MOST_CONNECTIONS = 1000


@dataclass(frozen=True, slots=True)
class Settled:
    """`held` go on; `behind` are users of connections that were let go with more to send."""

    held: list[Held]
    behind: set[str]
    page: Page


@dataclass(frozen=True, slots=True)
class PumpStore:
    """One pass's hold on connections."""

    database: Database
    user_ids: Sequence[str]
    owner: UUID = field(default_factory=uuid4)

    def claim(self) -> tuple[list[Held], Page]:
        """Connections that something is to be sent to and nobody sends to, and what that is."""
        parameters = self._with(user_ids=list(self.user_ids), limit=MOST_CONNECTIONS)
        with self.database.transaction(block=False) as tx:
            claimed = tx.execute(queries.claim_connections, parameters, into=Held)
            due = tx.execute(queries.due_events, self._due(self.user_ids, None))
        return claimed.fetchall(), _page(due.fetchall())

    def settle(self, results: Sequence[Result], gone: Sequence[str], users: Iterable[str], *, let_go: bool) -> Settled:
        """Writes `results` down, looks for what came meanwhile, and lets go of those that nothing came for."""
        parameters = self._with(
            results=msgspec.json.encode(results).decode(), gone=list(gone), let_go=let_go
        )  # `users`: whose connections these are
        with self.database.transaction(block=False) as tx:
            settled = tx.execute(queries.settle_connections, parameters)
            due = tx.execute(queries.due_events, self._due(users, [result.id for result in results]))
        rows = settled.fetchall()
        held = [_held(row) for row in rows if row["held"]]
        behind = {row["user_id"] for row in rows if row["behind"] and not row["held"]}
        return Settled(held, behind, _page(due.fetchall()))

    def _with(self, **parameters: Any) -> dict[str, Any]:
        return {"owner": self.owner, "lease_seconds": LEASE_SECONDS} | parameters

    def _due(self, users: Iterable[str], ids: list[str] | None) -> dict[str, Any]:
        return {"user_ids": list(users), "owner": self.owner, "ids": ids, "page": PAGE_EVENTS}


def _held(row: dict[str, Any]) -> Held:
    return Held(row["id"], row["user_id"], row["delivered_seq"], row["live"], row["failures"], row["head"])


def _page(rows: list[dict[str, Any]]) -> Page:
    page, now = Page(PAGE_EVENTS), datetime.now(UTC)
    for row in rows:
        event = StoredEvent(**row | {"data": msgspec.Raw(row["data"].encode())})
        frame = Frame(event.seq, event_frame(event), (now - event.created_at).total_seconds())
        page.frames.setdefault(row["user_id"], []).append(frame)
    return page
