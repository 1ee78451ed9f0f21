"""The knowledge feature on real Postgres with fakes around it, and the words that tests use to drive it."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
import psycopg
from psycopg.rows import dict_row

from spandrel.database import Database
from spandrel.knowledge.collections import Collections
from spandrel.knowledge.documents import Documents
from spandrel.knowledge.ingest.chunk import Chunk, content_hash
from spandrel.knowledge.ingest.embed import Patience
from spandrel.knowledge.ingest.ingest import Ingest, Outcome
from spandrel.knowledge.ingest.models import Claim, IngestTask, PurgeTask, Version
from spandrel.knowledge.ingest.notifications import parse_notification
from spandrel.knowledge.ingest.store import publish
from spandrel.knowledge.ingest.weigh import weigh_chunks
from spandrel.knowledge.models import Collection, Document, object_key
from spandrel.knowledge.purge import Purge
from spandrel.knowledge.search.models import SearchAnswer, SearchRequest
from spandrel.knowledge.search.search import Search
from spandrel.knowledge.store import NewCollection, NewFile
from spandrel.knowledge.stuck import FreeStuck
from spandrel.knowledge.upkeep import Upkeep
from spandrel.usage.prices import PriceTable
from spandrel.vectors import HalfVector
from tests.support.fakes import FakeEmbedder, FakeObjectStore, FakeQueue, bag_of_words
from tests.support.postgres import settings_for

ADA = "ada"
BOB = "bob"


class Clock:
    """An invocation's time: it passes only when somebody sleeps."""

    def __init__(self, seconds: float = 300) -> None:
        self.left = seconds
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.left -= seconds

    def patience(self) -> Patience:
        return Patience(remaining=lambda: self.left, sleep=self.sleep)


class KnowledgeBase:
    """`url` names the superuser: what `rows` and `one` see is everything, whoever owns it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.app, self.system = self.connect("spandrel_app"), self.connect("spandrel_system")
        self.embedder, self.objects, self.queue = FakeEmbedder(), FakeObjectStore(), FakeQueue()
        self.collections = Collections(self.app, self.queue)
        self.documents = Documents(self.app, self.objects, self.queue)
        self.ingest = Ingest(self.system, self.objects, self.embedder, self.queue)
        self.purge = Purge(self.system, self.objects)
        self.upkeep = Upkeep(self.system, self.objects)
        self.stuck = FreeStuck(self.system, self.objects, self.queue)
        self.search = Search(self.app, lambda: self.embedder, PriceTable.load)
        self.clock = Clock()
        self._superuser: psycopg.Connection[dict[str, Any]] | None = None

    def connect(self, role: str) -> Database:
        return Database(settings_for(self.url), role)

    def close(self) -> None:
        self.app.close()
        self.system.close()
        if self._superuser is not None:
            self._superuser.close()

    # -- looking

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        if self._superuser is None:
            self._superuser = cast(
                "psycopg.Connection[dict[str, Any]]", psycopg.connect(self.url, autocommit=True, row_factory=dict_row)
            )
        cursor = self._superuser.execute(query, parameters or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *parameters: object) -> Any:
        [row] = self.rows(query, *parameters)
        [value] = row.values()
        return value

    def document(self, document_id: UUID, user: str = ADA) -> Document:
        return self.documents.get(user, document_id)

    def texts(self, document_id: UUID) -> list[str]:
        rows = self.rows("SELECT text FROM chunks WHERE document_id = %s ORDER BY ordinal", document_id)
        return [row["text"] for row in rows]

    def events(self, user: str = ADA) -> list[str]:
        return [row["type"] for row in self.rows("SELECT type FROM events WHERE user_id = %s ORDER BY seq", user)]

    def event(self, type_: str, user: str = ADA) -> dict[str, Any]:
        """The newest of its type."""
        rows = self.rows("SELECT * FROM events WHERE user_id = %s AND type = %s ORDER BY seq DESC LIMIT 1", user, type_)
        return rows[0]

    # -- doing

    def collection(self, user: str = ADA, name: str = "papers", **more: Any) -> Collection:
        return self.collections.create(user, NewCollection(name, **more))

    def announce(
        self, collection: Collection, *, user: str = ADA, name: str = "a.md", attributes: dict[str, Any] | None = None
    ) -> UUID:
        [new] = self.documents.create(user, collection.id, [NewFile(name, None, attributes or {})])
        return new.document.id

    def put(self, document_id: UUID, content: str | bytes) -> str:
        """Writes the object; the body of the message that S3 sends for it, which is not queued yet."""
        data = content.encode() if isinstance(content, str) else content
        detail = self.objects.put(object_key(document_id), data)
        return msgspec.json.encode({"source": "aws.s3", "detail-type": "Object Created", "detail": detail}).decode()

    def deliver(self, body: str | dict[str, Any]) -> Outcome | int:
        """One message through the ingest, as its function does it."""
        text = body if isinstance(body, str) else msgspec.json.encode(body).decode()
        [task] = parse_notification(text)
        if isinstance(task, PurgeTask):
            return self.purge.run(task)
        return self.ingest.run(cast("IngestTask", task), self.clock.patience())

    def drain(self) -> None:
        """Delivers what is queued until nothing is, whatever delay it was sent with."""
        for _ in range(1000):
            if not self.queue.messages:
                return
            self.deliver(self.queue.messages.popleft())
        raise AssertionError("the queue does not run empty")

    def upload(self, document_id: UUID, content: str | bytes) -> Outcome | int:
        return self.deliver(self.put(document_id, content))

    def add(
        self,
        collection: Collection,
        content: str | bytes,
        *,
        user: str = ADA,
        name: str = "a.md",
        attributes: dict[str, Any] | None = None,
    ) -> UUID:
        """A document, uploaded and ready."""
        document_id = self.announce(collection, user=user, name=name, attributes=attributes)
        outcome = self.upload(document_id, content)
        assert outcome is Outcome.READY, (outcome, self.document(document_id, user).error)
        return document_id

    def find(self, query: str, user: str = ADA, **request: Any) -> SearchAnswer:
        return self.search.run(user, msgspec.convert({"query": query, **request}, SearchRequest))

    def requeue_now(self, document_id: UUID) -> None:
        """Lets the lease run out."""
        self.rows("UPDATE documents SET lease_until = now() - interval '1 second' WHERE id = %s", document_id)

    def publish(
        self, collection: Collection, texts: list[str], *, user: str = ADA, attributes: dict[str, Any] | None = None
    ) -> UUID:
        """A ready document whose chunks are `texts`, by the store stage alone: for corpora too large to parse."""
        document_id, owner = self.announce(collection, user=user, attributes=attributes), uuid4()
        self.rows("UPDATE documents SET status = 'embedding', lease_owner = %s WHERE id = %s", owner, document_id)
        [space] = self.rows("SELECT * FROM embedding_spaces WHERE status = 'active'")
        claim = Claim(
            document_id=document_id,
            owner=owner,
            user_id=user,
            collection_id=collection.id,
            name="a.md",
            content_type=None,
            version_id=None,
            attempt=1,
            language=collection.language,
            chunk_size=collection.chunk_size,
            chunk_overlap=collection.chunk_overlap,
            space_id=space["id"],
            model=space["model"],
            dimensions=space["dimensions"],
        )
        chunks = [
            Chunk(n, text, 0, len(text), (), None, len(text.split()), content_hash((), text))
            for n, text in enumerate(texts)
        ]
        vectors = [HalfVector.from_floats(bag_of_words(text)) for text in texts]
        publish(self.system, claim, Version("text/plain", chunks, vectors, weigh_chunks(collection.language, chunks)))
        return document_id
