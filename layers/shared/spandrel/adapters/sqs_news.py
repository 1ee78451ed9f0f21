"""The queue that says who has news: SQS, without boto3, because every function that changes something tells.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import ceil
from typing import TYPE_CHECKING

from spandrel.adapters.sqs_messages import SqsMessages
from spandrel.errors import QueueUnavailableError

if TYPE_CHECKING:
    from spandrel.settings import RealtimeSettings

BATCH = 10
LONGEST_DELAY_SECONDS = 900


class SqsNews:
    """Implements `News` and `Reminders`. Its connection is kept across invocations."""

    def __init__(self, settings: RealtimeSettings) -> None:
        self._messages = SqsMessages(settings.queue_url, settings.region, settings.endpoint_url)

    def tell(self, user_ids: Iterable[str]) -> None:
        self.remind(user_ids, 0)

    def remind(self, user_ids: Iterable[str], delay_seconds: float) -> None:
        """Whole seconds, rounded up, as the queue counts them."""
        delay = min(ceil(delay_seconds), LONGEST_DELAY_SECONDS)
        failed = 0
        told = list(user_ids)
        for begin in range(0, len(told), BATCH):
            failed += self._send(told[begin : begin + BATCH], delay)
        if failed:
            raise QueueUnavailableError(f"{failed} of {len(told)} messages were not taken.")

    def _send(self, user_ids: list[str], delay: int) -> int:
        entries = [
            {"Id": str(number), "MessageBody": json.dumps({"user_id": user_id}), "DelaySeconds": delay}
            for number, user_id in enumerate(user_ids)
        ]
        answer = self._messages.call("SendMessageBatch", {"Entries": entries})
        try:
            return len(json.loads(answer).get("Failed") or ())
        except (ValueError, AttributeError) as error:
            raise QueueUnavailableError from error

    def close(self) -> None:
        self._messages.close()
