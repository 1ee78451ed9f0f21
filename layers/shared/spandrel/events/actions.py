"""Answers what clients send over their connections. Whatever goes wrong is a frame: a connection outlives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from spandrel.database import Database
from spandrel.driver import errors as pg
from spandrel.errors import ConnectionFloodedError, ConnectionUnknownError, RateLimitedError, SpandrelError
from spandrel.events.frames import encode, error_frame
from spandrel.events.messages import Accepted, Action, CancelTurn, Pong, SendMessage, Subscribe, Subscribed
from spandrel.events.ports import Farewell
from spandrel.events.requests import read
from spandrel.events.store import queries
from spandrel.events.subscribe import subscribe
from spandrel.observability import logger

if TYPE_CHECKING:
    from spandrel.sessions.turns import Turns

BURST = 40
PER_SECOND = 10
FLOOD = 100
"""Messages beyond what is allowed after which a connection is closed."""


@dataclass(frozen=True, slots=True)
class Answered:
    """`frame` None: the connection was closed, with its last word. `code`: of the error, None if there was none."""

    action: str
    frame: bytes | None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Actions:
    database: Database
    turns: Callable[[], Turns]
    farewell: Callable[[], Farewell]

    def answer(self, connection_id: str, message: bytes) -> Answered:
        request = read(message)
        try:
            user_id = self._admit(connection_id)
            answer = self._do(user_id, connection_id, request.action())
            return Answered(request.name, encode(answer))
        except (ConnectionFloodedError, ConnectionUnknownError) as error:
            self.farewell().close(connection_id, error_frame(error, request.request_id))
            return Answered(request.name, None, error.code)
        except SpandrelError as error:
            return Answered(request.name, error_frame(error, request.request_id), error.code)
        except Exception:  # noqa: BLE001 - the client gets a typed error whatever happens, the log the rest
            logger.exception("unhandled")
            return Answered(request.name, error_frame(SpandrelError(), request.request_id), SpandrelError.code)

    def _admit(self, connection_id: str) -> str:
        """Whose connection it is, once it may send a message now."""
        parameters = {"connection_id": connection_id, "burst": BURST, "per_second": PER_SECOND}
        try:
            rows = self.database.run(queries.admit_message, parameters)
        except pg.ForeignKeyViolation as error:  # it was closed at this moment
            raise ConnectionUnknownError from error
        if not rows:
            raise ConnectionUnknownError
        tokens = rows[0]["tokens"]
        if tokens < -FLOOD:
            raise ConnectionFloodedError
        if tokens < 0:
            raise RateLimitedError(retry_after=round((1 - tokens) / PER_SECOND, 1))
        return str(rows[0]["user_id"])

    def _do(self, user_id: str, connection_id: str, action: Action) -> msgspec.Struct:
        told: dict[str, Any] = {"request_id": action.request_id}
        match action:
            case Subscribe():
                cursor = subscribe(self.database, user_id, connection_id, action.after_seq)
                return Subscribed(after_seq=cursor.after_seq, head_seq=cursor.head_seq, **told)
            case SendMessage():
                turn = self.turns().ask(user_id, action.session_id, action.text, action.client_message_id)
            case CancelTurn():
                turn = self.turns().cancel(user_id, action.turn_id)
            case _:
                return Pong(**told)
        return Accepted(turn_id=turn.id, session_id=turn.session_id, status=turn.status, **told)
