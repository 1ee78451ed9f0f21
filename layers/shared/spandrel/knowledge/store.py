"""The SQL of collections and documents, run on an open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from psycopg.errors import DeadlockDetected, UniqueViolation
from psycopg.types.json import Jsonb

from spandrel.database import Transaction
from spandrel.errors import NameTakenError, NotFoundError
from spandrel.knowledge.models import Collection, Document
from spandrel.sql import Queries

queries = Queries.beside(__file__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewCollection:
    """`chunk_size` 50-2000 tokens, `chunk_overlap` at most half of it; `language` one of `stopwords.LANGUAGES`."""

    name: str
    language: str = "english"
    chunk_size: int = 400
    chunk_overlap: int = 60


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file about to be uploaded. `attributes` are what searches can filter by."""

    name: str
    content_type: str | None
    attributes: dict[str, Any]


def insert_collection(tx: Transaction, user_id: str, new: NewCollection) -> Collection:
    parameters = {
        "user_id": user_id,
        "name": new.name,
        "language": new.language,
        "chunk_size": new.chunk_size,
        "chunk_overlap": new.chunk_overlap,
    }
    return _named(tx, queries.create_collection, parameters)


def rename_collection(tx: Transaction, collection_id: UUID, name: str) -> Collection:
    return _named(tx, queries.rename_collection, {"collection_id": collection_id, "name": name})


def _named(tx: Transaction, query: bytes, parameters: dict[str, Any]) -> Collection:
    try:
        row: Collection | None = tx.execute(query, parameters, into=Collection).fetchone()
    except (UniqueViolation, DeadlockDetected) as error:  # two renames, each to the name that the other gives up
        raise NameTakenError(f'You have a collection named "{parameters["name"]}" already.') from error
    return _found(row, "collection")


def find_collection(tx: Transaction, collection_id: UUID) -> Collection:
    cursor = tx.execute(queries.find_collection, {"collection_id": collection_id}, into=Collection)
    row: Collection | None = cursor.fetchone()
    return _found(row, "collection")


def insert_document(tx: Transaction, user_id: str, collection_id: UUID, file: NewFile) -> Document:
    parameters = {
        "user_id": user_id,
        "collection_id": collection_id,
        "name": file.name,
        "content_type": file.content_type,
        "attributes": Jsonb(file.attributes),
    }
    return Document.from_row(_found(tx.execute(queries.create_document, parameters).fetchone(), "collection"))


def find_documents(tx: Transaction, document_ids: Sequence[UUID]) -> list[Document]:
    rows = tx.execute(queries.find_documents, {"document_ids": list(document_ids)}).fetchall()
    found = {document.id: document for document in map(Document.from_row, rows)}
    return [_found(found.get(document_id), "document") for document_id in document_ids]


def _found(row: T | None, kind: str) -> T:
    if row is None:
        raise NotFoundError(f"There is no such {kind}, or it is not yours.")
    return row
