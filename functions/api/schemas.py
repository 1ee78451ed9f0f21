"""Request bodies, and names for what is answered. Everything else in the contract is the domain's own types."""

from __future__ import annotations

import math
import unicodedata
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from spandrel.knowledge.models import Collection, Document, NewDocument, StoredChunk
from spandrel.knowledge.stopwords import LANGUAGES

MAX_ATTRIBUTES_BYTES = 8192


def _named(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return _storable(value)


def _storable(value: str) -> str:
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in value):
        raise ValueError("control characters and lone surrogates are not allowed")
    return value


def storable_text(value: str) -> None:
    """What `jsonb` holds: everything but these, line breaks among it."""
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("NUL and lone surrogates are not allowed")


def _known_language(value: str) -> str:
    if value not in LANGUAGES:
        raise ValueError(f"must be one of {', '.join(LANGUAGES)}")
    return value


def _storable_json(value: Any, depth: int = 0) -> None:
    if depth > 4:
        raise ValueError("attributes may be nested four deep")
    match value:
        case str():
            storable_text(value)
        case float() if not math.isfinite(value):
            raise ValueError("numbers must be finite")
        case dict():
            for key, item in value.items():
                storable_text(key)
                _storable_json(item, depth + 1)
        case list():
            for item in value:
                _storable_json(item, depth + 1)


def _attributes(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    import msgspec

    _storable_json(value)
    if len(msgspec.json.encode(value)) > MAX_ATTRIBUTES_BYTES:
        raise ValueError(f"attributes may take {MAX_ATTRIBUTES_BYTES} bytes as JSON")
    return value


# What `_named` lets pass, for those who read the contract; the sentence says more than a pattern that does not match.
_NAMED: dict[str, Any] = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"}
Name = Annotated[str, Field(min_length=1, max_length=200, json_schema_extra=_NAMED), AfterValidator(_named)]
FileName = Annotated[str, Field(min_length=1, max_length=1024, json_schema_extra=_NAMED), AfterValidator(_named)]
Language = Annotated[str, Field(json_schema_extra={"enum": list(LANGUAGES)}), AfterValidator(_known_language)]
ContentType = Annotated[str, Field(max_length=255, pattern=r"^[\w.+-]+/[\w.+-]+$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CreateCollection(Body):
    """`chunk_size` and `chunk_overlap` in tokens; `language` decides stemming and stop words. All three stay as they
    are.
    """

    name: Name
    language: Language = "english"
    chunk_size: Annotated[int, Field(ge=50, le=2000)] = 400
    chunk_overlap: Annotated[int, Field(ge=0, le=1000)] = 60

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if self.chunk_overlap > self.chunk_size // 2:
            raise ValueError("chunk_overlap may be half of chunk_size at most")
        return self


class RenameCollection(Body):
    name: Name


class File(Body):
    """A file about to be uploaded. `attributes` are what searches can filter by."""

    name: FileName
    content_type: ContentType | None = None
    attributes: Annotated[dict[str, JsonValue], AfterValidator(_attributes)] = Field(default_factory=dict)


class CreateDocuments(Body):
    collection_id: UUID
    files: Annotated[list[File], Field(min_length=1, max_length=100)]


class CollectionPage(BaseModel):
    items: list[Collection]
    next_cursor: str | None


class DocumentPage(BaseModel):
    items: list[Document]
    next_cursor: str | None


class NewDocuments(BaseModel):
    """In the order of the request's files."""

    items: list[NewDocument]


class ChunkList(BaseModel):
    """`next_ordinal` None: there are no further chunks."""

    items: list[StoredChunk]
    next_ordinal: int | None


class Health(BaseModel):
    """`schema_version`: of the database; the function serves only if it knows it."""

    status: str
    version: str
    schema_version: int


class Problem(BaseModel):
    """RFC 9457. `code` is stable; text is for people."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None
