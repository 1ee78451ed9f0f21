"""Sessions after their beginning: looked at, moved through their statuses, given what they waited for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

import msgspec

from spandrel.database import Database
from spandrel.errors import ConflictError, IllegalMoveError
from spandrel.pagination import Page, decode_cursor, paginate
from spandrel.prompts.capabilities import map_capabilities
from spandrel.prompts.models import TemplateRef
from spandrel.prompts.prepare import Prepare, User
from spandrel.sessions import store
from spandrel.sessions.approvals import send_waiting
from spandrel.sessions.begin import prompt_columns
from spandrel.sessions.begin_models import SessionStatus
from spandrel.sessions.confidence import assess
from spandrel.sessions.models import Session, StatusChange
from spandrel.sessions.ports import TurnQueue
from spandrel.sessions.store import legal_moves, queries

Move = Literal["active", "paused", "completed", "cancelled"]
GIVING_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Sessions:
    database: Database
    prepare: Prepare
    queue: TurnQueue

    def page(
        self,
        user_id: str,
        limit: int,
        cursor: str | None,
        conversation_id: UUID | None,
        statuses: Sequence[SessionStatus] | None,
    ) -> Page[Session]:
        """Newest first."""
        parameters = {
            "conversation_id": conversation_id,
            "statuses": list(statuses) if statuses else None,
            "before": decode_cursor(cursor),
            "limit": limit + 1,
        }
        rows = self.database.run(queries.list_sessions, parameters, user_id=user_id)
        return paginate([store.as_session(row) for row in rows], limit)

    def get(self, user_id: str, session_id: UUID) -> Session:
        """With what it can do now beside what it could at its beginning."""
        with self.database.transaction(user_id) as tx:
            cursor = tx.execute(queries.session_tools, {"session_id": session_id})
            session = store.find_session(tx, session_id)
            now = store.found(cursor.fetchone(), "session")
        return replace(session, capabilities_now=map_capabilities(now["wanted"], now["tools"]))

    def history(self, user_id: str, session_id: UUID) -> list[StatusChange]:
        """Every move of its status, the first one first."""
        with self.database.transaction(user_id) as tx:
            store.find_session(tx, session_id)
            rows = tx.execute(queries.list_status_changes, {"session_id": session_id}).fetchall()
        return msgspec.convert(rows, list[StatusChange])

    def move(self, user_id: str, session_id: UUID, status: Move, reason: str | None = None) -> Session:
        """Pauses, resumes, completes or cancels. Raises `IllegalMoveError` naming what is legal.

        One that ends takes its waiting turns with it; one that is resumed goes on with them.
        """
        parameters = {"session_id": session_id, "status": status, "reason": reason}
        with legal_moves(), self.database.transaction(user_id) as tx:
            before = store.find_session(tx, session_id)
            if status == "active" and before.status == "initializing":
                raise IllegalMoveError("The session waits for variables. Give them, and it becomes active.", legal=[])
            tx.execute(queries.move_session, parameters)
            session = store.find_session(tx, session_id)
            waiting = tx.execute(queries.waiting_turns, parameters).fetchall() if status == "active" else []
        send_waiting(self.queue, waiting)
        return session

    def set(
        self, user_id: str, session_id: UUID, *, idle_seconds: int | None, keep_checkpoints: int | None, keep_all: bool
    ) -> Session:
        parameters = {
            "session_id": session_id,
            "idle_seconds": idle_seconds,
            "keep_checkpoints": keep_checkpoints,
            "keep_all": keep_all,
        }
        with self.database.transaction(user_id) as tx:
            tx.execute(queries.set_session, parameters)
            return store.find_session(tx, session_id)

    def give_variables(self, user: User, session_id: UUID, variables: dict[str, Any]) -> Session:
        """Values for a session in `initializing`, over those that it has; with all required ones it becomes active."""
        for _ in range(GIVING_ATTEMPTS):
            if given := self._give(user, session_id, variables):
                return given
        raise ConflictError("The session is being changed by others. Try again.")

    def _give(self, user: User, session_id: UUID, variables: dict[str, Any]) -> Session | None:
        """None: somebody changed the session while its prompt was composed, from values that are no longer all."""
        with self.database.transaction(user.id) as tx:
            row = store.found(tx.execute(queries.find_session, {"session_id": session_id}).fetchone(), "session")
        session = store.as_session(row)
        if session.status != "initializing":
            raise IllegalMoveError(f"A session that is {session.status} waits for no variables.", legal=[])
        given = {name: bound.value for name, bound in session.variables.items() if bound.source == "given"}
        ref = TemplateRef(id=session.template_id, version=session.template_version)
        context = self.prepare.context(user.id, ref, deleted=True)
        prepared = self.prepare.compose(user, context, given | variables, row["locale"], allow_missing=True)
        missing = prepared.bindings.missing
        columns = prompt_columns(
            prepared, assess(context.compiled.structure, prepared.bindings, prepared.composed), row["locale"]
        )
        columns |= {
            "status": "initializing" if missing else "active",
            "status_reason": "variables_missing" if missing else "variables_given",
        }
        parameters = {
            "session_id": session_id,
            "session": msgspec.json.encode(columns).decode(),
            "seen": row["updated_at"],
        }
        with legal_moves(), self.database.transaction(user.id) as tx:
            changed = tx.execute(queries.set_prompt, parameters)
            now = store.find_session(tx, session_id)
        return now if changed.fetchone() else None
