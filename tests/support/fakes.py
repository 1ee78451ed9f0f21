"""Fakes of the knowledge feature's ports. Each passes the contract suite that its real adapter passes."""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from spandrel.errors import DocumentTooLargeError, NotFoundError, StorageUnavailableError
from spandrel.knowledge.models import Link, UploadForm
from spandrel.knowledge.ports import Embedded
from spandrel.vectors import HalfVector
from tests.support.postgres import DIMENSIONS, MODEL


def bag_of_words(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A unit vector in which equal words point the same way."""
    values = [0.0] * dimensions
    for word in text.lower().split():
        digest = zlib.crc32(word.encode())
        values[digest % dimensions] += 1.0 if digest >> 16 & 1 else -1.0
    length = math.sqrt(sum(value * value for value in values))
    if not length:
        values[0] = length = 1.0
    return [value / length for value in values]


class FakeEmbedder:
    """Bag of words. `failures` are raised, one a call, before it works again; `texts` is what was paid for."""

    def __init__(self, model: str = MODEL, dimensions: int = DIMENSIONS) -> None:
        self.model, self.dimensions = model, dimensions
        self.failures: deque[Exception] = deque()
        self.calls: list[list[str]] = []
        self.during: Callable[[], None] = lambda: None

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call]

    def embed(self, texts: Sequence[str]) -> Embedded:
        self.during()
        if self.failures:
            raise self.failures.popleft()
        self.calls.append(list(texts))
        vectors = [HalfVector.from_floats(bag_of_words(text, self.dimensions)) for text in texts]
        return Embedded(vectors, sum(len(text.split()) for text in texts))


@dataclass(frozen=True, slots=True)
class _Stored:
    version_id: str
    data: bytes


class FakeObjectStore:
    """Versioned objects in memory. `put` gives the detail of the event that S3 would send."""

    def __init__(self, max_bytes: int = 1 << 20) -> None:
        self.max_bytes = max_bytes
        self.objects: dict[str, list[_Stored]] = {}
        self.broken = False
        self._sequence = count(1)

    def put(self, key: str, data: bytes) -> dict[str, Any]:
        stored = _Stored(uuid4().hex, data)
        self.objects.setdefault(key, []).append(stored)
        return {
            "bucket": {"name": "documents"},
            "object": {
                "key": key,
                "size": len(data),
                "etag": uuid4().hex,
                "version-id": stored.version_id,
                "sequencer": f"{next(self._sequence):016X}",
            },
        }

    def presign_upload(self, key: str, content_type: str | None) -> UploadForm:
        self._check()
        fields = {"key": key} | ({"Content-Type": content_type} if content_type else {})
        return UploadForm("https://memory.example/", fields, datetime.now(UTC) + timedelta(minutes=15), self.max_bytes)

    def presign_download(self, key: str, name: str) -> Link:
        self._check()
        return Link(f"https://memory.example/{key}", datetime.now(UTC) + timedelta(minutes=15))

    def read(self, key: str, version_id: str | None) -> bytes:
        self._check()
        versions = self.objects.get(key, [])
        if version_id is not None:
            versions = [each for each in versions if each.version_id == version_id]
        if not versions:
            raise NotFoundError("The uploaded object is gone from the bucket.")
        if len(versions[-1].data) > self.max_bytes:
            raise DocumentTooLargeError
        return versions[-1].data

    def delete(self, keys: Sequence[str]) -> None:
        self._check()
        for key in keys:
            self.objects.pop(key, None)

    def keys(self, prefix: str, after: str, limit: int) -> list[str]:
        self._check()
        return sorted(key for key in self.objects if key.startswith(prefix) and key > after)[:limit]

    def _check(self) -> None:
        if self.broken:
            raise StorageUnavailableError


class FakeQueue:
    """Messages in memory, with the delay that each was sent with."""

    def __init__(self) -> None:
        self.messages: deque[dict[str, Any]] = deque()
        self.delays: list[float] = []
        self.broken = False

    def send(self, body: dict[str, Any], delay_seconds: float = 0) -> None:
        if self.broken:
            raise StorageUnavailableError
        self.messages.append(body)
        self.delays.append(min(int(delay_seconds), 900))
