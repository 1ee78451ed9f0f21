"""/v1/collections"""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from functions.api.dependencies import Cursor, IdempotencyHeader, Limit, UserId
from functions.api.schemas import CollectionPage, CreateCollection, RenameCollection
from spandrel import wiring
from spandrel.idempotency.key import IdempotencyKey
from spandrel.knowledge.models import Collection
from spandrel.knowledge.store import NewCollection

router = APIRouter(prefix="/collections", tags=["collections"])


@router.post("", status_code=201, operation_id="create_collection")
async def create(body: CreateCollection, user_id: UserId, idempotency_key: IdempotencyHeader = None) -> Collection:
    """Creates a collection. Its name is unique among yours."""
    asked = body.model_dump()
    key = IdempotencyKey.of(user_id, idempotency_key, "create_collection", asked) if idempotency_key else None
    return wiring.collections().create(user_id, NewCollection(**asked), key)


@router.get("", operation_id="list_collections")
async def list_(user_id: UserId, limit: Limit = 20, cursor: Cursor = None) -> CollectionPage:
    """Your collections, newest first."""
    page = wiring.collections().page(user_id, limit, cursor)
    return CollectionPage(items=page.items, next_cursor=page.next_cursor)


@router.get("/{collection_id}", operation_id="get_collection")
async def get(collection_id: UUID, user_id: UserId) -> Collection:
    return wiring.collections().get(user_id, collection_id)


@router.patch("/{collection_id}", operation_id="rename_collection")
async def rename(collection_id: UUID, body: RenameCollection, user_id: UserId) -> Collection:
    return wiring.collections().rename(user_id, collection_id, body.name)


@router.delete("/{collection_id}", status_code=204, operation_id="delete_collection")
async def delete(collection_id: UUID, user_id: UserId) -> None:
    """Deletes the collection with all its documents. It is gone at once; files and vectors follow in the background."""
    wiring.collections().delete(user_id, collection_id)
