"""Collections: what a user groups documents by, and what a search is limited to."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from spandrel.database import Database
from spandrel.errors import NotFoundError, StorageUnavailableError
from spandrel.idempotency.key import IdempotencyKey
from spandrel.knowledge import store
from spandrel.knowledge.ingest.notifications import purge_message
from spandrel.knowledge.models import Collection
from spandrel.knowledge.ports import Queue
from spandrel.knowledge.store import NewCollection, queries
from spandrel.observability import logger
from spandrel.pagination import Page, decode_cursor, paginate


@dataclass(frozen=True, slots=True)
class Collections:
    database: Database
    queue: Queue

    def create(self, user_id: str, new: NewCollection, key: IdempotencyKey | None = None) -> Collection:
        """Raises `NameTakenError`. A repeated `key` gives the collection that it made, as it is now."""
        with self.database.transaction(user_id) as tx:
            if key and (made := key.claim(tx)):
                return store.find_collection(tx, UUID(made["id"]))
            collection = store.insert_collection(tx, user_id, new)
            if key:
                key.store(tx, {"id": str(collection.id)})
        return collection

    def page(self, user_id: str, limit: int, cursor: str | None) -> Page[Collection]:
        parameters = {"before": decode_cursor(cursor), "limit": limit + 1}
        return paginate(
            self.database.run(queries.list_collections, parameters, user_id=user_id, into=Collection), limit
        )

    def get(self, user_id: str, collection_id: UUID) -> Collection:
        with self.database.transaction(user_id) as tx:
            return store.find_collection(tx, collection_id)

    def rename(self, user_id: str, collection_id: UUID, name: str) -> Collection:
        with self.database.transaction(user_id) as tx:
            return store.rename_collection(tx, collection_id, name)

    def delete(self, user_id: str, collection_id: UUID) -> None:
        """Gone at once for every request; documents, vectors and objects follow in the background."""
        if not self.database.run(queries.delete_collection, {"collection_id": collection_id}, user_id=user_id):
            raise NotFoundError("There is no such collection, or it is not yours.")
        try:
            self.queue.send(purge_message(collection_id))
        except StorageUnavailableError:
            # Upkeep finds deleted collections by itself; the owner's request is done.
            logger.warning("purge left to upkeep", extra={"collection_id": str(collection_id)})
