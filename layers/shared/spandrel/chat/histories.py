"""What a warm worker still knows of the sessions that it worked on, so that a claim need not tell it all again."""

from __future__ import annotations

from bisect import bisect_right
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
        known, history, size = self._drop(task), work.history, _size(work.history)
        if known and known.branch_id == work.branch_id and known.ordinal == work.history_after:
            summarised = work.summary.ordinal if work.summary else 0
            begin = bisect_right(known.messages, summarised, key=lambda message: message.ordinal)
            history = known.messages[begin:] + history
            size += known.size - _size(known.messages[:begin])
        if history and size <= self.size:
            self._keep(task, Line(work.branch_id, history, size))
        return msgspec.structs.replace(work, history=history)

    def _drop(self, task: TurnTask) -> Line | None:
        line = self._lines.pop((task.user_id, task.session_id), None)
        self._held -= line.size if line else 0
        return line

    def _keep(self, task: TurnTask, line: Line) -> None:
        self._lines[task.user_id, task.session_id] = line
        self._held += line.size
        while self._held > self.size:
            _, oldest = self._lines.popitem(last=False)
            self._held -= oldest.size


def _size(messages: list[PastMessage]) -> int:
    calls = sum(len(msgspec.json.encode(message.tool_calls)) for message in messages if message.tool_calls)
    return calls + sum(MESSAGE_SIZE + len(message.content) for message in messages)
