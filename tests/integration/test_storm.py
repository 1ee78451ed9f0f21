"""A storm over the knowledge base: uploads, deletions, workers that die, leases that run out, and upkeep beside them.
Whatever happened, all that is derived is what it would be had it been made anew.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from spandrel.errors import EmbeddingUnavailableError, NameTakenError
from spandrel.knowledge.ingest import store as store_stage
from spandrel.knowledge.models import Collection, object_key
from spandrel.knowledge.ports import Embedded
from spandrel.knowledge.reconcile import Reconcile
from tests.support.fakes import FakeEmbedder, FakeObjectStore
from tests.support.knowledge import KnowledgeBase
from tests.support.storm import EVENT_GAPS, USERS, Killed, NothingThereError, Step, Storm, pick

WORKERS, STEPS = 4, 200
NAMES = ("papers", "notes", "letters")
WORDS = [f"w{n}" for n in range(60)]
MODES = ("hybrid", "vector", "text")
HOUR_AGO = "now() - interval '1 hour'"

CHECKS = {
    "unfinished": "SELECT id, status FROM documents WHERE status NOT IN ('awaiting_upload', 'ready')",
    "leased": "SELECT id, status FROM documents WHERE lease_owner IS NOT NULL OR lease_until IS NOT NULL",
    "not purged": "SELECT id FROM collections WHERE deleted_at IS NOT NULL",
    "documents counted": """SELECT id, document_count FROM collections c
        WHERE document_count <> (SELECT count(*) FROM documents d WHERE d.collection_id = c.id)""",
    "chunks counted": """SELECT id, chunk_count FROM collections c
        WHERE chunk_count <> (SELECT count(*) FROM chunks k WHERE k.collection_id = c.id)""",
    "term sets": """SELECT t.document_id FROM document_terms t LEFT JOIN documents d ON d.id = t.document_id
        WHERE d.chunk_count = 0 OR d.id IS NULL""",
    "stash": """SELECT s.document_id FROM embedding_stash s LEFT JOIN documents d ON d.id = s.document_id
        WHERE d.status = 'ready' OR d.id IS NULL""",
    "not swept": "SELECT collection_id FROM dead_postings",
    "not in the graph": """SELECT document_id, ordinal FROM chunk_codes k FULL JOIN chunk_embeddings e
        USING (document_id, ordinal, space_id)
        WHERE NOT (k.in_graph AND e.in_graph AND k.code = binary_quantize(e.embedding)) IS TRUE""",
    "postings": """WITH listed AS (
            SELECT collection_id, term, (entry >> 26)::integer AS number FROM postings, unnest(entries) entry
        ), real AS (SELECT t.collection_id, s.term, t.number FROM chunk_terms t, sparse_entries(t.terms) s)
        (TABLE listed EXCEPT ALL TABLE real) UNION ALL (TABLE real EXCEPT ALL TABLE listed)""",
    "terms counted": """WITH counted AS (
            SELECT collection_id, term, sum(n)::integer FROM (
                SELECT collection_id, term, chunks AS n FROM term_counts
                UNION ALL SELECT d.collection_id, u.term, u.n
                FROM document_terms d, unnest(d.terms, d.counts) AS u (term, n) WHERE NOT d.folded) each
            GROUP BY 1, 2 HAVING sum(n) <> 0
        ), real AS (
            SELECT collection_id, term, count(*)::integer FROM chunk_terms, sparse_entries(terms) GROUP BY 1, 2)
        (TABLE counted EXCEPT ALL TABLE real) UNION ALL (TABLE real EXCEPT ALL TABLE counted)""",
    "greatest weights": """SELECT t.collection_id, s.term FROM chunk_terms t, sparse_entries(t.terms) s
        JOIN term_counts c USING (term) WHERE c.collection_id = t.collection_id AND s.weight > c.max_weight""",
    "feed": EVENT_GAPS,
}
for table in ("chunks", "chunk_embeddings", "chunk_codes", "chunk_terms"):
    CHECKS[table] = f"""SELECT id, chunk_count, number FROM documents
        FULL JOIN (SELECT document_id, collection_id, count(*) AS number FROM {table} GROUP BY 1, 2) found
        ON found.document_id = id AND found.collection_id = documents.collection_id
        WHERE coalesce(chunk_count, -1) <> coalesce(number, 0)"""
for table in ("term_counts", "postings", "common_postings", "posting_blocks", "document_terms"):
    CHECKS[f"left in {table}"] = f"""SELECT DISTINCT collection_id FROM {table} t
        WHERE NOT EXISTS (SELECT FROM collections c WHERE c.id = t.collection_id)"""


class Bucket(FakeObjectStore):
    """For several threads."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def put(self, key: str, data: bytes) -> dict[str, Any]:
        with self.lock:
            return super().put(key, data)

    def delete(self, keys: Sequence[str]) -> None:
        with self.lock:
            super().delete(keys)

    def keys(self, prefix: str, after: str, limit: int) -> list[str]:
        with self.lock:
            return super().keys(prefix, after, limit)


