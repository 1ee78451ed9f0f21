"""What a warm worker still knows of the sessions that it worked on, so that a claim need not tell it all again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from spandrel.chat.work import PastMessage, Work
from spandrel.sessions.messages import TurnTask

MESSAGE_SIZE = 300
"""What a message takes beside its text, in characters."""


@dataclass(frozen=True, slots=True)
class Line:
    """The messages of a branch's line that a worker was told of, in order; of no use for any other branch.

    A line is append-only and its summary only ever moves on, so what was read once holds for good.
    """

    branch_id: UUID
    messages: list[PastMessage]
    size: int

    @property
    def ordinal(self) -> int:
        """Of the newest message."""
        return self.messages[-1].ordinal


@dataclass(slots=True)
class Histories:
    """The lines of the sessions last worked on, of at most `size` characters in all.

    Kept is what the database told, not what was written there: it may tell the keys of a tool call in another order,
    and what a model is sent must not depend on which worker it is that sends it.
    """

    size: int = 8_000_000
    _lines: OrderedDict[tuple[str, UUID], Line] = field(default_factory=OrderedDict)
    _held: int = 0

    def known(self, task: TurnTask) -> Line | None:
        """Of the task's session."""
        return self._lines.get((task.user_id, task.session_id))

    def completed(self, task: TurnTask, work: Work) -> Work:
        """`work`, claimed by what is known, with its whole history; that is kept for the session's next turn."""
        known, history = self._drop(task), work.history
        if known and known.branch_id == work.branch_id and known.ordinal == work.history_after:
            summarised = work.summary.ordinal if work.summary else 0
            history = [message for message in known.messages if message.ordinal > summarised] + history
        self._keep(task, work.branch_id, history)
        return msgspec.structs.replace(work, history=history)

    def _drop(self, task: TurnTask) -> Line | None:
        line = self._lines.pop((task.user_id, task.session_id), None)
        self._held -= line.size if line else 0
        return line

    def _keep(self, task: TurnTask, branch_id: UUID, messages: list[PastMessage]) -> None:
        size = sum(map(_size, messages))
        if not messages or size > self.size:
            return
        self._lines[task.user_id, task.session_id] = Line(branch_id, messages, size)
        self._held += size
        while self._held > self.size:
            _, oldest = self._lines.popitem(last=False)
            self._held -= oldest.size


def _size(message: PastMessage) -> int:
    calls = len(msgspec.json.encode(message.tool_calls)) if message.tool_calls else 0
    return MESSAGE_SIZE + len(message.content) + calls
