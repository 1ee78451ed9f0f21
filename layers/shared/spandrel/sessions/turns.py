"""Turns as their users see them: asked, watched, cancelled, retried, asked again."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

import msgspec

from spandrel.database import Database
from spandrel.errors import ConflictError, MessageIdReusedError, NotFoundError, QueueUnavailableError
from spandrel.ids import uuid7
from spandrel.observability import logger
from spandrel.pagination import NumberedPage, paginate_numbers
from spandrel.sessions import store
from spandrel.sessions.approvals import send_waiting
from spandrel.sessions.messages import TurnTask, send_turn
from spandrel.sessions.models import Turn
from spandrel.sessions.ports import TurnQueue
from spandrel.sessions.store import legal_moves, queries


@dataclass(frozen=True, slots=True)
class Turns:
    database: Database
    queue: TurnQueue

    def ask(self, user_id: str, session_id: UUID, text: str, client_message_id: str) -> Turn:
        """Puts what the user wrote in line. The same `client_message_id` again finds the turn that it made.

        Raises `IllegalMoveError` where the session takes no turns, `MessageIdReusedError` where the id was given to
        another text: finding its turn would lose this one.
        """
        parameters = {
            "session_id": session_id,
            "turn_id": uuid7(),
            "kind": "message",
            "client_message_id": client_message_id,
            "input": text,
        }
        with legal_moves():
            rows = self.database.run(queries.enqueue_turn, parameters, user_id=user_id)
        if not rows:
            raise NotFoundError("There is no such session, or it is not yours.")
        if rows[0]["id"] != parameters["turn_id"] and self._asked(user_id, rows[0]) != text:
            raise MessageIdReusedError
        turn = self.get(user_id, rows[0]["id"]) if rows[0]["status"] != "queued" else _fresh(rows[0])
        if turn.status == "queued":
            self._send(user_id, turn)
        return turn

    def page(self, user_id: str, session_id: UUID, limit: int, before: int | None) -> NumberedPage[Turn]:
        """Newest first."""
        parameters = {"session_id": session_id, "before": before, "limit": limit + 1}
        with self.database.transaction(user_id) as tx:
            store.find_session(tx, session_id)
            rows = tx.execute(queries.list_turns, parameters).fetchall()
        return paginate_numbers([store.as_turn(row) for row in rows], limit)

    def get(self, user_id: str, turn_id: UUID) -> Turn:
        """With the text so far while it runs."""
        with self.database.transaction(user_id) as tx:
            return store.find_turn(tx, turn_id)

    def cancel(self, user_id: str, turn_id: UUID) -> Turn:
        """At once unless it runs, else at its worker's next save. Raises `ConflictError` for one that has ended."""
        with self.database.transaction(user_id) as tx:
            turn = store.find_turn(tx, turn_id)
            if tx.execute(queries.cancel_turn, {"turn_id": turn_id}).fetchone() is None:
                raise ConflictError(f"The turn is {turn.status} already.")
            cancelled = store.find_turn(tx, turn_id)
            behind = tx.execute(queries.waiting_turns, {"session_id": turn.session_id}).fetchall()
        if turn.status == "waiting":
            send_waiting(self.queue, behind)
        return cancelled

    def retry(self, user_id: str, turn_id: UUID) -> Turn:
        """Puts a failed or cancelled turn in line again. Raises `ConflictError` for any other."""
        with self.database.transaction(user_id) as tx:
            turn = store.find_turn(tx, turn_id)
            if tx.execute(queries.retry_turn, {"turn_id": turn_id}).fetchone() is None:
                raise ConflictError(
                    f"Only a failed or cancelled turn of an active session can be retried; this one is {turn.status}."
                )
            turn = store.find_turn(tx, turn_id)
        self._send(user_id, turn, again=turn.queued_at.isoformat())
        return turn

    def regenerate(self, user_id: str, turn_id: UUID) -> Turn:
        """Asks a completed turn's question again, on a new branch before it. What was answered stays on its own.

        Raises `ConflictError` for a turn that is not completed, `IllegalMoveError` while others wait or run.
        """
        new = {"turn_id": uuid7(), "new_branch_id": uuid7(), "client_message_id": None}
        with legal_moves(), self.database.transaction(user_id) as tx:
            turn = store.find_turn(tx, turn_id)
            asked = tx.execute(queries.turn_input, {"turn_id": turn_id}).fetchone()
            if asked is None:
                raise ConflictError(f"Only a completed turn can be regenerated; this one is {turn.status}.")
            data = msgspec.json.encode({"turn_id": turn_id}).decode()
            tx.execute(queries.rewind_session, asked | new | {"event": "session.rewound", "data": data})
            made = tx.execute(queries.enqueue_turn, asked | new).fetchone()
        again = _fresh(store.found(made, "session"))
        self._send(user_id, again)
        return again

    def _asked(self, user_id: str, row: dict[str, Any]) -> object:
        """What the user wrote for a turn: on its row until it is completed, then a message."""
        if row["status"] != "completed":
            return row["input"]
        found = self.database.run(queries.turn_input, {"turn_id": row["id"]}, user_id=user_id)
        return found[0]["input"] if found else None

    def _send(self, user_id: str, turn: Turn, again: str = "") -> None:
        try:
            send_turn(self.queue, TurnTask(turn_id=turn.id, session_id=turn.session_id, user_id=user_id), again=again)
        except QueueUnavailableError:  # it is stored; upkeep sends it within minutes
            logger.warning("turn left to upkeep", extra={"turn_id": str(turn.id)})


def _fresh(row: dict[str, object]) -> Turn:
    """A row of `turns` as it lies in the table."""
    return store.as_turn({name: row[name] for name in _COLUMNS} | {"text": row["partial"]})


_COLUMNS = (*({field.name for field in fields(Turn)} - {"text", "error"}), "error_code", "error_message")
