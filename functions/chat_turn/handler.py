"""Queue of turns → the model: one turn an invocation, each with an end of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from spandrel import wiring
from spandrel.chat.ask import Invocation
from spandrel.chat.turn import TurnOutcome
from spandrel.observability import count, logger, publish_metrics
from spandrel.sessions.messages import TurnTask

# A batch is one record, which keeps the queue's order; what must come back is reported, not raised.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


class NotYetError(Exception):
    """An earlier turn of the session is not finished: the message comes back."""


def run_record(record: SQSRecord, *, invocation: Invocation) -> None:
    task = msgspec.json.decode(record.body, type=TurnTask)
    outcome = wiring.run_turn().run(task, invocation)
    count(f"Turns.{outcome.value}")
    logger.info("turn", extra={"turn_id": str(task.turn_id), "outcome": outcome.value})
    if outcome is TurnOutcome.BUSY:
        raise NotYetError


@logger.inject_lambda_context
@publish_metrics
def handler(event: dict[str, Any], context: Any) -> PartialItemFailureResponse:
    invocation = Invocation(remaining=lambda: context.get_remaining_time_in_millis() / 1000)
    return process_partial_response(event, partial(run_record, invocation=invocation), processor, context)
