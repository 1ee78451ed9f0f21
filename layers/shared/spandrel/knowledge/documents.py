"""Documents: uploads that the browser sends straight to S3, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from spandrel.database import Database
from spandrel.errors import ConflictError, NotFoundError
from spandrel.idempotency.key import IdempotencyKey
from spandrel.knowledge import store
from spandrel.knowledge.ingest.notifications import retry_message
from spandrel.knowledge.models import Document, DocumentStatus, Link, NewDocument, StoredChunk, UploadForm, object_key
from spandrel.knowledge.ports import ObjectStore, Queue
from spandrel.knowledge.store import NewFile, queries
from spandrel.pagination import Page, decode_cursor, paginate


@dataclass(frozen=True, slots=True)
class Documents:
    database: Database
    objects: ObjectStore
    queue: Queue

    def create(
        self, user_id: str, collection_id: UUID, files: Sequence[NewFile], key: IdempotencyKey | None = None
    ) -> list[NewDocument]:
        """A document and an upload form a file, all or none. A repeated `key` gives the same documents, with fresh
        forms.
        """
        with self.database.transaction(user_id) as tx:
            if key and (made := key.claim(tx)):
                documents = store.find_documents(tx, [UUID(each) for each in made["ids"]])
            else:
                documents = [store.insert_document(tx, user_id, collection_id, file) for file in files]
                if key:
                    key.store(tx, {"ids": [str(document.id) for document in documents]})
        return [NewDocument(document, self._form(document)) for document in documents]

    def page(
        self,
        user_id: str,
        limit: int,
        cursor: str | None,
        collection_id: UUID | None,
        statuses: Sequence[DocumentStatus] | None,
    ) -> Page[Document]:
        """Newest first."""
        parameters = {
            "collection_id": collection_id,
            "statuses": list(statuses) if statuses else None,
            "before": decode_cursor(cursor),
            "limit": limit + 1,
        }
        rows = self.database.run(queries.list_documents, parameters, user_id=user_id)
        return paginate([Document.from_row(row) for row in rows], limit)

    def get(self, user_id: str, document_id: UUID) -> Document:
        with self.database.transaction(user_id) as tx:
            return store.find_documents(tx, [document_id])[0]

    def chunks(self, user_id: str, document_id: UUID, from_ordinal: int, limit: int) -> list[StoredChunk]:
        """The live version's chunks in order, so that a hit can be shown in its place."""
        with self.database.transaction(user_id) as tx:
            store.find_documents(tx, [document_id])
            parameters = {"document_id": document_id, "from_ordinal": from_ordinal, "limit": limit}
            return tx.execute(queries.list_chunks, parameters, into=StoredChunk).fetchall()

    def upload(self, user_id: str, document_id: UUID) -> UploadForm:
        """A form for a new version of the file. The live version is found until the new one is ready."""
        document = self.get(user_id, document_id)
        if document.status == "deleting":
            raise ConflictError("The document is being deleted.")
        return self._form(document)

    def download(self, user_id: str, document_id: UUID) -> Link:
        document = self.get(user_id, document_id)
        if document.status == "awaiting_upload":
            raise ConflictError("The document has not been uploaded yet.")
        return self.objects.presign_download(object_key(document_id), document.name)

    def retry(self, user_id: str, document_id: UUID) -> Document:
        """Queues a failed document again. Raises `ConflictError` for one that did not fail or was never uploaded."""
        with self.database.transaction(user_id) as tx:
            [document] = store.find_documents(tx, [document_id])
            if tx.execute(queries.retry_document, {"document_id": document_id}).fetchone() is None:
                raise ConflictError(f"Only a failed document can be retried; this one is {document.status}.")
            [document] = store.find_documents(tx, [document_id])
        # Should this fail, the document is queued and upkeep sends the message.
        self.queue.send(retry_message(document_id))
        return document

    def delete(self, user_id: str, document_id: UUID) -> None:
        """Chunks and vectors, then the object, then the row. Repeat it if it failed half way: it goes on from there."""
        delete_document(self.database, self.objects, document_id, user_id)

    def _form(self, document: Document) -> UploadForm:
        return self.objects.presign_upload(object_key(document.id), document.content_type)


def delete_document(database: Database, objects: ObjectStore, document_id: UUID, user_id: str | None) -> None:
    """Deletes in the scope of `user_id`, or for the system role with None. Raises `NotFoundError`."""
    parameters = {"document_id": document_id}
    with database.transaction(user_id) as tx:
        # The chunks first: their counts lock the collection, and the event's lock is held the shortest.
        tx.execute(queries.lock_document, parameters)
        tx.execute(queries.remove_chunks, parameters)
        begun = tx.execute(queries.begin_delete_document, parameters)
    if begun.fetchone() is None:
        raise NotFoundError("There is no such document, or it is not yours.")
    objects.delete([object_key(document_id)])
    database.run(queries.finish_delete_document, parameters, user_id=user_id)
