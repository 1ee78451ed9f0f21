"""What arrives in the ingest queue: S3 events by way of EventBridge or from the bucket itself, retries and purges."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

import msgspec

from spandrel.knowledge.ingest.models import IngestTask, PurgeTask
from spandrel.knowledge.models import S3Object

SEQUENCER_DIGITS = 32
_PREFIX = "documents/"


class UnknownNotificationError(Exception):
    """The message is none that this queue is for."""


def retry_message(document_id: UUID) -> dict[str, Any]:
    return {"source": "spandrel", "detail-type": "Document Retry", "detail": {"document_id": str(document_id)}}


def task_message(task: IngestTask) -> dict[str, Any]:
    """The message that `parse_notification` reads as `task`: to come back to it later."""
    if task.source is None:
        return retry_message(task.document_id)
    found = task.source
    described = {"key": found.key, "size": found.size, "etag": found.etag, "sequencer": found.sequencer}
    detail = {"object": described | ({"version-id": found.version_id} if found.version_id else {})}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def purge_message(collection_id: UUID) -> dict[str, Any]:
    return {"source": "spandrel", "detail-type": "Collection Purge", "detail": {"collection_id": str(collection_id)}}


def parse_notification(body: str) -> list[IngestTask | PurgeTask]:
    """The tasks of one message; none for a test event or a key that is no document's.

    Raises `UnknownNotificationError` for a message of another kind.
    """
    try:
        message = msgspec.json.decode(body)
        match message:
            case {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}:
                # EventBridge gives the key as it is; only the bucket's own notifications encode it.
                return _ingest(detail["object"]["key"], detail["object"], "version-id", "etag")
            case {"source": "spandrel", "detail-type": "Document Retry", "detail": detail}:
                return [IngestTask(UUID(detail["document_id"]), None)]
            case {"source": "spandrel", "detail-type": "Collection Purge", "detail": detail}:
                return [PurgeTask(UUID(detail["collection_id"]))]
            case {"Event": "s3:TestEvent"}:
                return []
            case {"Records": [*records]}:
                return [
                    task
                    for record in records
                    if record["eventName"].startswith("ObjectCreated:")
                    for found in [record["s3"]["object"]]
                    for task in _ingest(unquote_plus(found["key"]), found, "versionId", "eTag")
                ]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnknownNotificationError(body[:200]) from error
    raise UnknownNotificationError(body[:200])


def _ingest(key: str, found: dict[str, Any], version: str, etag: str) -> list[IngestTask | PurgeTask]:
    if not key.startswith(_PREFIX):
        return []
    try:
        document_id = UUID(key.removeprefix(_PREFIX))
    except ValueError:
        return []
    # Sequencers are hexadecimal and of unequal length (Amazon S3 guide, "Event message structure").
    sequencer = str(found["sequencer"]).upper().rjust(SEQUENCER_DIGITS, "0")
    source = S3Object(key, found.get(version) or None, found.get(etag), found.get("size"), sequencer)
    return [IngestTask(document_id, source)]
