"""What the sessions feature needs from outside."""

from __future__ import annotations

from typing import Any, Protocol


class TurnQueue(Protocol):
    """Messages to the turn worker: in order within a group, once for each deduplication id. Raises
    `QueueUnavailableError`.
    """

    def send(self, body: dict[str, Any], *, group: str, deduplication_id: str) -> None: ...
