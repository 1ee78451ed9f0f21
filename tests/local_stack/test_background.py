"""What nobody waits for: purges, workers that die, messages that get lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.stack_user import DERIVED, StackUser, count, left_behind, rows, until

UPKEEP = "spandrel-health-check"
INGEST = "spandrel-document-ingest"


@pytest.fixture(scope="module")
def user(stack):
    return StackUser(stack)


def test_a_deleted_collection_is_gone_at_once_and_purged_soon(stack):
    user = StackUser(stack)
    collection = user.collection()
    documents = [
        user.upload(collection, f"{n}.md", f"# Plan {n}\n\nThe orchard is planted in rows.".encode()) for n in range(12)
    ]
    [never] = user.announce(collection, "never.txt")
    for document in documents:
        assert user.settled(document)["status"] == "ready"
    documents.append(never["document"]["id"])

    user.call("DELETE", f"/v1/collections/{collection}")

    assert user.hits("orchard rows") == []
    assert collection not in [row["id"] for row in user.call("GET", "/v1/collections")["items"]]
    for path in (f"collections/{collection}", f"documents/{documents[0]}", f"documents/{documents[0]}/download"):
        user.call("GET", f"/v1/{path}", status=404)
    assert user.call("GET", "/v1/documents")["items"] == []
    query = "SELECT count(*) AS n FROM collections WHERE id = %s"
    until(lambda: rows(stack, query, collection) == [{"n": 0}], what="the purge")
    assert [left_behind(stack, document) for document in documents] == [{}] * len(documents)
    assert rows(stack, "SELECT count(*) AS n FROM term_counts WHERE collection_id = %s", collection) == [{"n": 0}]


def test_a_document_whose_worker_is_killed_is_finished_by_another(stack, user):
    collection = user.collection(chunk_size=50, chunk_overlap=0)
    lines = "\n\n".join(f"Paragraph {n} tells of the river and its ferry number{n}." for n in range(20_000))
    document = user.upload(collection, "long.txt", lines.encode())
    until(lambda: user.document(document)["status"] in ("parsing", "chunking", "embedding"), what="its ingest")

    assert _kill_workers(stack, INGEST)
    time.sleep(0.5)
    assert user.document(document)["status"] in ("parsing", "chunking", "embedding")

    _expire(stack, document)
    _upkeep(stack)
    done = user.settled(document, 90)
    assert done["status"] == "ready", done
    assert done["version"] == 1
    assert {table: count(stack, table, [document]) for table in DERIVED} == {
        "chunks": done["chunk_count"],
        "chunk_embeddings": done["chunk_count"],
        "chunk_codes": done["chunk_count"],
        "chunk_terms": done["chunk_count"],
        "document_terms": 1,
        "embedding_stash": 0,
    }
    assert user.hits("ferry number19999", collections=[collection], mode="text")[0]["document_id"] == document


@pytest.mark.parametrize("status", ["queued", "parsing", "chunking", "embedding"])
def test_a_document_whose_message_is_lost_is_found_by_upkeep(stack, user, status):
    collection = user.collection()
    document = user.ready(collection, "lost.txt", b"The bell rings at noon.")["id"]
    query = (
        "UPDATE documents SET status = %s, lease_owner = uuidv7(), lease_until = now() - interval '1 second', "
        "updated_at = now() - interval '1 hour' WHERE id = %s"
    )
    rows(stack, query, status, document)

    _upkeep(stack)

    assert user.settled(document)["status"] == "ready"
    assert user.document(document)["version"] == 2
    assert len(user.hits("bell noon", collections=[collection])) == 1


def test_a_deletion_that_stopped_half_way_is_finished_by_upkeep(stack, user):
    document = user.ready(user.collection(), "half.txt", b"The bell rings at noon.")["id"]
    rows(
        stack,
        "UPDATE documents SET status = 'deleting', updated_at = now() - interval '1 hour' WHERE id = %s",
        document,
    )
    _upkeep(stack)
    assert left_behind(stack, document) == {}


def test_the_same_event_twice_and_an_older_one_late_change_nothing(stack, user):
    """S3 delivers at least once and in no order."""
    collection = user.collection()
    document = user.ready(collection, "twice.txt", b"The first edition.")["id"]
    old = rows(stack, "SELECT * FROM documents WHERE id = %s", document)[0]
    user.replace(document, b"The second edition.")
    new = rows(stack, "SELECT * FROM documents WHERE id = %s", document)[0]
    assert old["sequencer"] < new["sequencer"]
    sqs = stack.client("sqs")
    [queue] = [url for url in sqs.list_queues()["QueueUrls"] if "DocumentQueue" in url]
    for state in (new, old, new):
        event = _created(stack, document, state)
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event))
    # A message for another document is behind them in the queue; once it is done they have been looked at.
    user.ready(collection, "after.txt", b"Something else.")
    _drained(stack, queue)
    found = user.document(document)
    assert (found["status"], found["version"]) == ("ready", 2)
    assert [hit["text"] for hit in user.hits("edition", collections=[collection], mode="text")] == [
        "The second edition."
    ]


def _created(stack: Any, document: str, state: dict[str, Any]) -> dict[str, Any]:
    found = {
        "key": f"documents/{document}",
        "size": state["size_bytes"],
        "etag": state["s3_etag"],
        "version-id": state["s3_version_id"],
        "sequencer": state["sequencer"].lstrip("0"),
    }
    detail = {"bucket": {"name": stack.bucket}, "object": found}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def _drained(stack: Any, queue: str) -> None:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def empty() -> bool:
        found = stack.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        return found["ApproximateNumberOfMessages"] == "0"

    until(empty, what="the queue's end")
    time.sleep(1)


def _upkeep(stack: Any) -> None:
    """Runs it now; its own schedule may have come a moment before, so what it reports proves nothing."""
    answer = stack.client("lambda").invoke(FunctionName=UPKEEP, Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()


def _expire(stack: Any, document: str) -> None:
    rows(stack, "UPDATE documents SET lease_until = now() - interval '1 second' WHERE id = %s", document)


def _kill_workers(stack: Any, function: str) -> int:
    """Ends this stack's processes of one function as a machine's failure would; the number of them."""
    killed = 0
    temporary = Path(stack.home).resolve() / "tmp"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            command = " ".join(process.cmdline())
            if str(temporary) in command and function in command:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
    return killed