class Embedder(FakeEmbedder):
    """Now and then it is away, and now and then its worker dies."""

    def __init__(self, source: random.Random) -> None:
        super().__init__()
        self.source = source

    def embed(self, texts: Sequence[str]) -> Embedded:
        dice = self.source.random()
        if dice < 0.05:
            raise Killed
        if dice < 0.1:
            raise EmbeddingUnavailableError
        return super().embed(texts)


class Library:
    """What the workers share. `newest`: what was last uploaded to each document."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self.collections: dict[str, list[Collection]] = {user: [] for user in USERS}
        self.documents: dict[str, list[UUID]] = {user: [] for user in USERS}
        self.newest: dict[UUID, str] = {}
        for user in USERS:
            self.collections[user] += [kb.collection(user, name, chunk_size=50, chunk_overlap=0) for name in NAMES[:2]]
            self.documents[user].append(kb.announce(self.collections[user][0], user=user))


class Reader:
    def __init__(self, storm: Storm, library: Library, seed: int) -> None:
        self.storm, self.library, self.source = storm, library, random.Random(seed)
        shared, self.kb = storm.kb, KnowledgeBase(storm.kb.url)
        kb, objects, queue = self.kb, shared.objects, shared.queue
        kb.objects, kb.queue, kb.embedder = objects, queue, Embedder(self.source)
        kb.collections = replace(kb.collections, queue=queue)
        kb.documents = replace(kb.documents, objects=objects, queue=queue)
        kb.ingest = replace(kb.ingest, objects=objects, queue=queue, embedder=kb.embedder)
        kb.purge = replace(kb.purge, objects=objects)
        kb.upkeep = replace(kb.upkeep, objects=objects, graph_from=1, inverted_from=1)
        kb.stuck = replace(kb.stuck, objects=objects, queue=queue)
        self.reconcile = Reconcile(kb.system, objects, queue, stretch=4)

    def steps(self) -> Sequence[tuple[float, Step]]:
        return (
            (6, self.put), (10, self.deliver), (3, self.announce), (1.5, self.delete), (0.5, self.make_collection),
            (0.4, self.delete_collection), (1, self.rename), (4, self.look_after), (2, self.search),
            (1, self.look), (0.7, self.time_passes),
        )  # fmt: skip

    def close(self) -> None:
        self.kb.close()

    def user(self) -> str:
        return self.source.choice(USERS)

    def make_collection(self) -> None:
        user = self.user()
        made = self.kb.collection(user, self.source.choice(NAMES), chunk_size=50, chunk_overlap=0)
        self.library.collections[user].append(made)

    def delete_collection(self) -> None:
        user = self.user()
        found = pick(self.source, self.library.collections[user][1:])  # one stays
        self.kb.collections.delete(user, found.id)
        self.library.collections[user].remove(found)

    def rename(self) -> None:
        user = self.user()
        collection = pick(self.source, self.library.collections[user])
        self.kb.collections.rename(user, collection.id, self.source.choice(NAMES))

    def announce(self) -> None:
        user = self.user()
        collection = pick(self.source, self.library.collections[user])
        self.library.documents[user].append(self.kb.announce(collection, user=user, attributes={"n": 1}))

    def put(self) -> None:
        document = pick(self.source, self.library.documents[self.user()])
        with self.storm.lock:  # what is noted as the newest is
            content = "\n\n".join(" ".join(self.source.choices(WORDS, k=40)) for _ in range(self.source.randint(1, 5)))
            body, self.library.newest[document] = self.kb.put(document, content), content
        for _ in range(self.source.choice((1, 1, 2))):  # at least once, in any order
            self.kb.queue.messages.insert(self.source.randint(0, 3), body)  # type: ignore[arg-type]

    def deliver(self) -> None:
        self.kb.clock.left = 300
        try:
            message = self.kb.queue.messages.popleft()
        except IndexError:
            raise NothingThereError from None
        try:
            self.kb.deliver(message)
        except BaseException:
            self.kb.queue.messages.append(message)  # as SQS does with what was not acknowledged
            raise

    def delete(self) -> None:
        user = self.user()
        self.kb.documents.delete(user, pick(self.source, self.library.documents[user]))

    def look_after(self) -> None:
        self.source.choice((self.kb.upkeep, self.kb.upkeep, self.kb.stuck, self.reconcile)).run(60)

    def search(self) -> None:
        user = self.user()
        narrowed = self.source.choice(({}, {"filter": {"field": "n", "op": "eq", "value": 1}}))
        answer = self.kb.find(
            " ".join(self.source.choices(WORDS, k=3)), user, mode=self.source.choice(MODES), **narrowed
        )
        assert {hit.document_id for hit in answer.hits} <= set(self.library.documents[user])

    def look(self) -> None:
        user = self.user()
        self.kb.documents.page(user, 10, None, None, None)
        self.kb.documents.chunks(user, pick(self.source, self.library.documents[user]), 0, 10)

    def time_passes(self, share: float = 0.5) -> None:
        for change in (
            "documents SET lease_until = {ago} WHERE lease_until IS NOT NULL AND random() < {share}",
            "documents SET updated_at = {ago} WHERE random() < {share}",
            "collections SET deleted_at = {ago} WHERE deleted_at IS NOT NULL AND random() < {share}",
        ):
            self.kb.rows(f"UPDATE {change}".format(ago=HOUR_AGO, share=share))

    def settle(self) -> None:
        """What the schedules do in time, without a storm."""
        self.kb.ingest = replace(self.kb.ingest, embedder=FakeEmbedder())
        self.kb.clock.left = 300
        for _ in range(4):
            self.time_passes(1)
            self.kb.stuck.run(60)
            for row in self.kb.rows("SELECT id, user_id FROM documents WHERE status = 'failed'"):
                self.kb.documents.retry(row["user_id"], row["id"])  # its workers died too often
            self.kb.drain()
            self.kb.upkeep.run(60)


def test_after_a_storm_all_is_as_if_it_had_been_made_anew(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_stage, "FOLD_AFTER_DOCUMENTS", 3)
    kb.objects = Bucket()
    storm, library = Storm(kb, (NameTakenError, EmbeddingUnavailableError)), Library(kb)
    storm.rage([Reader(storm, library, seed) for seed in range(WORKERS)], STEPS)
    assert storm.errors == []
    last = Reader(storm, library, WORKERS)
    assert storm.done.keys() >= {"announce", "put", "deliver", "delete", "look_after", "search"}
    last.settle()
    last.close()
    assert storm.faults(CHECKS) == {}
    documents = {row["id"]: row["status"] for row in kb.rows("SELECT id, status FROM documents")}
    uploaded = documents.keys() & library.newest.keys()
    assert uploaded == {id_ for id_, status in documents.items() if status == "ready"}
    assert set(kb.objects.objects) == {object_key(id_) for id_ in uploaded}
    assert [id_ for id_ in uploaded if "\n\n".join(kb.texts(id_)).split() != library.newest[id_].split()] == []
