"""Queue of S3 events, retries and purges → ingest, one record at a time, each with an end of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from spandrel import wiring
from spandrel.knowledge.ingest.embed import Patience
from spandrel.knowledge.ingest.models import IngestTask
from spandrel.knowledge.ingest.notifications import parse_notification
from spandrel.observability import count, logger, publish_metrics

# One poisoned record must not hold the batch up: only what failed comes back.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def ingest_record(record: SQSRecord, *, patience: Patience) -> None:
    for task in parse_notification(record.body):
        if isinstance(task, IngestTask):
            outcome = wiring.ingest().run(task, patience)
            count(f"Documents.{outcome.value}")
            logger.info("ingested", extra={"document_id": str(task.document_id), "outcome": outcome.value})
        else:
            removed = wiring.purge().run(task)
            count("Documents.purged", removed)
            logger.info("purged", extra={"collection_id": str(task.collection_id), "documents": removed})


@logger.inject_lambda_context
@publish_metrics
def handler(event: dict[str, Any], context: Any) -> PartialItemFailureResponse:
    patience = Patience(remaining=lambda: context.get_remaining_time_in_millis() / 1000)
    return process_partial_response(event, partial(ingest_record, patience=patience), processor, context)
