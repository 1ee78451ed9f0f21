"""The queue message of a turn."""

from __future__ import annotations

from uuid import UUID

import msgspec

from spandrel.sessions.ports import TurnQueue


class TurnTask(msgspec.Struct, frozen=True, kw_only=True):
    """Names a turn and whose it is. What is to be done lies in the database."""

    turn_id: UUID
    session_id: UUID
    user_id: str
    attempt: int = 0


def send_turn(queue: TurnQueue, task: TurnTask, *, again: str = "") -> None:
    """One group a session keeps its turns in order.

    `again` tells a repetition from the message that may be lost or still held by a dead worker: it goes in a group of
    its own, past that one, and the claim keeps the order.
    """
    group = f"{task.session_id}:{again}" if again else str(task.session_id)
    queue.send(msgspec.to_builtins(task), group=group, deduplication_id=f"{task.turn_id}:{task.attempt}:{again}")
