"""What the live feed needs from outside."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple, Protocol


class News(Protocol):
    """Tells the pump which users have something to be sent. Word may be lost or come twice: the feed itself is in the
    database, and the next word or the sweep repairs it.
    """

    def tell(self, user_ids: Iterable[str]) -> None: ...


class Farewell(Protocol):
    """Closes a connection and says why. Never raises: a connection that is gone already needs neither."""

    def close(self, connection_id: str, frame: bytes) -> None: ...


class Reminders(Protocol):
    """The same word, some seconds later. Raises `QueueUnavailableError`."""

    def remind(self, user_ids: Iterable[str], delay_seconds: float) -> None: ...


class Delivery(StrEnum):
    """What became of a frame on its way to a connection."""

    SENT = "sent"
    GONE = "gone"  # the connection is closed for good
    THROTTLED = "throttled"  # the gateway's quota is used up
    FAILED = "failed"  # anything else: it may or may not have arrived


class Posted(NamedTuple):
    """`retry_after`: seconds that the gateway asked to wait, where it did."""

    delivery: Delivery
    retry_after: float | None = None


class Gateway(Protocol):
    """The management API of WebSocket connections. Its faults are a `Delivery`, never an exception."""

    async def post(self, connection_id: str, frame: bytes, *, timeout: float) -> Posted:
        """Sends one frame, within `timeout` seconds of its being due (see the quota's token bucket)."""
        ...

    async def disconnect(self, connection_id: str, *, timeout: float) -> Posted:
        """Closes a connection; the client notices at once."""
        ...

    def close(self) -> None:
        """Gives its own connections up."""
        ...
