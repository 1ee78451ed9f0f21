"""The queue of turns: SQS FIFO over the standard library, because session_init's cold start has no room for boto3.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html (AWS JSON 1.0)
"""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spandrel.adapters.signature import Credentials, post_headers, utc_now
from spandrel.errors import QueueUnavailableError

if TYPE_CHECKING:
    from spandrel.settings import TurnQueueSettings

TIMEOUT_SECONDS = 5


class SqsFifoQueue:
    """Implements `TurnQueue`. Its connection is kept across invocations."""

    def __init__(self, settings: TurnQueueSettings) -> None:
        self._settings = settings
        self._connection: http.client.HTTPConnection | None = None

    def send(self, body: dict[str, Any], *, group: str, deduplication_id: str) -> None:
        content = json.dumps(
            {
                "QueueUrl": self._settings.url,
                "MessageBody": json.dumps(body),
                "MessageGroupId": group,
                "MessageDeduplicationId": deduplication_id,
            }
        ).encode()
        try:
            status = self._post(content)
        except (OSError, http.client.HTTPException):
            self.close()  # it may have been dropped while the function slept: once more, on a new connection
            try:
                status = self._post(content)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise QueueUnavailableError from error
        if status != http.client.OK:
            raise QueueUnavailableError

    def _post(self, content: bytes) -> int:
        address = urlsplit(self._settings.endpoint_url or self._settings.url)
        if self._connection is None:
            kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(address.netloc, timeout=TIMEOUT_SECONDS)
        headers = post_headers(
            Credentials.of_function(),
            "sqs",
            self._settings.region,
            address.netloc,
            "AmazonSQS.SendMessage",
            content,
            utc_now(),
            protocol="1.0",
        )
        self._connection.request("POST", "/", content, headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
