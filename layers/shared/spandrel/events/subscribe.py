"""Sets a connection's cursor: from there on the pump sends, what lies in the past first."""

from __future__ import annotations

from dataclasses import dataclass

from spandrel.database import Database
from spandrel.errors import ConnectionUnknownError, EventsExpiredError, SeqAheadError
from spandrel.events.store import queries


@dataclass(frozen=True, slots=True)
class Cursor:
    """What follows `after_seq` will be sent; `head_seq` is the newest event."""

    after_seq: int
    head_seq: int


def subscribe(database: Database, user_id: str, connection_id: str, after_seq: int | None) -> Cursor:
    """Replay and live are one: the pump is told, as it is of an event, that this user is to be sent something.

    Raises `SeqAheadError`, `EventsExpiredError`, `ConnectionUnknownError`.
    """
    parameters = {"connection_id": connection_id, "after_seq": after_seq}
    [row] = database.run(queries.subscribe_connection, parameters, user_id=user_id)
    bounds = {"head_seq": row["head_seq"], "oldest_seq": row["oldest_seq"]}
    match row["outcome"]:
        case "subscribed":
            return Cursor(row["after_seq"], row["head_seq"])
        case "ahead":
            raise SeqAheadError(**bounds)
        case "expired":
            raise EventsExpiredError(**bounds)
        case _:
            raise ConnectionUnknownError
