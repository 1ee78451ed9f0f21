"""API Gateway's management API of WebSocket connections, as fast as its quota allows.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
"""

from __future__ import annotations

import ssl
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from spandrel.adapters.http_answer import HttpAnswer, HttpAnswerError
from spandrel.adapters.http_pool import HttpPool, NoRoomError
from spandrel.adapters.request_signer import RequestSigner
from spandrel.adapters.token_bucket import TokenBucket
from spandrel.events.ports import Delivery, Posted
from spandrel.observability import logger

if TYPE_CHECKING:
    from spandrel.settings import RealtimeSettings

POOL_SIZE = 400
"""Connections to the gateway: the quota's 10,000 a second at 15 ms each need 150; the rest may hang."""


class ApiGatewayConnections:
    """Implements `Gateway`. Belongs to the event loop that first uses it; its connections outlive an invocation."""

    def __init__(
        self, settings: RealtimeSettings, bucket: TokenBucket | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """`settings.connections_url`: the stage's address over https, as the gateway gives it. `tls`: None verifies by
        the system's roots.
        """
        address = urlsplit(settings.connections_url)
        secure = address.scheme == "https"
        self._pool = HttpPool(
            address.hostname or "",
            address.port or (443 if secure else 80),
            (tls or ssl.create_default_context()) if secure else None,
            POOL_SIZE,
        )
        self._bucket = bucket or TokenBucket(settings.rate, settings.burst)
        self._path = f"{address.path.rstrip('/')}/@connections/"
        self._signer = RequestSigner("execute-api", settings.region, address.netloc)
        self._complained: set[int] = set()

    async def post(self, connection_id: str, frame: bytes, *, timeout: float) -> Posted:
        if not await self._bucket.take(timeout):
            return Posted(Delivery.THROTTLED)
        return await self._call("POST", connection_id, frame, timeout)

    async def disconnect(self, connection_id: str, *, timeout: float) -> Posted:
        return await self._call("DELETE", connection_id, b"", timeout)

    def close(self) -> None:
        self._pool.close()

    async def _call(self, method: str, connection_id: str, body: bytes, timeout: float) -> Posted:
        path = f"{self._path}{quote(connection_id, safe='')}"
        head = self._signer.headers(method, path, body, time.time())
        content = f"{method} {path} HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body
        try:
            return self._outcome(await self._pool.request(content, timeout))
        except NoRoomError:
            return Posted(Delivery.THROTTLED)
        except (OSError, HttpAnswerError):
            return Posted(Delivery.FAILED)

    def _outcome(self, answer: HttpAnswer) -> Posted:
        if answer.status in (200, 204):
            return Posted(Delivery.SENT)
        if answer.status == 410:
            return Posted(Delivery.GONE)
        retry_after = _seconds(answer.headers.get(b"retry-after"))
        if answer.status == 429:
            self._bucket.drain()
            return Posted(Delivery.THROTTLED, retry_after)
        if answer.status < 500 and answer.status not in self._complained:  # a fault of ours, and of every call: once
            self._complained.add(answer.status)
            said = answer.body[:500].decode("utf-8", "replace")
            logger.error("the gateway refuses us", extra={"status": answer.status, "answer": said})
        return Posted(Delivery.FAILED, retry_after)


def _seconds(value: bytes | None) -> float | None:
    """Retry-After: seconds, or a date (RFC 9110, section 10.2.3). None: nothing that can be read."""
    if value is None:
        return None
    text = value.decode("ascii", "replace")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
