"""/v1/documents"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from functions.api.dependencies import Cursor, IdempotencyHeader, Limit, UserId
from functions.api.schemas import ChunkList, CreateDocuments, DocumentPage, NewDocuments
from spandrel import wiring
from spandrel.idempotency.key import IdempotencyKey
from spandrel.knowledge.models import Document, DocumentStatus, Link, UploadForm
from spandrel.knowledge.store import NewFile
from spandrel.pagination import fitting

router = APIRouter(prefix="/documents", tags=["documents"])


@router.post("", status_code=201, operation_id="create_documents")
async def create(body: CreateDocuments, user_id: UserId, idempotency_key: IdempotencyHeader = None) -> NewDocuments:
    """Announces up to 100 files and gives an upload form for each: send the file with the form's fields by POST."""
    asked = body.model_dump(mode="json")
    key = IdempotencyKey.of(user_id, idempotency_key, "create_documents", asked) if idempotency_key else None
    files = [NewFile(file.name, file.content_type, dict(file.attributes)) for file in body.files]
    return NewDocuments(items=wiring.documents().create(user_id, body.collection_id, files, key))


@router.get("", operation_id="list_documents")
async def list_(
    user_id: UserId,
    limit: Limit = 20,
    cursor: Cursor = None,
    collection_id: UUID | None = None,
    status: Annotated[list[DocumentStatus] | None, Query(description="Repeat it for several.")] = None,
) -> DocumentPage:
    """Your documents, newest first."""
    page = wiring.documents().page(user_id, limit, cursor, collection_id, status)
    return DocumentPage(items=page.items, next_cursor=page.next_cursor)


@router.get("/{document_id}", operation_id="get_document")
async def get(document_id: UUID, user_id: UserId) -> Document:
    """Status, a stamp for each stage, and where it failed the code and what to do."""
    return wiring.documents().get(user_id, document_id)


@router.get("/{document_id}/chunks", operation_id="list_document_chunks")
async def chunks(
    document_id: UUID,
    user_id: UserId,
    from_ordinal: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Limit = 20,
) -> ChunkList:
    """The live version's text in order, so that a hit can be shown in its place. A page of long chunks holds fewer than
    `limit`.
    """
    found = wiring.documents().chunks(user_id, document_id, from_ordinal, limit + 1)
    items = fitting(found, limit)
    return ChunkList(items=items, next_ordinal=found[len(items)].ordinal if len(found) > len(items) else None)


@router.post("/{document_id}/upload", operation_id="upload_new_version")
async def upload(document_id: UUID, user_id: UserId) -> UploadForm:
    """A form for a new version of the file. Only chunks whose content changed are embedded again."""
    return wiring.documents().upload(user_id, document_id)


@router.get("/{document_id}/download", operation_id="download_document")
async def download(document_id: UUID, user_id: UserId) -> Link:
    return wiring.documents().download(user_id, document_id)


@router.post("/{document_id}/retry", status_code=202, operation_id="retry_document")
async def retry(document_id: UUID, user_id: UserId) -> Document:
    """Queues a failed document again."""
    return wiring.documents().retry(user_id, document_id)


@router.delete("/{document_id}", status_code=204, operation_id="delete_document")
async def delete(document_id: UUID, user_id: UserId) -> None:
    """Removes chunks, vectors and the file."""
    wiring.documents().delete(user_id, document_id)
