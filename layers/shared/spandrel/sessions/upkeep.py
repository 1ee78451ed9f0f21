"""What a schedule does for sessions: turns that lost their worker or their message, and sessions that nobody uses."""

from __future__ import annotations

from dataclasses import dataclass

from spandrel.database import Database
from spandrel.ids import uuid7
from spandrel.sessions.approvals import send_waiting
from spandrel.sessions.messages import TurnTask, send_turn
from spandrel.sessions.ports import TurnQueue
from spandrel.sessions.store import queries

ATTEMPTS = 3
"""Workers that may die over a turn before it fails."""
BATCH = 100


@dataclass(frozen=True, slots=True)
class RecoveredTurns:
    """`failed`: after `ATTEMPTS` workers, or cancelled meanwhile."""

    requeued: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class SessionUpkeep:
    """Safe beside itself: every row that it touches is claimed."""

    database: Database
    queue: TurnQueue

    def recover_turns(self) -> RecoveredTurns:
        recovered = self.database.run(queries.recover_turns, {"attempts": ATTEMPTS, "limit": BATCH})
        waiting = [row for row in recovered if row["outcome"] == "queued"]
        for row in waiting:
            task = TurnTask(
                turn_id=row["id"], session_id=row["session_id"], user_id=row["user_id"], attempt=row["attempt"]
            )
            send_turn(self.queue, task, again=uuid7().hex)
        return RecoveredTurns(len(waiting), len(recovered) - len(waiting))

    def expire_sessions(self) -> int:
        """How many sessions ended that nobody had used for as long as they allow."""
        return int(self.database.run(queries.expire_sessions, {"limit": BATCH})[0]["expired"])

    def expire_approvals(self) -> int:
        """How many tool calls nobody answered for in time. Their turns go on without."""
        unanswered = self.database.run(queries.expire_approvals, {"limit": BATCH})
        for row in unanswered:
            send_waiting(self.queue, self.database.run(queries.waiting_turns, {"session_id": row["session_id"]}))
        return len(unanswered)
