"""The ingest use case: claim, then parse → chunk → embed, weighing meanwhile → store. Whatever happens, the document
says where it stands.

Nothing is visible before `publish` commits, so any stage can be killed and run again. Faults of the document end it
with a code; faults around it (provider, store, database) put it back in the queue without counting against it; what
nobody foresaw counts, and a document that goes through its attempts is failed rather than tried for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

from spandrel.database import Database
from spandrel.errors import (
    DatabaseUnavailableError,
    DocumentError,
    DocumentWorkerLostError,
    EmbeddingRejectedError,
    EmbeddingUnavailableError,
    NotFoundError,
    SchemaVersionError,
    SpandrelError,
    StorageUnavailableError,
)
from spandrel.knowledge.ingest.chunk import chunk
from spandrel.knowledge.ingest.embed import Patience, embedding
from spandrel.knowledge.ingest.models import Claim, IngestTask, LeaseLostError, Version
from spandrel.knowledge.ingest.notifications import retry_message, task_message
from spandrel.knowledge.ingest.parse import parse
from spandrel.knowledge.ingest.store import publish
from spandrel.knowledge.ingest.weigh import weigh_chunks
from spandrel.knowledge.models import object_key
from spandrel.knowledge.ports import Embedder, ObjectStore, Queue
from spandrel.observability import logger
from spandrel.sql import Queries
from spandrel.usage.prices import PriceTable

queries = Queries.beside(__file__)

MAX_ATTEMPTS = 5
LEASE_SECONDS = 120.0
"""Longer than any step between two renewals: the parser's limit and a request to the provider among them."""
SHORTEST_SECONDS = 75.0
"""An ingest does not begin with less: the parser alone may take 60."""
WAIT_SECONDS = 30.0
"""Before a document is tried again when something around it was not to be had."""
FIRST_RETRY_SECONDS = 5.0


class Outcome(Enum):
    READY = "ready"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    NOTHING_TO_DO = "nothing_to_do"
    QUEUED_AGAIN = "queued_again"


@dataclass(frozen=True, slots=True)
class Ingest:
    database: Database
    objects: ObjectStore
    embedder: Embedder
    queue: Queue
    prices: PriceTable = field(default_factory=PriceTable.load)
    lease_seconds: float = LEASE_SECONDS

    def run(self, task: IngestTask, patience: Patience) -> Outcome:
        """One document, to an end that its row tells. Raises only when it could not even be put back."""
        if patience.remaining() < SHORTEST_SECONDS:  # the records before it took the invocation's time
            self.queue.send(task_message(task))
            return Outcome.QUEUED_AGAIN
        try:
            claim = self._claim(task)
        except (DatabaseUnavailableError, SchemaVersionError):
            # A message given back to the queue would hide for its whole visibility timeout.
            self.queue.send(task_message(task), WAIT_SECONDS)
            return Outcome.QUEUED_AGAIN
        if isinstance(claim, Outcome):
            return claim
        try:
            if claim.attempt > MAX_ATTEMPTS:
                raise DocumentWorkerLostError
            self._process(claim, patience)
        except LeaseLostError:
            return Outcome.SUPERSEDED
        except (DocumentError, EmbeddingRejectedError, NotFoundError) as error:
            return self._fail(claim, error)
        except (
            EmbeddingUnavailableError,
            StorageUnavailableError,
            DatabaseUnavailableError,
            SchemaVersionError,
        ) as error:
            wait = getattr(error, "retry_after", None) or WAIT_SECONDS
            return self._put_back(claim.document_id, claim.owner, error.code, wait, refund=True)
        except Exception:  # noqa: BLE001 - the document must not be lost to a fault that nobody foresaw
            logger.exception("ingest failed", extra={"document_id": str(claim.document_id), "attempt": claim.attempt})
            if claim.attempt >= MAX_ATTEMPTS:
                return self._fail(claim, SpandrelError())
            wait = FIRST_RETRY_SECONDS * 2**claim.attempt
            return self._put_back(claim.document_id, claim.owner, SpandrelError.code, wait, refund=False)
        return Outcome.READY

    def _claim(self, task: IngestTask) -> Claim | Outcome:
        source, owner = task.source, uuid4()
        parameters = {
            "document_id": task.document_id,
            "owner": owner,
            "sequencer": source.sequencer if source else None,
            "version_id": source.version_id if source else None,
            "etag": source.etag if source else None,
            "size": source.size if source else None,
            "lease_seconds": self.lease_seconds,
        }
        rows = self.database.run(queries.claim_document, parameters)
        if not rows or rows[0]["doomed"]:  # deleted while the upload was under way: leave no orphan in the bucket
            self.objects.delete([object_key(task.document_id)])
            return Outcome.NOTHING_TO_DO
        row = rows[0]
        if row["busy"]:
            # Its worker may be dead; once the lease is over somebody has to look again.
            self.queue.send(retry_message(task.document_id), self.lease_seconds)
            return Outcome.QUEUED_AGAIN
        if not row["claimed"]:
            return Outcome.NOTHING_TO_DO
        if row["space_id"] is None:  # the migrations have not come to it yet
            return self._put_back(task.document_id, owner, SchemaVersionError.code, WAIT_SECONDS, refund=True)
        return _claimed(row, owner)

    def _process(self, claim: Claim, patience: Patience) -> None:
        data = self.objects.read(object_key(claim.document_id), claim.version_id)
        parsed = parse(data, name=claim.name, content_type=claim.content_type)
        self._enter(claim, "chunking")
        chunks = chunk(parsed, size=claim.chunk_size, overlap=claim.chunk_overlap)
        self._enter(claim, "embedding")
        with embedding(self.database, self.embedder, claim, chunks, self.prices) as asked:
            weighed = weigh_chunks(claim.language, chunks)  # while the provider is at work
            vectors, call = asked.vectors(patience, self.lease_seconds)
        publish(self.database, claim, Version(parsed.content_type, chunks, vectors, weighed), call)

    def _enter(self, claim: Claim, stage: str) -> None:
        parameters = {
            "document_id": claim.document_id,
            "owner": claim.owner,
            "stage": stage,
            "lease_seconds": self.lease_seconds,
        }
        if not self.database.run(queries.enter_stage, parameters):
            raise LeaseLostError

    def _fail(self, claim: Claim, error: SpandrelError) -> Outcome:
        parameters = {
            "document_id": claim.document_id,
            "owner": claim.owner,
            "code": error.code,
            "message": error.detail,
        }
        failed = self.database.run(queries.fail_document, parameters)
        return Outcome.FAILED if failed else Outcome.SUPERSEDED

    def _put_back(self, document_id: UUID, owner: UUID, reason: str, delay: float, *, refund: bool) -> Outcome:
        # The message first: should the release fail, the lease runs out by itself and the message finds it.
        self.queue.send(retry_message(document_id), delay)
        self.database.run(
            queries.release_document,
            {"document_id": document_id, "owner": owner, "reason": reason, "refund": refund},
        )
        return Outcome.QUEUED_AGAIN


def _claimed(row: dict[str, Any], owner: UUID) -> Claim:
    names = ("user_id", "collection_id", "name", "content_type", "version_id", "attempt", "language")
    sizes = ("chunk_size", "chunk_overlap", "space_id", "model", "dimensions", "has_vectors")
    return Claim(document_id=row["id"], owner=owner, **{name: row[name] for name in (*names, *sizes)})
