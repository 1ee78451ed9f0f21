"""Upkeep on real Postgres: what was deleted is purged, large collections are indexed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from spandrel.knowledge.store import queries
from spandrel.knowledge.upkeep import Upkeep, UpkeepReport
from tests.support.knowledge import ADA, KnowledgeBase
from tests.support.postgres import until_waiting


def test_with_nothing_to_do_it_does_nothing(kb: KnowledgeBase) -> None:
    kb.add(kb.collection(), "Whales.")
    assert kb.upkeep.run(1) == UpkeepReport()
    assert not kb.queue.messages


def test_old_idempotency_keys_are_forgotten(kb: KnowledgeBase) -> None:
    kb.rows(
        "INSERT INTO idempotency_keys (user_id, key, request_hash, created_at)"
        " VALUES ('ada', 'old', '', now() - interval '25 hours'), ('ada', 'new', '', now())"
    )
    kb.upkeep.run(1)
    assert kb.rows("SELECT key FROM idempotency_keys") == [{"key": "new"}]


def test_large_collections_enter_the_indexes_and_small_ones_do_not(kb: KnowledgeBase) -> None:
    large, medium, small = (kb.collection(name=name) for name in ("large", "medium", "small"))
    for collection, chunks in ((large, 30), (medium, 15), (small, 5)):
        kb.publish(collection, [f"text {n}" for n in range(chunks)])
    upkeep = replace(kb.upkeep, graph_from=20, inverted_from=10)
    report = upkeep.run(60)
    assert (report.vectors_indexed, report.chunks_indexed) == (30, 45)
    flags = kb.rows("SELECT name, has_graph, has_inverted FROM collections ORDER BY id")
    assert [tuple(row.values()) for row in flags] == [
        ("large", True, True),
        ("medium", False, True),
        ("small", False, False),
    ]
    for table in ("chunk_embeddings", "chunk_codes"):
        indexed = kb.rows(f"SELECT DISTINCT collection_id FROM {table} WHERE in_graph")
        assert [row["collection_id"] for row in indexed] == [large.id]
    assert upkeep.run(60).vectors_indexed == 0


def test_what_comes_later_follows_into_the_indexes(kb: KnowledgeBase) -> None:
    collection = kb.collection()
    kb.publish(collection, [f"text {n}" for n in range(10)])
    upkeep = Upkeep(kb.system, kb.objects, graph_from=5, inverted_from=5)
    upkeep.run(60)
    kb.publish(collection, ["text of whales"])
    report = upkeep.run(60)
    assert (report.vectors_indexed, report.chunks_indexed) == (1, 1)


def test_indexing_stops_when_its_time_is_up(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), [f"text {n}" for n in range(10)])
    upkeep = Upkeep(kb.system, kb.objects, graph_from=5, inverted_from=5)
    assert upkeep.run(0) == UpkeepReport()
    assert kb.one("SELECT count(*) FROM chunk_codes WHERE in_graph") == 0


def test_a_removal_and_a_move_into_the_graph_do_not_wait_for_each_other(kb: KnowledgeBase) -> None:
    collection = kb.collection()
    document = {"document_id": kb.publish(collection, [f"text {n}" for n in range(10)])}
    replace(kb.upkeep, inverted_from=1).run(60)
    other = kb.connect("spandrel_system")
    with ThreadPoolExecutor() as pool, kb.app.transaction(ADA) as tx:
        # A removal that has got as far as its collection.
        tx.execute(b"SELECT id FROM collections WHERE id = %s FOR NO KEY UPDATE", [collection.id]).fetchone()
        moving = pool.submit(Upkeep(other, kb.objects, graph_from=1, inverted_from=1).run, 60)
        until_waiting(kb.url)
        tx.execute(queries.remove_chunks, document).fetchone()
    assert moving.result().vectors_indexed == 0
    other.close()
    assert kb.collections.get(ADA, collection.id).chunk_count == kb.one("SELECT count(*) FROM chunk_codes") == 0


def test_the_size_of_the_graph_is_known(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), [f"text {n}" for n in range(10)])
    upkeep = Upkeep(kb.system, kb.objects, graph_from=5, inverted_from=5)
    upkeep.run(60)
    upkeep.run(60)
    assert kb.one("SELECT graph_count FROM embedding_spaces") == 10


LISTED = """SELECT coalesce(array_agg(DISTINCT e >> 26 ORDER BY e >> 26), '{}') FROM postings, unnest(entries) AS e
            WHERE collection_id = %s"""
NUMBERS = "SELECT coalesce(array_agg(number ORDER BY number), '{}') FROM chunk_terms WHERE collection_id = %s"


def test_what_is_removed_is_swept_out_of_the_inverted_index(kb: KnowledgeBase) -> None:
    one, other = kb.collection(name="one"), kb.collection(name="other")
    documents = [kb.publish(one, [f"text {n} {m}" for m in range(400)]) for n in range(4)]
    kb.publish(other, ["text 0 1"])
    upkeep = Upkeep(kb.system, kb.objects, graph_from=5000, inverted_from=1)
    upkeep.run(60)
    kb.documents.delete(ADA, documents[1])
    kb.documents.delete(ADA, documents[3])
    assert len(kb.one(LISTED, one.id)) == 1600
    assert upkeep.run(60).documents_swept == 2
    assert upkeep.run(60).documents_swept == 0
    assert kb.one(LISTED, one.id) == kb.one(NUMBERS, one.id)
    assert kb.one(LISTED, other.id) == [1]
    kb.publish(one, ["text 5"])
    upkeep.run(60)
    assert kb.one(LISTED, one.id) == [*kb.one(NUMBERS, one.id)]
    assert kb.one(NUMBERS, one.id)[-1] == 1601  # a number is never given again


def test_a_purged_collection_leaves_nothing_in_the_inverted_index(kb: KnowledgeBase) -> None:
    collection = kb.collection()
    kb.publish(collection, [f"text {n}" for n in range(8000)])
    Upkeep(kb.system, kb.objects, graph_from=10_000, inverted_from=1).run(60)
    kb.collections.delete(ADA, collection.id)
    kb.drain()
    for table in ("postings", "common_postings", "posting_blocks", "dead_postings", "term_counts"):
        assert kb.one(f"SELECT count(*) FROM {table}") == 0
