"""The ingest function's queue. boto3 is imported with the first use."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from spandrel.errors import StorageUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_DELAY_SECONDS = 900


class SqsQueue:
    """Implements `Queue`."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def _client(self) -> SQSClient:
        import boto3

        return boto3.client("sqs")

    def send(self, body: dict[str, Any], delay_seconds: float = 0) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.send_message(
                QueueUrl=self._url,
                MessageBody=msgspec.json.encode(body).decode(),
                DelaySeconds=min(int(delay_seconds), MAX_DELAY_SECONDS),
            )
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailableError(
                "The document queue cannot be reached at the moment. Try again shortly."
            ) from error
