"""A connection in a pump's hands, and what became of sending to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec


@dataclass(frozen=True, slots=True)
class Held:
    """A claimed connection. `head`: the newest seq of its user's feed when it was claimed."""

    id: str
    user_id: str
    delivered_seq: int
    live: bool
    failures: int
    head: int


class Result(msgspec.Struct, frozen=True):
    """How far a connection came from (`from_seq`, `was_live`), as `settle_connections` takes it.

    `retry_seconds`: how long it is left alone after a fault.
    """

    id: str
    from_seq: int
    was_live: bool
    seq: int
    live: bool
    failures: int = 0
    retry_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """An event as it is sent. `age`: seconds since it was written, when it was read."""

    seq: int
    content: bytes
    age: float


@dataclass(slots=True)
class Page:
    """Events of several users as they were read in one flight."""

    size: int
    frames: dict[str, list[Frame]] = field(default_factory=dict)

    def after(self, user_id: str, seq: int) -> tuple[list[Frame], bool]:
        """What follows `seq`, and whether that is all there is.

        The read brought `size` events after every held cursor: beyond the first `size` lies another cursor's page.
        """
        frames = self.frames.get(user_id, [])
        begin = _first_after(frames, seq)
        found = frames[begin : begin + self.size]
        return found, len(found) < self.size


def _first_after(frames: list[Frame], seq: int) -> int:
    low, high = 0, len(frames)
    while low < high:
        middle = (low + high) // 2
        if frames[middle].seq <= seq:
            low = middle + 1
        else:
            high = middle
    return low


@dataclass(slots=True)
class PumpReport:
    """What one run did. `lag`: seconds from the oldest event that live connections were sent to its being sent.

    `told_again`: users who have more than this run had time for, or whose connections wait after a fault.
    """

    connections: int = 0
    events: int = 0
    gone: int = 0
    faults: int = 0
    throttled: int = 0
    closed: int = 0
    flights: int = 0
    lag: float = 0.0
    told_again: int = 0


class NewsMessage(msgspec.Struct, frozen=True):
    """What stands in the queue: this user has news."""

    user_id: str


def users_of(bodies: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """The users that messages, (id, body) each, name, each once; and the ids of messages that name nobody."""
    users: dict[str, None] = {}
    unreadable = []
    for message_id, body in bodies:
        try:
            users[msgspec.json.decode(body, type=NewsMessage).user_id] = None
        except msgspec.DecodeError:
            unreadable.append(message_id)
    return list(users), unreadable
