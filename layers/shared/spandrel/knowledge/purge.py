"""Purge: a deleted collection's documents go, object by object, and then the collection itself."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from spandrel.database import Database
from spandrel.errors import NotFoundError
from spandrel.knowledge.documents import delete_document
from spandrel.knowledge.ingest.models import PurgeTask
from spandrel.knowledge.ports import ObjectStore
from spandrel.knowledge.store import queries

BATCH = 100


@dataclass(frozen=True, slots=True)
class Purge:
    database: Database
    objects: ObjectStore

    def run(self, task: PurgeTask) -> int:
        """The number of documents removed. Can be killed at any point and run again."""
        removed = 0
        parameters = {"collection_id": task.collection_id, "limit": BATCH}
        while rows := self.database.run(queries.purge_batch, parameters):
            for row in rows:
                with suppress(NotFoundError):  # somebody else was faster
                    delete_document(self.database, self.objects, row["id"], None)
                removed += 1
        with self.database.transaction() as tx:
            tx.execute(queries.purge_collection, {"collection_id": task.collection_id})
        return removed
