"""Objects, documents, chunks and vectors held against each other, on real Postgres."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from spandrel.errors import StorageUnavailableError
from spandrel.ids import uuid7
from spandrel.knowledge.models import object_key
from spandrel.knowledge.reconcile import REQUEUED, Reconcile, ReconcileReport
from tests.support.knowledge import ADA, KnowledgeBase


@pytest.fixture
def reconcile(kb: KnowledgeBase) -> Reconcile:
    return Reconcile(kb.system, kb.objects, kb.queue, stretch=4)


def settled(kb: KnowledgeBase, number: int = 1) -> list[UUID]:
    """Documents that nobody has touched for a while."""
    collection = kb.collection()
    ids = [kb.add(collection, f"Whales sing song {n}.") for n in range(number)]
    kb.rows("UPDATE documents SET updated_at = now() - interval '1 hour'")
    return ids


def whole(reconcile: Reconcile) -> ReconcileReport:
    """A pass from the beginning to the end."""
    total = ReconcileReport()
    while not total.whole:
        report = reconcile.run(0)
        for name in ReconcileReport.__dataclass_fields__:
            setattr(total, name, getattr(total, name) + getattr(report, name))
    return total


@pytest.mark.parametrize("number", [0, 1, 4, 9])
def test_where_all_is_well_nothing_is_found_and_all_is_looked_at(
    kb: KnowledgeBase, reconcile: Reconcile, number: int
) -> None:
    settled(kb, number)
    for _ in range(2):
        assert whole(reconcile) == ReconcileReport(objects=number, documents=number, whole=1)
    assert reconcile.run(60).whole == 1  # with time, all of it in one run
    assert not kb.queue.messages


def test_it_goes_on_where_it_ended(kb: KnowledgeBase, reconcile: Reconcile) -> None:
    settled(kb, 6)
    assert [reconcile.run(0).objects for _ in range(3)] == [4, 2, 4]


@pytest.mark.parametrize("table", ["chunks", "chunk_embeddings", "chunk_codes", "chunk_terms"])
def test_a_document_that_lacks_something_is_ingested_again(kb: KnowledgeBase, reconcile: Reconcile, table: str) -> None:
    broken, _ = settled(kb, 2)
    kb.rows(f"DELETE FROM {table} WHERE document_id = %s", broken)
    report = whole(reconcile)
    assert (report.incomplete, report.requeued) == (1, 1)
    assert (kb.document(broken).status, kb.events()[-1]) == ("queued", "document.queued")
    kb.drain()
    assert kb.document(broken).status == "ready"
    kb.rows("UPDATE documents SET updated_at = now() - interval '1 hour'")
    assert whole(reconcile).incomplete == 0
    assert kb.one("SELECT chunk_count FROM collections") == 2  # what was lost is counted once
    assert len(kb.find("whales sing").hits) == 2


DERIVED = ["chunks", "chunk_embeddings", "chunk_codes", "chunk_terms", "document_terms"]
LOST = [*([table] for table in DERIVED), ["chunks", "document_terms"], ["chunk_terms", "document_terms"], DERIVED]


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("lost", LOST, ids="+".join)
def test_a_document_that_lacks_something_can_be_deleted(kb: KnowledgeBase, lost: list[str], indexed: bool) -> None:
    broken, _ = settled(kb, 2)
    upkeep = replace(kb.upkeep, graph_from=1, inverted_from=1)
    if indexed:
        upkeep.run(60)
    for table in lost:
        kb.rows(f"DELETE FROM {table} WHERE document_id = %s", broken)
    kb.documents.delete(ADA, broken)
    assert [kb.one(f"SELECT count(*) FROM {table} WHERE document_id = %s", broken) for table in DERIVED] == [0] * 5
    assert kb.one("SELECT (document_count, chunk_count)::text FROM collections") == "(1,1)"
    upkeep.run(60)
    assert len(kb.find("whales sing").hits) == 1
    if indexed and "chunk_terms" not in lost:
        assert kb.one("SELECT count(DISTINCT e >> 26) FROM postings, unnest(entries) AS e") == 1


@pytest.mark.parametrize("lost", LOST, ids="+".join)
def test_a_document_that_lacks_something_can_be_replaced(kb: KnowledgeBase, lost: list[str]) -> None:
    broken, _ = settled(kb, 2)
    replace(kb.upkeep, graph_from=1, inverted_from=1).run(60)
    for table in lost:
        kb.rows(f"DELETE FROM {table} WHERE document_id = %s", broken)
    kb.upload(broken, "Whales sing another song.")
    assert kb.document(broken).status == "ready"
    assert kb.one("SELECT chunk_count FROM collections") == 2
    assert len(kb.find("whales sing").hits) == 2


def test_a_deletion_that_is_done_again_counts_once(kb: KnowledgeBase) -> None:
    broken, _ = settled(kb, 2)
    kb.objects.broken = True
    with pytest.raises(StorageUnavailableError):
        kb.documents.delete(ADA, broken)
    kb.objects.broken = False
    kb.documents.delete(ADA, broken)
    assert kb.one("SELECT (document_count, chunk_count)::text FROM collections") == "(1,1)"


def test_what_is_being_worked_on_or_deleted_is_left_alone(kb: KnowledgeBase, reconcile: Reconcile) -> None:
    fresh, working, deleting = settled(kb, 3)
    kb.rows("DELETE FROM chunks")
    kb.rows("UPDATE documents SET updated_at = now() WHERE id = %s", fresh)
    kb.rows("UPDATE documents SET status = 'embedding' WHERE id = %s", working)
    kb.rows("UPDATE documents SET status = 'deleting' WHERE id = %s", deleting)
    report = whole(reconcile)
    assert (report.incomplete, report.orphan_objects, report.missing_objects) == (0, 0, 0)


def test_very_many_are_not_all_ingested_at_once(kb: KnowledgeBase, reconcile: Reconcile) -> None:
    settled(kb, REQUEUED + 3)
    kb.rows("DELETE FROM chunk_codes")
    report = replace(reconcile, stretch=100).run(0)
    assert (report.incomplete, report.requeued) == (REQUEUED + 3, REQUEUED)


def test_a_document_whose_file_is_gone_is_told_of_and_stays_found(kb: KnowledgeBase, reconcile: Reconcile) -> None:
    gone, *_ = settled(kb, 6)
    kb.objects.delete([object_key(gone)])
    report = whole(reconcile)
    assert (report.missing_objects, report.requeued) == (1, 0)
    assert len(kb.find("whales").hits) == 6


def test_more_documents_than_objects_in_a_stretch_are_all_looked_at(kb: KnowledgeBase, reconcile: Reconcile) -> None:
    ids = settled(kb, 10)
    kb.objects.delete([object_key(id_) for id_ in ids[:9]])
    report = whole(reconcile)
    assert (report.objects, report.documents, report.missing_objects) == (1, 10, 9)


def test_a_file_without_a_document_is_told_of_and_kept(kb: KnowledgeBase, reconcile: Reconcile) -> None:
    settled(kb, 3)
    strange = ["documents/a", "documents/b", "documents/c", "documents/d", "documents/~"]
    for key in [object_key(uuid7()), *strange]:
        kb.objects.put(key, b"?")
    report = whole(reconcile)
    assert (report.objects, report.documents, report.orphan_objects, report.missing_objects) == (9, 3, 6, 0)
    assert len(kb.objects.objects) == 9


def test_a_file_that_is_deleted_meanwhile_is_no_orphan(kb: KnowledgeBase, reconcile: Reconcile) -> None:
    [document] = settled(kb)
    listing = kb.objects.keys

    def once(prefix: str, after: str, limit: int) -> list[str]:
        found = listing(prefix, after, limit)
        kb.objects.keys = listing  # type: ignore[method-assign]
        kb.documents.delete(ADA, document)
        return found

    kb.objects.keys = once  # type: ignore[method-assign]
    assert reconcile.run(0).orphan_objects == 0


def test_a_bucket_that_cannot_be_read_is_a_fault_and_loses_no_place(kb: KnowledgeBase, reconcile: Reconcile) -> None:
    settled(kb, 6)
    reconcile.run(0)
    kb.objects.broken = True
    with pytest.raises(StorageUnavailableError):
        reconcile.run(0)
    kb.objects.broken = False
    assert reconcile.run(0).objects == 2
