"""Messages to SQS over the standard library, for the functions whose cold start has no room for boto3.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/ (AWS JSON 1.0)
"""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from spandrel.adapters.signature import Credentials, post_headers, utc_now
from spandrel.errors import QueueUnavailableError

TIMEOUT_SECONDS = 5


class SqsMessages:
    """One queue's door: signed calls on a connection that is kept across invocations."""

    def __init__(self, queue_url: str, region: str, endpoint_url: str | None) -> None:
        """`endpoint_url` where it is not the one that the queue's own URL names."""
        self._queue_url, self._region, self._endpoint_url = queue_url, region, endpoint_url
        self._connection: http.client.HTTPConnection | None = None

    def call(self, action: str, parameters: dict[str, Any]) -> bytes:
        """The answer to `action` on the queue. Raises `QueueUnavailableError`."""
        content = json.dumps({"QueueUrl": self._queue_url} | parameters).encode()
        try:
            status, answer = self._post(action, content)
        except (OSError, http.client.HTTPException):
            self.close()  # it may have been dropped while the function slept: once more, on a new connection
            try:
                status, answer = self._post(action, content)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise QueueUnavailableError from error
        if status != http.client.OK:
            raise QueueUnavailableError
        return answer

    def _post(self, action: str, content: bytes) -> tuple[int, bytes]:
        address = urlsplit(self._endpoint_url or self._queue_url)
        if self._connection is None:
            kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(address.netloc, timeout=TIMEOUT_SECONDS)
        headers = post_headers(
            Credentials.of_function(),
            "sqs",
            self._region,
            address.netloc,
            f"AmazonSQS.{action}",
            content,
            utc_now(),
            protocol="1.0",
        )
        self._connection.request("POST", "/", content, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
