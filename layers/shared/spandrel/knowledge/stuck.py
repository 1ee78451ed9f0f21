"""Documents that nobody works on any more, though they are not done: queued again, or their deletion finished."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from spandrel.database import Database
from spandrel.errors import NotFoundError
from spandrel.knowledge.documents import delete_document
from spandrel.knowledge.ingest.notifications import retry_message
from spandrel.knowledge.ports import ObjectStore, Queue
from spandrel.knowledge.store import queries


@dataclass(frozen=True, slots=True)
class StuckReport:
    """What one run did."""

    requeued: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class FreeStuck:
    database: Database
    objects: ObjectStore
    queue: Queue

    def run(self, seconds: float) -> StuckReport:
        """Safe beside itself: every row that it touches is claimed. Deletions stop after `seconds`."""
        deadline = time.monotonic() + seconds
        lost = self.database.run(queries.requeue_lost)
        for row in lost:
            self.queue.send(retry_message(row["id"]))
        deleted = 0
        for row in self.database.run(queries.half_deleted_documents):
            if time.monotonic() >= deadline:
                break
            with suppress(NotFoundError):  # somebody else was faster
                delete_document(self.database, self.objects, row["id"], None)
            deleted += 1
        return StuckReport(len(lost), deleted)
