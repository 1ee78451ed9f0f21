"""Documents that nobody works on are found: queued again, their deletion finished. On real Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from spandrel.errors import StorageUnavailableError
from spandrel.knowledge.stuck import StuckReport
from tests.support.knowledge import ADA, KnowledgeBase


def test_with_nothing_to_do_it_does_nothing(kb: KnowledgeBase) -> None:
    kb.add(kb.collection(), "Whales.")
    assert kb.stuck.run(1) == StuckReport()
    assert not kb.queue.messages


@pytest.mark.parametrize("status", ["parsing", "chunking", "embedding"])
def test_a_document_whose_worker_died_is_queued_again(kb: KnowledgeBase, status: str) -> None:
    document = kb.announce(kb.collection())
    kb.put(document, "Whales.")
    kb.rows(
        "UPDATE documents SET status = %s, sequencer = '0', attempt = 1, lease_owner = gen_random_uuid(),"
        " lease_until = now() - interval '1 second'",
        status,
    )
    assert kb.stuck.run(1).requeued == 1
    assert kb.document(document).status == "queued"
    assert kb.events()[-1] == "document.queued"
    kb.drain()
    assert kb.document(document).status == "ready"


def test_a_document_at_work_is_left_alone(kb: KnowledgeBase) -> None:
    document = kb.announce(kb.collection())
    reports: list[StuckReport] = []
    kb.embedder.during = lambda: reports.append(kb.stuck.run(1))
    kb.upload(document, "Whales.")
    assert reports == [StuckReport()]
    assert kb.document(document).status == "ready"


def test_a_message_that_got_lost_is_sent_again(kb: KnowledgeBase) -> None:
    document = kb.announce(kb.collection())
    kb.upload(document, b" ")
    kb.documents.retry(ADA, document)
    kb.queue.messages.clear()
    assert kb.stuck.run(1).requeued == 0
    kb.rows("UPDATE documents SET updated_at = now() - interval '21 minutes'")
    assert kb.stuck.run(1).requeued == 1
    assert len(kb.queue.messages) == 1


def test_two_runs_at_once_queue_a_document_once(kb: KnowledgeBase) -> None:
    collection = kb.collection()
    for n in range(20):
        kb.announce(collection, name=f"{n}.md")
    kb.rows("UPDATE documents SET status = 'embedding', lease_until = now() - interval '1 second'")
    runners = [replace(kb.stuck, database=kb.connect("spandrel_system")) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        reports = list(pool.map(lambda runner: runner.run(1), runners))
    for runner in runners:
        runner.database.close()
    assert sum(report.requeued for report in reports) == len(kb.queue.messages) == 20


def test_a_deletion_that_stopped_half_way_is_finished(kb: KnowledgeBase) -> None:
    document = kb.add(kb.collection(), "Whales.")
    kb.objects.broken = True
    with pytest.raises(StorageUnavailableError):
        kb.documents.delete(ADA, document)
    kb.objects.broken = False
    assert kb.find("whales").hits == []
    assert kb.stuck.run(1).deleted == 0  # it may be at work yet
    kb.rows("UPDATE documents SET updated_at = now() - interval '6 minutes'")
    assert kb.stuck.run(1).deleted == 1
    assert kb.rows("SELECT * FROM documents") == []
    assert kb.objects.objects == {}
    assert kb.events().count("document.deleting") == 1


def test_without_time_deletions_are_left_to_the_next_run(kb: KnowledgeBase) -> None:
    kb.add(kb.collection(), "Whales.")
    kb.rows("UPDATE documents SET status = 'deleting', updated_at = now() - interval '6 minutes'")
    assert kb.stuck.run(0) == StuckReport()
    assert kb.stuck.run(1).deleted == 1
