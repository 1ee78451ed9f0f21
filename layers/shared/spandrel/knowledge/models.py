"""What the knowledge feature speaks of. Times are aware datetimes, sizes bytes, counts of the live version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

DocumentStatus = Literal["awaiting_upload", "queued", "parsing", "chunking", "embedding", "ready", "failed", "deleting"]
DOCUMENT_STATUSES: tuple[DocumentStatus, ...] = get_args(DocumentStatus)


@dataclass(frozen=True, slots=True)
class Collection:
    """`chunk_size` and `chunk_overlap` in tokens; `language` decides stemming and stop words."""

    id: UUID
    name: str
    language: str
    chunk_size: int
    chunk_overlap: int
    document_count: int
    chunk_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Fault:
    """Why something failed: a stable code, and a sentence that says what to do."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Stages:
    """When the newest upload entered each stage."""

    queued_at: datetime | None
    parsing_at: datetime | None
    chunking_at: datetime | None
    embedding_at: datetime | None
    ready_at: datetime | None
    failed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Document:
    """`version` counts what became searchable; 0: nothing yet. A failed re-upload leaves the version before it live."""

    id: UUID
    collection_id: UUID
    name: str
    content_type: str | None
    size_bytes: int | None
    attributes: dict[str, Any]
    status: DocumentStatus
    error: Fault | None
    stages: Stages
    version: int
    chunk_count: int
    token_count: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Document:
        stages = Stages(**{name: row.pop(name) for name in Stages.__dataclass_fields__})
        code, message = row.pop("error_code"), row.pop("error_message")
        return cls(**row, stages=stages, error=Fault(code, message) if code else None)


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A live chunk with its place in the document's text: character offsets, heading path, page (PDF, from 1)."""

    ordinal: int
    text: str
    start_offset: int
    end_offset: int
    heading_path: list[str]
    page: int | None
    token_count: int


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A presigned POST (S3): send `fields` and, last, the file as multipart/form-data to `url` before `expires_at`."""

    url: str
    fields: dict[str, str]
    expires_at: datetime
    max_bytes: int


@dataclass(frozen=True, slots=True)
class NewDocument:
    document: Document
    upload: UploadForm


@dataclass(frozen=True, slots=True)
class Link:
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class S3Object:
    """One state of one key. `sequencer` is left-padded, so that text order is the order of the writes."""

    key: str
    version_id: str | None
    etag: str | None
    size: int | None
    sequencer: str


def object_key(document_id: UUID) -> str:
    """Where a document's file is. The key names nothing else: no user, no file name, so it never needs escaping."""
    return f"documents/{document_id}"
