"""The queue of turns: SQS FIFO, without boto3.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spandrel.adapters.sqs_messages import SqsMessages

if TYPE_CHECKING:
    from spandrel.settings import TurnQueueSettings


class SqsFifoQueue:
    """Implements `TurnQueue`. Its connection is kept across invocations."""

    def __init__(self, settings: TurnQueueSettings) -> None:
        self._messages = SqsMessages(settings.url, settings.region, settings.endpoint_url)

    def send(self, body: dict[str, Any], *, group: str, deduplication_id: str) -> None:
        self._messages.call(
            "SendMessage",
            {"MessageBody": json.dumps(body), "MessageGroupId": group, "MessageDeduplicationId": deduplication_id},
        )

    def close(self) -> None:
        self._messages.close()
