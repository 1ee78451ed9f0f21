"""Tickets: what a browser, which cannot send a header with a WebSocket, connects with instead of its token.

A ticket is good once and for a minute, so that one that is found in a log opens nothing (OWASP WebSocket Security Cheat
Sheet). The database keeps its hash alone.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from spandrel.database import Database
from spandrel.errors import TicketInvalidError
from spandrel.events.store import queries

TICKET_BYTES = 32
TICKET_SECONDS = 60
MAX_TICKET = 255


@dataclass(frozen=True, slots=True)
class Ticket:
    """Connect to `url` with the query `ticket=` before `expires_at`."""

    ticket: str
    expires_at: datetime
    url: str


@dataclass(frozen=True, slots=True)
class Tickets:
    """`url`: where clients connect."""

    database: Database
    url: str

    def issue(self, user_id: str) -> Ticket:
        ticket = secrets.token_urlsafe(TICKET_BYTES)
        parameters = {"user_id": user_id, "hash": hash_of(ticket), "seconds": TICKET_SECONDS}
        [row] = self.database.run(queries.issue_ticket, parameters, user_id=user_id)
        return Ticket(ticket, row["expires_at"], self.url)


def hash_of(ticket: str) -> bytes:
    """SHA-256: a ticket is random, so there is nothing to guess that salt or slowness would make harder."""
    return hashlib.sha256(ticket.encode()).digest()


@dataclass(frozen=True, slots=True)
class Connections:
    database: Database

    def open(self, connection_id: str, ticket: str | None) -> str:
        """Redeems the ticket; its user. Raises `TicketInvalidError` for one that is unknown, used or past its time."""
        if not ticket or len(ticket) > MAX_TICKET:
            raise TicketInvalidError
        parameters = {"hash": hash_of(ticket), "connection_id": connection_id}
        [row] = self.database.run(queries.open_connection, parameters)
        if row["user_id"] is None:
            raise TicketInvalidError
        return str(row["user_id"])

    def close(self, connection_id: str) -> None:
        """Forgets a connection that is closed. Twice is once."""
        self.database.run(queries.close_connection, {"connection_id": connection_id})
