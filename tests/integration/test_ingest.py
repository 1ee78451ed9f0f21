"""The ingest on real Postgres: stages, order of events, re-uploads, faults, concurrency."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import cast
from uuid import uuid4

import psycopg
import pytest

from spandrel.database import Database
from spandrel.errors import EmbeddingRejectedError, EmbeddingUnavailableError, NameTakenError, NotFoundError
from spandrel.knowledge import store
from spandrel.knowledge.ingest import embed as embed_stage, ingest as ingest_module, store as store_stage
from spandrel.knowledge.ingest.ingest import MAX_ATTEMPTS, Ingest, Outcome
from spandrel.knowledge.ingest.models import IngestTask
from spandrel.knowledge.ingest.notifications import parse_notification, retry_message
from spandrel.knowledge.models import Collection, object_key
from spandrel.knowledge.search.models import SearchRequest
from spandrel.knowledge.search.search import Search
from spandrel.knowledge.store import NewFile
from spandrel.usage.budgets import Budgets
from spandrel.usage.prices import PriceTable
from tests.support.knowledge import ADA, BOB, Clock, KnowledgeBase
from tests.support.postgres import MODEL, settings_for, until_waiting

TWO_SECTIONS = "# Whales\n\nWhales sing long songs.\n\n# Sharks\n\nSharks do not sing.\n"


def pages(count: int, word: str = "page") -> str:
    """A document of `count` chunks, each of its own content."""
    return "\n\n".join(f"# {word} {n}\n\nText of {word} number {n}." for n in range(count))


@pytest.fixture
def collection(kb: KnowledgeBase) -> Collection:
    return kb.collection()


def searchable(kb: KnowledgeBase, query: str = "whales") -> list[str]:
    return [hit.text for hit in kb.find(query, mode="text").hits]


# -- the happy path


def test_a_document_passes_its_stages_in_order(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.document(kb.add(collection, TWO_SECTIONS))
    stages = document.stages
    stamps = [stages.queued_at, stages.parsing_at, stages.chunking_at, stages.embedding_at, stages.ready_at]
    assert None not in stamps
    assert stamps == sorted(cast("list[datetime]", stamps))
    assert (document.status, document.version, document.chunk_count, stages.failed_at) == ("ready", 1, 2, None)
    assert document.content_type == "text/markdown"
    assert document.size_bytes == len(TWO_SECTIONS)
    assert document.token_count > 0


def test_every_stage_tells_itself_in_the_feed(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.add(collection, TWO_SECTIONS)
    assert kb.events() == [
        "collection.created",
        "document.created",
        "document.parsing",
        "document.chunking",
        "document.embedding",
        "document.ready",
    ]
    rows = kb.rows("SELECT seq, subject FROM events ORDER BY seq")
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {row["subject"] for row in rows[1:]} == {f"documents/{document}"}


def test_the_feeds_of_two_users_are_numbered_apart(kb: KnowledgeBase, collection: Collection) -> None:
    kb.add(kb.collection(BOB), "Sharks.", user=BOB)
    kb.add(collection, "Whales.")
    for user in (ADA, BOB):
        rows = kb.rows("SELECT seq FROM events WHERE user_id = %s ORDER BY seq", user)
        assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5, 6]


def test_every_chunk_has_its_vector_code_and_terms(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.add(collection, TWO_SECTIONS)
    for table in ("chunks", "chunk_embeddings", "chunk_codes", "chunk_terms"):
        rows = kb.rows(f"SELECT ordinal, user_id, collection_id FROM {table} WHERE document_id = %s", document)
        assert sorted(row["ordinal"] for row in rows) == [0, 1]
        assert {(row["user_id"], row["collection_id"]) for row in rows} == {(ADA, collection.id)}
    assert kb.collections.get(ADA, collection.id).chunk_count == 2
    assert kb.rows("SELECT * FROM embedding_stash") == []


def test_a_vector_is_made_of_heading_path_and_text(kb: KnowledgeBase, collection: Collection) -> None:
    words = " ".join(f"word{n}" for n in range(400))
    kb.add(kb.collection(name="small", chunk_size=50, chunk_overlap=0), f"# Whales\n\n{words}")
    assert kb.embedder.texts[0].startswith("# Whales")
    assert all(text.startswith("Whales\n\n") for text in kb.embedder.texts[1:])
    assert len(kb.embedder.texts) > 5


def test_equal_chunks_of_a_document_are_embedded_once(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.add(collection, "# Same\n\nSame text.\n\n# Same\n\nSame text.\n\n# Other\n\nOther text.\n")
    assert len(kb.texts(document)) == 3
    assert len(kb.embedder.texts) == 2


# -- duplicate, late and reordered notifications


def test_a_duplicate_notification_changes_nothing(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    body = kb.put(document, TWO_SECTIONS)
    assert kb.deliver(body) is Outcome.READY
    events = kb.events()
    assert kb.deliver(body) is Outcome.NOTHING_TO_DO
    assert kb.events() == events
    assert len(kb.texts(document)) == 2


def test_a_late_notification_of_an_older_upload_changes_nothing(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    older, newer = kb.put(document, "Old whales."), kb.put(document, "New whales.")
    assert kb.deliver(newer) is Outcome.READY
    assert kb.deliver(older) is Outcome.NOTHING_TO_DO
    assert kb.texts(document) == ["New whales."]


def test_sequencers_of_unequal_length_are_ordered_as_numbers(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    older = kb.put(document, "Old whales.").replace('"sequencer":"0000000000000001"', '"sequencer":"FF"')
    newer = kb.put(document, "New whales.").replace('"sequencer":"0000000000000002"', '"sequencer":"0100"')
    assert "FF" in older
    assert "0100" in newer
    assert kb.deliver(newer) is Outcome.READY
    assert kb.deliver(older) is Outcome.NOTHING_TO_DO


def test_each_notification_reads_its_own_version_of_the_object(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    older = kb.put(document, "Old whales.")
    kb.put(document, "New whales.")
    assert kb.deliver(older) is Outcome.READY
    assert kb.texts(document) == ["Old whales."]


def test_a_newer_upload_takes_over_from_one_at_work(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    older, newer = kb.put(document, "Old whales."), kb.put(document, "New whales.")
    outcomes: list[object] = []

    def overtake() -> None:
        kb.embedder.during = lambda: None
        outcomes.append(kb.deliver(newer))

    kb.embedder.during = overtake
    assert kb.deliver(older) is Outcome.SUPERSEDED
    assert outcomes == [Outcome.READY]
    assert kb.texts(document) == ["New whales."]
    assert kb.document(document).version == 1


def test_a_second_worker_leaves_a_document_that_is_at_work_alone(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    body = kb.put(document, TWO_SECTIONS)
    outcomes: list[object] = []
    kb.embedder.during = lambda: outcomes.append(kb.deliver(body))
    assert kb.deliver(body) is Outcome.READY
    assert outcomes == [Outcome.QUEUED_AGAIN]
    assert kb.queue.delays == [kb.ingest.lease_seconds]  # to look again once the lease is over
    kb.drain()
    assert kb.document(document).version == 1


def test_the_worker_of_a_lost_lease_publishes_nothing(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    body = kb.put(document, TWO_SECTIONS)

    def lose() -> None:
        kb.embedder.during = lambda: None
        kb.requeue_now(document)
        assert kb.deliver(body) is Outcome.READY

    kb.embedder.during = lose
    assert kb.deliver(body) is Outcome.SUPERSEDED
    assert kb.document(document).version == 1
    assert len(kb.texts(document)) == 2


def test_a_retry_of_what_was_never_uploaded_does_nothing(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    assert kb.deliver(retry_message(document)) is Outcome.NOTHING_TO_DO
    assert kb.document(document).status == "awaiting_upload"


# -- deletion


def test_an_upload_for_a_deleted_document_is_removed_from_the_bucket(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    kb.documents.delete(ADA, document)
    assert kb.upload(document, TWO_SECTIONS) is Outcome.NOTHING_TO_DO
    assert kb.objects.objects == {}
    assert kb.rows("SELECT * FROM documents") == []


def test_an_upload_that_arrives_while_its_document_is_being_deleted_is_removed(
    kb: KnowledgeBase, collection: Collection
) -> None:
    document = kb.add(collection, TWO_SECTIONS)
    kb.objects.broken = True
    with pytest.raises(Exception, match="object store"):
        kb.documents.delete(ADA, document)
    kb.objects.broken = False
    assert kb.upload(document, TWO_SECTIONS) is Outcome.NOTHING_TO_DO
    assert kb.objects.objects == {}
    assert searchable(kb) == []


def test_a_document_deleted_at_work_is_not_resurrected(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    kb.embedder.during = lambda: kb.documents.delete(ADA, document)
    assert kb.upload(document, TWO_SECTIONS) is Outcome.SUPERSEDED
    kb.drain()
    for table in ("documents", "chunks", "chunk_embeddings", "chunk_codes", "chunk_terms", "document_terms"):
        assert kb.one(f"SELECT count(*) FROM {table}") == 0, table
    found = kb.collections.get(ADA, collection.id)
    assert (found.chunk_count, found.document_count) == (0, 0)
    assert kb.events()[-2:] == ["document.deleting", "document.deleted"]


def test_an_object_that_is_gone_fails_its_document(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    body = kb.put(document, TWO_SECTIONS)
    kb.objects.delete([object_key(document)])
    assert kb.deliver(body) is Outcome.FAILED
    error = kb.document(document).error
    assert error is not None
    assert error.code == "not_found"


# -- new versions


def test_only_changed_chunks_are_embedded_again(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.add(collection, pages(20))
    kb.embedder.calls.clear()
    assert kb.upload(document, pages(20).replace("Text of page number 7.", "Changed text.")) is Outcome.READY
    assert kb.embedder.texts == ["# page 7\n\nChanged text."]
    assert len(kb.texts(document)) == 20
    assert kb.document(document).version == 2


def test_a_version_with_nothing_new_asks_for_no_vector(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.add(collection, pages(5))
    before = kb.rows("SELECT ordinal, embedding::text FROM chunk_embeddings ORDER BY 1")
    kb.embedder.calls.clear()
    assert kb.upload(document, pages(5)) is Outcome.READY
    assert kb.embedder.calls == []
    assert kb.rows("SELECT ordinal, embedding::text FROM chunk_embeddings ORDER BY 1") == before


def test_the_old_version_is_found_until_the_new_one_is_ready(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.add(collection, "Old whales.")
    seen: list[list[str]] = []
    kb.embedder.during = lambda: seen.append(searchable(kb))
    kb.upload(document, "New whales.")
    assert seen == [["Old whales."]]
    assert searchable(kb) == ["New whales."]


def test_the_old_version_stays_when_the_new_one_fails(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.add(collection, "Old whales.")
    assert kb.upload(document, b"   ") is Outcome.FAILED
    found = kb.document(document)
    assert (found.status, found.version, found.chunk_count) == ("failed", 1, 1)
    assert searchable(kb) == ["Old whales."]


def test_a_shorter_version_leaves_nothing_of_the_longer_one(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.add(collection, pages(9))
    kb.upload(document, pages(2))
    for table in ("chunks", "chunk_embeddings", "chunk_codes", "chunk_terms"):
        assert kb.one(f"SELECT count(*) FROM {table}") == 2, table
    assert kb.collections.get(ADA, collection.id).chunk_count == 2


def test_a_reader_never_sees_a_mix_of_two_versions(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.add(collection, pages(6, "alpha"))
    done, mixes, looks = threading.Event(), [], 0
    search = Search(kb.connect("spandrel_app"), lambda: kb.embedder, PriceTable.load)
    request = SearchRequest(query="text number", mode="text", top_k=50)

    def read() -> None:
        nonlocal looks
        while not done.is_set():
            hits = search.run(ADA, request).hits
            words = {hit.text.split()[1] for hit in hits}
            looks += 1
            if len(words) != 1 or len(hits) != 6:
                mixes.append((words, len(hits)))

    reader = threading.Thread(target=read)
    reader.start()
    for word in ("beta", "alpha") * 6:
        assert kb.upload(document, pages(6, word)) is Outcome.READY
    done.set()
    reader.join()
    search.database.close()
    assert mixes == []
    assert looks > 5


# -- a provider that is not to be had


def test_a_provider_over_its_limits_is_waited_for(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    kb.embedder.failures.extend([EmbeddingUnavailableError(retry_after=7), EmbeddingUnavailableError()])
    assert kb.upload(document, TWO_SECTIONS) is Outcome.READY
    assert kb.clock.naps == [7, 2]
    assert kb.one("SELECT attempt FROM documents") == 0


def test_a_long_wait_renews_the_lease_in_between(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    kb.embedder.failures.append(EmbeddingUnavailableError(retry_after=100))
    assert kb.upload(document, TWO_SECTIONS) is Outcome.READY
    assert kb.clock.naps == [30, 30, 30, 10]


def test_waiting_ends_when_the_document_is_no_longer_ours(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    kb.embedder.failures.append(EmbeddingUnavailableError(retry_after=100))
    kb.embedder.during = lambda: kb.documents.delete(ADA, document)
    assert kb.upload(document, TWO_SECTIONS) is Outcome.SUPERSEDED
    assert kb.clock.naps == []


def test_a_provider_that_stays_away_costs_no_attempt(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    kb.clock = Clock(seconds=80)
    body = kb.put(document, TWO_SECTIONS)
    for _ in range(3 * MAX_ATTEMPTS):
        kb.embedder.failures.append(EmbeddingUnavailableError(retry_after=70))
        assert kb.deliver(body) is Outcome.QUEUED_AGAIN
        assert kb.document(document).status == "queued"
    assert set(kb.queue.delays) == {70}
    assert kb.events()[-1] == "document.queued"
    kb.drain()
    assert kb.document(document).status == "ready"


def test_a_store_that_is_away_costs_no_attempt(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    body = kb.put(document, TWO_SECTIONS)
    kb.objects.broken = True
    for _ in range(3 * MAX_ATTEMPTS):
        assert kb.deliver(body) is Outcome.QUEUED_AGAIN
    kb.objects.broken = False
    kb.drain()
    assert kb.document(document).status == "ready"


def test_a_refusing_provider_fails_the_document_with_its_reason(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    kb.embedder.failures.append(EmbeddingRejectedError("The key is wrong."))
    assert kb.upload(document, TWO_SECTIONS) is Outcome.FAILED
    error = kb.document(document).error
    assert error is not None
    assert (error.code, error.message) == ("embedding_rejected", "The key is wrong.")
    assert kb.events()[-1] == "document.failed"


def test_another_model_than_the_knowledge_base_was_built_with_is_refused(
    kb: KnowledgeBase, collection: Collection
) -> None:
    document = kb.announce(collection)
    kb.embedder.model = "another"
    assert kb.upload(document, TWO_SECTIONS) is Outcome.FAILED
    error = kb.document(document).error
    assert error is not None
    assert error.code == "embedding_rejected"
    assert "fake-64 (64 dimensions)" in error.message


def test_without_an_active_space_the_document_waits(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    kb.rows("UPDATE embedding_spaces SET status = 'retired'")
    assert kb.upload(document, TWO_SECTIONS) is Outcome.QUEUED_AGAIN
    kb.rows("UPDATE embedding_spaces SET status = 'active'")
    kb.drain()
    assert kb.document(document).status == "ready"


# -- workers that die, and what nobody foresaw


def test_a_worker_that_takes_over_pays_for_no_vector_twice(
    kb: KnowledgeBase, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_stage, "BATCH_TEXTS", 4)
    document = kb.announce(collection)
    body = kb.put(document, pages(10))

    def die_in_third_batch() -> None:
        if len(kb.embedder.calls) == 2:
            raise KeyboardInterrupt

    kb.embedder.during = die_in_third_batch
    with pytest.raises(KeyboardInterrupt):
        kb.deliver(body)
    kb.embedder.during = lambda: None
    assert kb.deliver(body) is Outcome.QUEUED_AGAIN  # its lease still runs
    kb.requeue_now(document)
    kb.drain()
    assert [len(call) for call in kb.embedder.calls] == [4, 4, 2]
    assert len(set(kb.embedder.texts)) == 10
    assert kb.document(document).status == "ready"
    assert kb.rows("SELECT * FROM embedding_stash") == []


def test_a_worker_that_was_overtaken_leaves_no_vectors_behind(
    kb: KnowledgeBase, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_stage, "BATCH_TEXTS", 4)
    monkeypatch.setattr(embed_stage, "IN_FLIGHT", 1)
    document = kb.announce(collection)
    older, newer = kb.put(document, pages(12)), kb.put(document, pages(3))
    outcomes: list[object] = []

    def overtake_in_second_batch() -> None:
        if len(kb.embedder.calls) == 1 and not outcomes:
            outcomes.append(None)
            outcomes[0] = kb.deliver(newer)

    kb.embedder.during = overtake_in_second_batch
    assert kb.deliver(older) is Outcome.SUPERSEDED
    assert outcomes == [Outcome.READY]
    assert len(kb.embedder.texts) == 8  # two batches, and of the newer upload nothing: the first was stashed
    assert kb.rows("SELECT * FROM embedding_stash") == []


def test_what_nobody_foresaw_is_tried_again_later_and_later_and_then_fails(
    kb: KnowledgeBase, collection: Collection
) -> None:
    document = kb.announce(collection)
    kb.embedder.failures.extend(ZeroDivisionError("bug") for _ in range(MAX_ATTEMPTS))
    outcomes = [kb.upload(document, TWO_SECTIONS)]
    while kb.queue.messages:
        outcomes.append(kb.deliver(kb.queue.messages.popleft()))
    assert outcomes == [Outcome.QUEUED_AGAIN] * (MAX_ATTEMPTS - 1) + [Outcome.FAILED]
    assert kb.queue.delays == [10, 20, 40, 80]
    error = kb.document(document).error
    assert error is not None
    assert error.code == "internal_error"
    assert "bug" not in error.message


def test_a_document_that_kills_its_workers_is_failed_in_the_end(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    body = kb.put(document, TWO_SECTIONS)

    def die() -> None:
        raise KeyboardInterrupt

    kb.embedder.during = die
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(KeyboardInterrupt):
            kb.deliver(body)
        kb.requeue_now(document)
    assert kb.deliver(body) is Outcome.FAILED
    error = kb.document(document).error
    assert error is not None
    assert error.code == "worker_lost"


def test_a_failed_document_can_be_retried_with_all_its_attempts(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    kb.embedder.failures.append(EmbeddingRejectedError())
    kb.upload(document, TWO_SECTIONS)
    kb.documents.retry(ADA, document)
    kb.drain()
    found = kb.document(document)
    assert (found.status, found.error) == ("ready", None)


def test_a_new_upload_of_a_failed_document_starts_afresh(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    assert kb.upload(document, b"  ") is Outcome.FAILED
    assert kb.upload(document, TWO_SECTIONS) is Outcome.READY
    found = kb.document(document)
    assert (found.status, found.error, found.stages.failed_at) == ("ready", None, None)


def test_an_unreadable_file_fails_with_a_sentence_for_its_owner(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection, name="data.bin")
    assert kb.upload(document, bytes(range(256)) * 40) is Outcome.FAILED
    error = kb.document(document).error
    assert error is not None
    assert error.message.endswith(".")


def test_when_even_the_queue_is_away_the_message_is_left_to_sqs(kb: KnowledgeBase, collection: Collection) -> None:
    document = kb.announce(collection)
    body = kb.put(document, TWO_SECTIONS)
    kb.objects.broken = kb.queue.broken = True
    with pytest.raises(Exception, match="reached"):
        kb.deliver(body)
    kb.objects.broken = kb.queue.broken = False
    kb.requeue_now(document)
    assert kb.deliver(body) is Outcome.READY


# -- term counts


def term_counts(kb: KnowledgeBase, collection: Collection) -> dict[int, int]:
    """Document frequencies as a search sums them up: folded and not."""
    rows = kb.rows(
        """SELECT term, sum(n)::int AS n FROM (
               SELECT term, chunks AS n FROM term_counts WHERE collection_id = %(c)s
               UNION ALL
               SELECT u.term, u.n FROM document_terms d, unnest(d.terms, d.counts) AS u (term, n)
               WHERE d.collection_id = %(c)s AND NOT d.folded) counted
           GROUP BY term HAVING sum(n) <> 0""".replace("%(c)s", f"'{collection.id}'")
    )
    return {row["term"]: row["n"] for row in rows}


def counted_anew(kb: KnowledgeBase, collection: Collection) -> dict[int, int]:
    """The same out of the chunks themselves."""
    rows = kb.rows(
        """SELECT (split_part(pair, ':', 1)::int - 1) AS term, count(*)::int AS n
           FROM chunk_terms t, unnest(string_to_array(substr(split_part(t.terms::text, '}', 1), 2), ',')) AS pair
           WHERE t.collection_id = %s AND pair <> '' GROUP BY 1""",
        collection.id,
    )
    return {row["term"]: row["n"] for row in rows}


@pytest.fixture
def early_folding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_stage, "FOLD_AFTER_DOCUMENTS", 3)


@pytest.mark.usefixtures("early_folding")
def test_folded_counts_follow_new_versions_and_deletions(kb: KnowledgeBase, collection: Collection) -> None:
    documents = [kb.add(collection, pages(n + 1), name=f"{n}.md") for n in range(5)]
    assert kb.rows("SELECT folded, count(*) AS n FROM document_terms GROUP BY 1 ORDER BY 1 DESC") == [
        {"folded": True, "n": 4},  # the count that a publish sees leaves its own document out
        {"folded": False, "n": 1},
    ]
    assert term_counts(kb, collection) == counted_anew(kb, collection)
    kb.upload(documents[0], pages(4, "whale"))
    kb.documents.delete(ADA, documents[1])
    assert term_counts(kb, collection) == counted_anew(kb, collection)


@pytest.mark.usefixtures("early_folding")
def test_concurrent_ingests_and_deletions_end_with_right_counts(kb: KnowledgeBase, collection: Collection) -> None:
    """Uploads, new versions, deletions and folds in one collection at once: no deadlock, no count lost."""
    documents = [kb.announce(collection, name=f"{n}.md") for n in range(16)]
    bodies = [kb.put(document, pages(n % 5 + 1)) for n, document in enumerate(documents)]
    again = [kb.put(document, pages(n % 3 + 1, "whale")) for n, document in enumerate(documents[1:9])]
    tasks = list(zip([*documents, *documents[1:9]], bodies + again, strict=True))

    def work(lane: int) -> list[object]:
        lane_kb = KnowledgeBase(kb.url)
        lane_kb.objects, lane_kb.queue = kb.objects, kb.queue
        ingest = Ingest(lane_kb.system, kb.objects, lane_kb.embedder, kb.queue)
        outcomes: list[object] = []
        try:
            for number, (document, body) in enumerate(tasks[lane::4]):
                [task] = parse_notification(body)
                outcomes.append(ingest.run(cast("IngestTask", task), Clock().patience()))
                if number % 3 == 2:
                    with suppress(NotFoundError):  # another lane was faster
                        lane_kb.documents.delete(ADA, document)
        finally:
            lane_kb.close()
        return outcomes

    with ThreadPoolExecutor(4) as pool:
        outcomes = [outcome for lane in pool.map(work, range(4)) for outcome in lane]
    kb.rows("UPDATE documents SET lease_until = now() - interval '1 second'")
    kb.drain()
    assert set(outcomes) <= {Outcome.READY, Outcome.NOTHING_TO_DO, Outcome.SUPERSEDED, Outcome.QUEUED_AGAIN}
    assert kb.one("SELECT count(*) FROM documents WHERE status <> 'ready'") == 0
    found = kb.collections.get(ADA, collection.id)
    assert found.chunk_count == kb.one("SELECT count(*) FROM chunks") > 0
    assert found.document_count == kb.one("SELECT count(*) FROM documents") > 0
    assert kb.one("SELECT sum(chunk_count) FROM documents") == found.chunk_count
    assert kb.one("SELECT count(*) FROM document_terms WHERE folded") > 0
    assert term_counts(kb, collection) == counted_anew(kb, collection)
    seqs = [row["seq"] for row in kb.rows("SELECT seq FROM events ORDER BY seq")]
    assert seqs == list(range(1, len(seqs) + 1))


# -- purge


def test_a_deleted_collection_takes_everything_with_it(kb: KnowledgeBase, collection: Collection) -> None:
    for n in range(3):
        kb.add(collection, pages(3), name=f"{n}.md")
    kb.announce(collection, name="never uploaded.md")
    other = kb.collection(name="other")
    kept = kb.add(other, "Whales stay.")
    kb.collections.delete(ADA, collection.id)
    assert [hit.document_id for hit in kb.find("whales text").hits] == [kept]
    kb.drain()
    assert list(kb.objects.objects) == [object_key(kept)]
    for table in ("collections", "documents", "chunks", "chunk_embeddings", "chunk_codes", "chunk_terms"):
        assert kb.one(f"SELECT count(*) FROM {table}") == 1, table
    assert kb.one("SELECT count(*) FROM term_counts WHERE collection_id = %s", collection.id) == 0


def test_a_purge_that_was_cut_short_goes_on(kb: KnowledgeBase, collection: Collection) -> None:
    for n in range(3):
        kb.add(collection, pages(2), name=f"{n}.md")
    kb.collections.delete(ADA, collection.id)
    message = kb.queue.messages.popleft()
    kb.objects.broken = True
    with pytest.raises(Exception, match="object store"):
        kb.deliver(message)
    kb.objects.broken = False
    assert kb.deliver(message) == 3
    assert kb.deliver(message) == 0
    assert kb.one("SELECT count(*) FROM collections") == 0


def test_a_collection_that_is_not_deleted_is_not_purged(kb: KnowledgeBase, collection: Collection) -> None:
    from spandrel.knowledge.ingest.notifications import purge_message

    kb.add(collection, TWO_SECTIONS)
    assert kb.deliver(purge_message(collection.id)) == 0
    assert len(searchable(kb)) == 1


def test_a_deleted_collection_is_purged_though_the_queue_was_away(kb: KnowledgeBase, collection: Collection) -> None:
    kb.add(collection, TWO_SECTIONS)
    kb.queue.broken = True
    kb.collections.delete(ADA, collection.id)
    with pytest.raises(NotFoundError):
        kb.collections.get(ADA, collection.id)
    kb.rows("UPDATE collections SET deleted_at = deleted_at - interval '2 minutes'")
    assert kb.upkeep.run(1).purged == 1
    assert kb.one("SELECT count(*) FROM collections") == 0


def test_a_document_that_is_announced_while_its_collection_is_deleted_is_refused(
    kb: KnowledgeBase, collection: Collection
) -> None:
    """The request has looked and found the collection; then it is deleted, and purged at once."""
    other = KnowledgeBase(kb.url)
    with kb.app.transaction(ADA) as tx:
        store.find_collection(tx, collection.id)
        other.collections.delete(ADA, collection.id)
        with pytest.raises(NotFoundError, match="collection"):
            store.insert_document(tx, ADA, collection.id, NewFile("a.md", None, {}))
    other.drain()
    other.close()
    assert kb.one("SELECT count(*) FROM collections") == 0


def test_two_who_want_each_other_s_name_are_told_that_it_is_taken(kb: KnowledgeBase, collection: Collection) -> None:
    notes = kb.collection(name="notes")
    with ThreadPoolExecutor() as pool, psycopg.connect(kb.url) as other:
        other.execute("SET deadlock_timeout = '1min'")  # the request is the one that finds it
        other.execute("UPDATE collections SET name = 'neither' WHERE id = %s", [notes.id])
        rename = pool.submit(kb.collections.rename, ADA, collection.id, "notes")
        until_waiting(kb.url)
        with pytest.raises(psycopg.errors.UniqueViolation):
            other.execute("UPDATE collections SET name = 'papers' WHERE id = %s", [notes.id])
        with pytest.raises(NameTakenError):
            rename.result()


def test_an_unknown_document_id_is_no_one_s_problem(kb: KnowledgeBase) -> None:
    assert kb.ingest.run(IngestTask(uuid4(), None), kb.clock.patience()) is Outcome.NOTHING_TO_DO


def test_the_lease_outlives_the_longest_nap() -> None:
    assert ingest_module.LEASE_SECONDS > embed_stage.NAP_SECONDS * 2


def test_a_notification_that_finds_no_database_comes_back_soon(kb: KnowledgeBase, collection: Collection) -> None:
    document_id = kb.announce(collection)
    body = kb.put(document_id, "Patience.")
    nowhere = Database(settings_for("postgresql://nobody@localhost:1/none?connect_timeout=1"), "spandrel_system")
    [task] = parse_notification(body)
    outcome = replace(kb.ingest, database=nowhere).run(cast("IngestTask", task), kb.clock.patience())
    assert outcome is Outcome.QUEUED_AGAIN
    kb.drain()
    assert kb.document(document_id).status == "ready"


def test_an_invocation_without_time_begins_nothing(kb: KnowledgeBase, collection: Collection) -> None:
    document_id = kb.announce(collection)
    kb.clock = Clock(seconds=60)
    assert kb.upload(document_id, "Later.") is Outcome.QUEUED_AGAIN
    assert kb.document(document_id).status == "awaiting_upload"
    kb.clock = Clock()
    kb.drain()
    assert kb.document(document_id).status == "ready"


# -- what it costs


def ledger(kb: KnowledgeBase) -> list[tuple[str, str, int, str]]:
    rows = kb.rows("SELECT purpose, model, input_tokens, trim_scale(cost)::text AS cost FROM usage_ledger ORDER BY id")
    return [(row["purpose"], row["model"], row["input_tokens"], row["cost"]) for row in rows]


@pytest.fixture
def priced(kb: KnowledgeBase) -> KnowledgeBase:
    """A dollar a million tokens; the fake counts words."""
    kb.ingest = replace(kb.ingest, prices=PriceTable.load(f'{{"models": {{"{MODEL}": {{"input": "1"}}}}}}'))
    return kb


def test_what_vectors_cost_is_in_the_ledger_and_nothing_for_what_was_there(priced: KnowledgeBase) -> None:
    document = priced.add(priced.collection(), "Whales sing in the sea.")
    assert ledger(priced) == [("embedding", MODEL, 5, "0.000005")]
    priced.upload(document, "Whales sing in the sea.")
    assert len(ledger(priced)) == 1
    priced.upload(document, "Sharks do not.")
    assert ledger(priced)[1:] == [("embedding", MODEL, 3, "0.000003")]
    assert priced.one("SELECT cost FROM usage_totals WHERE period = 'total'") == Decimal("0.000008")


def test_what_was_paid_before_an_ingest_broke_off_is_in_the_ledger_once(
    priced: KnowledgeBase, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_stage, "BATCH_TEXTS", 4)
    monkeypatch.setattr(embed_stage, "IN_FLIGHT", 1)
    document, embedder = priced.announce(collection), priced.embedder

    def fail_in_second_batch() -> None:
        if len(embedder.calls) == 1:
            embedder.during = lambda: None
            raise EmbeddingUnavailableError(retry_after=10_000)

    embedder.during = fail_in_second_batch
    assert priced.upload(document, pages(10)) is Outcome.QUEUED_AGAIN
    paid = [sum(len(text.split()) for text in call) for call in embedder.calls]
    assert [tokens for _, _, tokens, _ in ledger(priced)] == paid
    priced.drain()
    assert priced.document(document).status == "ready"
    paid = [sum(len(text.split()) for text in call) for call in embedder.calls]
    assert (len(paid), sum(tokens for _, _, tokens, _ in ledger(priced))) == (3, sum(paid))


def test_a_budget_hears_of_embeddings(priced: KnowledgeBase) -> None:
    Budgets(priced.app).put(ADA, "total", None, Decimal("0.000001"), None)
    priced.add(priced.collection(), "Whales sing in the sea.")
    assert "usage.budget_warning" in priced.events()
    assert priced.events()[-1] == "document.ready"
