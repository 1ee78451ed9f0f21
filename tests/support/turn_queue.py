"""A FIFO queue in memory: in order within a group, once for each deduplication id."""

from __future__ import annotations

from typing import Any

from spandrel.errors import QueueUnavailableError


class FakeTurnQueue:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.groups: list[str] = []
        self.broken = False
        self._seen: set[str] = set()

    def send(self, body: dict[str, Any], *, group: str, deduplication_id: str) -> None:
        if self.broken:
            raise QueueUnavailableError
        if deduplication_id not in self._seen:
            self._seen.add(deduplication_id)
            self.messages.append(body)
            self.groups.append(group)
