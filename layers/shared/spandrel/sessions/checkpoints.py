"""Checkpoints: places in a session's history, to look at, name, go back to, or go on from in another session."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import msgspec

from spandrel.database import Database
from spandrel.errors import IllegalMoveError
from spandrel.idempotency.key import IdempotencyKey
from spandrel.ids import uuid7
from spandrel.pagination import NumberedPage, paginate_numbers
from spandrel.sessions import store
from spandrel.sessions.models import Checkpoint, SaidMessage, Session
from spandrel.sessions.store import legal_moves, queries


@dataclass(frozen=True, slots=True)
class Checkpoints:
    database: Database

    def page(self, user_id: str, session_id: UUID, limit: int, before: int | None) -> NumberedPage[Checkpoint]:
        """Newest first."""
        parameters = {"session_id": session_id, "before": before, "limit": limit + 1}
        with self.database.transaction(user_id) as tx:
            store.find_session(tx, session_id)
            rows = tx.execute(queries.list_checkpoints, parameters).fetchall()
        return paginate_numbers(msgspec.convert(rows, list[Checkpoint]), limit)

    def get(self, user_id: str, session_id: UUID, number: int) -> Checkpoint:
        with self.database.transaction(user_id) as tx:
            return store.find_checkpoint(tx, session_id, number)

    def messages(
        self, user_id: str, session_id: UUID, after: int, limit: int, checkpoint: int | None = None
    ) -> list[SaidMessage]:
        """The session's line after message `after`, in order; with `checkpoint`, as it was there."""
        parameters = {"session_id": session_id, "checkpoint": checkpoint, "after": after, "limit": limit}
        with self.database.transaction(user_id) as tx:
            store.find_session(tx, session_id)
            if checkpoint is not None:
                store.find_checkpoint(tx, session_id, checkpoint)
            rows = tx.execute(queries.list_messages, parameters).fetchall()
        return msgspec.convert(rows, list[SaidMessage])

    def name(self, user_id: str, session_id: UUID, number: int, name: str | None) -> Checkpoint:
        """A named checkpoint outlasts every retention; None takes the name away."""
        parameters = {"session_id": session_id, "number": number, "name": name}
        with self.database.transaction(user_id) as tx:
            row = tx.execute(queries.name_checkpoint, parameters).fetchone()
            return msgspec.convert(store.found(row, "checkpoint"), Checkpoint)

    def restore(self, user_id: str, session_id: UUID, number: int) -> Checkpoint:
        """Puts the session back to the checkpoint; what came after stays readable at the checkpoints after it.

        Raises `IllegalMoveError` while turns wait or run, or where the session has ended. The checkpoint that marks it.
        """
        with legal_moves(), self.database.transaction(user_id) as tx:
            back = store.find_checkpoint(tx, session_id, number)
            parameters = {
                "session_id": session_id,
                "branch_id": back.branch_id,
                "ordinal": back.ordinal,
                "new_branch_id": uuid7(),
                "event": "session.restored",
                "data": msgspec.json.encode({"restored": number}).decode(),
            }
            row = tx.execute(queries.rewind_session, parameters).fetchone()
            return store.find_checkpoint(tx, session_id, store.found(row, "session")["checkpoint"])

    def fork(
        self, user_id: str, session_id: UUID, number: int, key: IdempotencyKey | None = None, *, asking: bool = False
    ) -> Session:
        """A new session of the same conversation that goes on from the checkpoint. It copies no message.

        `asking`: a turn is to follow. Then `IllegalMoveError` is raised, and none made, where it would take no turns.
        """
        parameters = {"session_id": session_id, "number": number, "new_id": uuid7(), "branch_id": uuid7()}
        with self.database.transaction(user_id) as tx:
            if key and (made := key.claim(tx)):
                return store.find_session(tx, UUID(made["id"]))
            row = store.found(tx.execute(queries.fork_session, parameters).fetchone(), "session or checkpoint")
            forked = store.find_session(tx, row["id"])
            if asking and forked.status == "initializing":
                raise IllegalMoveError("The session waits for variables. Give them before you ask.", legal=[])
            if key:
                key.store(tx, {"id": str(forked.id)})
            return forked
