"""The ingest function: a batch of queue messages, each with an end of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.document_ingest.handler import handler
from spandrel.errors import EmbeddingUnavailableError
from spandrel.knowledge.ingest.notifications import purge_message, retry_message
from tests.support.events import Context, sqs_event
from tests.support.knowledge import ADA, KnowledgeBase


def failures(answer: Any) -> list[str]:
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def test_a_message_is_ingested(wired: KnowledgeBase) -> None:
    document = wired.announce(wired.collection())
    assert failures(handler(sqs_event(wired.put(document, "Whales.")), Context())) == []
    assert wired.document(document).status == "ready"


def test_a_poisoned_record_does_not_hold_up_its_batch(wired: KnowledgeBase) -> None:
    collection = wired.collection()
    first, poisoned, last = (wired.announce(collection, name=f"{n}.md") for n in range(3))
    bodies = [
        wired.put(first, "Whales."),
        wired.put(poisoned, bytes(range(256)) * 30),
        "not a message of ours",
        wired.put(last, "Sharks."),
    ]
    assert failures(handler(sqs_event(*bodies), Context())) == ["message-2"]
    assert [wired.document(each).status for each in (first, poisoned, last)] == ["ready", "failed", "ready"]


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", "null", '{"source": "aws.s3"}', '{"Records": [{}]}', '{"Records": 1}']
)
def test_a_message_of_another_kind_comes_back(wired: KnowledgeBase, body: str) -> None:
    assert failures(handler(sqs_event(body), Context())) == ["message-0"]


def test_a_test_event_of_s3_is_acknowledged(wired: KnowledgeBase) -> None:
    body = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "documents"})
    assert failures(handler(sqs_event(body), Context())) == []


def test_an_object_that_is_no_document_is_acknowledged(wired: KnowledgeBase) -> None:
    detail = {"object": {"key": "console/index.html", "sequencer": "01"}}
    body = json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail})
    assert failures(handler(sqs_event(body), Context())) == []


def test_a_notification_of_the_bucket_itself_is_ingested(wired: KnowledgeBase) -> None:
    document = wired.announce(wired.collection())
    found = json.loads(wired.put(document, "Whales."))["detail"]["object"]
    record = {
        "eventName": "ObjectCreated:Post",
        "s3": {
            "object": {
                "key": found["key"].replace("-", "%2D"),
                "size": found["size"],
                "eTag": found["etag"],
                "versionId": found["version-id"],
                "sequencer": found["sequencer"],
            }
        },
    }
    assert failures(handler(sqs_event(json.dumps({"Records": [record]})), Context())) == []
    assert wired.document(document).status == "ready"


def test_a_retry_and_a_purge_are_done(wired: KnowledgeBase) -> None:
    kept, gone = wired.collection(name="kept"), wired.collection(name="gone")
    document = wired.announce(kept)
    wired.upload(document, " ")
    wired.documents.retry(ADA, document)
    wired.add(gone, "Sharks.")
    wired.collections.delete(ADA, gone.id)
    event = sqs_event(json.dumps(retry_message(document)), json.dumps(purge_message(gone.id)))
    assert failures(handler(event, Context())) == []
    assert wired.document(document).status == "failed"
    assert wired.one("SELECT count(*) FROM collections") == 1


def test_a_batch_that_fails_whole_comes_back_message_by_message(wired: KnowledgeBase) -> None:
    assert failures(handler(sqs_event("one", "two"), Context())) == ["message-0", "message-1"]


def test_the_provider_is_not_waited_for_beyond_the_invocation(wired: KnowledgeBase) -> None:
    document = wired.announce(wired.collection())
    wired.embedder.failures.append(EmbeddingUnavailableError(retry_after=90))
    assert failures(handler(sqs_event(wired.put(document, "Whales.")), Context(seconds=80))) == []
    assert wired.document(document).status == "queued"
    assert wired.queue.delays == [90]
