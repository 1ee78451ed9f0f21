from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from spandrel.knowledge.ingest.models import IngestTask, PurgeTask
from spandrel.knowledge.ingest.notifications import (
    UnknownNotificationError,
    parse_notification,
    purge_message,
    retry_message,
    task_message,
)
from spandrel.knowledge.models import S3Object

ID = UUID("01a20618-6f5d-79ec-8747-be64bde6f344")


def eventbridge(**found: Any) -> str:
    described = {"key": f"documents/{ID}", "size": 5, "etag": "e", "version-id": "v", "sequencer": "0a1"} | found
    return json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": {"object": described}})


def bucket(event: str = "ObjectCreated:Put", **found: Any) -> dict[str, Any]:
    described = {"key": f"documents/{ID}", "size": 5, "eTag": "e", "versionId": "v", "sequencer": "0a1"} | found
    return {"eventName": event, "s3": {"object": described}}


@pytest.mark.parametrize("body", [eventbridge(), json.dumps({"Records": [bucket()]})])
def test_an_upload_is_a_document_to_ingest(body: str) -> None:
    [task] = parse_notification(body)
    assert isinstance(task, IngestTask)
    assert task.source is not None
    assert (task.document_id, task.source.version_id, task.source.etag, task.source.size) == (ID, "v", "e", 5)


@pytest.mark.parametrize("given", ["a1", "A1", "0a1", "00A1"])
def test_sequencers_are_padded_so_that_text_order_is_theirs(given: str) -> None:
    [task] = parse_notification(eventbridge(sequencer=given))
    assert isinstance(task, IngestTask)
    assert task.source is not None
    assert task.source.sequencer == "A1".rjust(32, "0")


def test_a_bucket_without_versions_names_none() -> None:
    [task] = parse_notification(eventbridge(**{"version-id": ""}))
    assert isinstance(task, IngestTask)
    assert task.source is not None
    assert task.source.version_id is None


def test_the_bucket_s_own_notifications_encode_the_key() -> None:
    records = [bucket(key=f"documents%2F{ID}"), bucket("ObjectRemoved:Delete"), bucket(key="other")]
    assert len(parse_notification(json.dumps({"Records": records}))) == 1


def test_eventbridge_gives_the_key_as_it_is() -> None:
    assert parse_notification(eventbridge(key=f"documents%2F{ID}")) == []


@pytest.mark.parametrize("key", ["", "documents/", "documents/x", f"other/{ID}", f"documents/{ID}/x"])
def test_what_is_no_document_is_left_alone(key: str) -> None:
    assert parse_notification(eventbridge(key=key)) == []


def test_a_test_event_is_nothing_to_do() -> None:
    assert parse_notification('{"Service": "Amazon S3", "Event": "s3:TestEvent"}') == []


def test_own_messages_come_back_as_tasks() -> None:
    assert parse_notification(json.dumps(retry_message(ID))) == [IngestTask(ID, None)]
    assert parse_notification(json.dumps(purge_message(ID))) == [PurgeTask(ID)]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "x",
        "{}",
        "null",
        "[1]",
        '{"Records": [1]}',
        '{"Records": [{"eventName": null}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {}}]}',
        '{"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}}',
        '{"source": "aws.s3", "detail-type": "Object Created", "detail": {}}',
        '{"source": "aws.s3", "detail-type": "Object Created", "detail": {"object": {"key": 1}}}',
        '{"source": "spandrel", "detail-type": "Document Retry", "detail": {"document_id": "x"}}',
        '{"source": "spandrel", "detail-type": "Collection Purge", "detail": null}',
    ],
)
def test_a_message_of_another_kind_is_told(body: str) -> None:
    with pytest.raises(UnknownNotificationError):
        parse_notification(body)


def test_an_upload_without_a_sequencer_is_told() -> None:
    detail = {"object": {"key": f"documents/{ID}"}}
    with pytest.raises(UnknownNotificationError):
        parse_notification(json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail}))


@pytest.mark.parametrize("version", ["v7", None])
def test_a_task_can_be_written_as_the_message_that_it_came_from(version: str | None) -> None:
    task = IngestTask(ID, S3Object(f"documents/{ID}", version, "etag", 12, "00AB".rjust(32, "0")))
    assert parse_notification(json.dumps(task_message(task))) == [task]
    retry = IngestTask(ID, None)
    assert parse_notification(json.dumps(task_message(retry))) == [retry]
