"""What the knowledge feature needs from outside. Adapters implement it; tests bring fakes held to the same contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from spandrel.knowledge.models import Link, UploadForm
from spandrel.vectors import HalfVector


class Embedded(NamedTuple):
    """`tokens`: what the provider counted, and charges."""

    vectors: list[HalfVector]
    tokens: int


class Embedder(Protocol):
    """Texts to vectors. Raises `EmbeddingUnavailableError` (worth another try) or `EmbeddingRejectedError`."""

    model: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Embedded: ...


class ObjectStore(Protocol):
    """Uploaded files by key. Raises `StorageUnavailableError`; `read` also `NotFoundError`, `DocumentTooLargeError`."""

    def presign_upload(self, key: str, content_type: str | None) -> UploadForm: ...

    def presign_download(self, key: str, name: str) -> Link: ...

    def read(self, key: str, version_id: str | None) -> bytes: ...

    def delete(self, keys: Sequence[str]) -> None: ...

    def keys(self, prefix: str, after: str, limit: int) -> list[str]:
        """At most `limit` keys that begin with `prefix` and come after `after`, in order of their bytes."""
        ...


class Queue(Protocol):
    """Messages to the ingest function. Raises `StorageUnavailableError`."""

    def send(self, body: dict[str, Any], delay_seconds: float = 0) -> None: ...
