"""A person's word on tool calls: asked for by a turn, given here, and the turn goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import msgspec

from spandrel.database import Database
from spandrel.errors import ConflictError, QueueUnavailableError
from spandrel.ids import uuid7
from spandrel.observability import logger
from spandrel.pagination import Page, decode_cursor, paginate
from spandrel.sessions import store
from spandrel.sessions.messages import TurnTask, send_turn
from spandrel.sessions.models import ApprovalStatus, ToolApproval
from spandrel.sessions.ports import TurnQueue
from spandrel.sessions.store import queries

Decision = Literal["approved", "denied"]


@dataclass(frozen=True, slots=True)
class Approvals:
    database: Database
    queue: TurnQueue

    def page(
        self,
        user_id: str,
        limit: int,
        cursor: str | None,
        session_id: UUID | None,
        statuses: Sequence[ApprovalStatus] | None,
    ) -> Page[ToolApproval]:
        """Newest first."""
        parameters = {
            "session_id": session_id,
            "statuses": list(statuses) if statuses else None,
            "before": decode_cursor(cursor),
            "limit": limit + 1,
        }
        rows = self.database.run(queries.list_approvals, parameters, user_id=user_id)
        return paginate(msgspec.convert(rows, list[ToolApproval]), limit)

    def get(self, user_id: str, approval_id: UUID) -> ToolApproval:
        rows = self.database.run(queries.find_approval, {"approval_id": approval_id}, user_id=user_id)
        return msgspec.convert(store.found(rows[0] if rows else None, "approval"), ToolApproval)

    def decide(self, user_id: str, approval_id: UUID, decision: Decision, *, remember: bool) -> ToolApproval:
        """The turn goes on once nothing that it asked is open. `remember`: for every later call of the tool.

        Raises `ConflictError` where something else was decided before; the same again changes nothing.
        """
        parameters = {"approval_id": approval_id, "status": decision, "remember": remember}
        with self.database.transaction(user_id) as tx:
            told = store.found(tx.execute(queries.decide_approval, parameters).fetchone(), "approval")
            row = tx.execute(queries.find_approval, parameters).fetchone()
            approval = msgspec.convert(row, ToolApproval)
            waiting = tx.execute(queries.waiting_turns, {"session_id": approval.session_id}).fetchall()
        if not told["decided"] and approval.status != decision:
            raise ConflictError(f"The call is {approval.status} already.")
        if told["resumed"]:
            send_waiting(self.queue, waiting)
        return approval


def send_waiting(queue: TurnQueue, rows: Sequence[dict[str, object]]) -> None:
    """Sends the turns of a session that are in line, in order: some of their messages were used up meanwhile."""
    again = uuid7().hex
    for row in rows:
        task = msgspec.convert({"turn_id": row["id"], **row}, TurnTask)
        try:
            send_turn(queue, task, again=again)
        except QueueUnavailableError:  # upkeep sends it within minutes
            logger.warning("turn left to upkeep", extra={"turn_id": str(task.turn_id)})
