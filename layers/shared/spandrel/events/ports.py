"""What the live feed needs from outside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class News(Protocol):
    """Tells the pump which users have something to be sent. Word may be lost or come twice: the feed itself is in the
    database, and the next word or the sweep repairs it.
    """

    def tell(self, user_ids: Iterable[str]) -> None: ...


class Farewell(Protocol):
    """Closes a connection and says why. Never raises: a connection that is gone already needs neither."""

    def close(self, connection_id: str, frame: bytes) -> None: ...
