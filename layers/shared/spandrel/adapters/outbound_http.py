"""HTTP to foreign servers: an httpx2 transport that vets every URL, bounds every answer and notes what it saw.

No proxy of the environment is used, no compression is asked for, and of redirects only those to the same origin that
keep the method go through.
"""

from __future__ import annotations

import math
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin

import httpcore2
import httpx2

from spandrel.adapters.outbound_faults import Exchange, Fault, Journal, Policy
from spandrel.adapters.outbound_network import Backend, Stream
from spandrel.errors import AddressForbiddenError
from spandrel.integrations.models import Reason
from spandrel.outbound.addresses import vet

MAX_REDIRECTS = 3
HEAD_BYTES = 4096
_METHOD_KEPT = (307, 308)  # RFC 9110: after the others a client may send a GET, which would lose the message
_COMPRESSED = ("gzip", "x-gzip", "deflate")


class _Backend(Backend):
    """Keeps its latest connection: whether a broken answer broke off or was never HTTP is known there."""

    latest: Stream | None = None

    async def connect_tcp(self, *arguments: object, **more: object) -> Stream:
        self.latest = await super().connect_tcp(*arguments, **more)  # type: ignore[arg-type]
        return self.latest


class Transport(httpx2.AsyncBaseTransport):
    """For one look or call: at most `limit` bytes come back in all, decompressed. Raises `Fault`, told to `journal`."""

    def __init__(self, journal: Journal, policy: Policy, context: ssl.SSLContext, limit: int) -> None:
        self._journal, self._policy, self._left = journal, policy, limit
        self._limit = limit
        self._backend = _Backend(journal, policy)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context, network_backend=self._backend, max_connections=4, keepalive_expiry=30
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.vet(str(request.url))
        response = await self._send(request)
        if response.has_redirect_location:
            self._redirected(request, response.status_code, response.headers["location"])
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", *_COMPRESSED):
            told = f"The server sends its answers compressed ({encoding[:20]}), which it was not asked for."
            raise self._journal.fail(Fault(Reason.PROTOCOL, told))
        exchange = Exchange(
            response.status_code, response.headers.get("content-type", "").partition(";")[0].strip().lower(),
            retry_after(response.headers.get("retry-after")),
        )  # fmt: skip
        if request.method in ("POST", "GET"):
            self._journal.exchange = exchange
        body = self._body(response.stream, encoding in _COMPRESSED, exchange)  # type: ignore[arg-type]
        response.headers.pop("content-encoding", None)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=_Body(body, response), request=request
        )

    def vet(self, url: str) -> None:
        """Before anything else looks at `url`: two parsers may read one text differently. Raises `Fault`."""
        try:
            vet(url, allow_loopback=self._policy.allow_loopback)
        except AddressForbiddenError as error:
            raise self._journal.fail(Fault(Reason.ADDRESS_FORBIDDEN, error.detail)) from None

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        outgoing = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
        )
        try:
            answer = await self._pool.handle_async_request(outgoing)
        except (httpcore2.ProtocolError, httpcore2.NetworkError) as error:
            raise self._journal.fail(self._broken()) from error
        return httpx2.Response(answer.status, headers=answer.headers, stream=answer.stream)  # type: ignore[arg-type]

    def _broken(self) -> Fault:
        latest = self._backend.latest
        if latest is not None and latest.ended and latest.began in (b"", b"HTTP/"):
            return Fault(Reason.CONNECTION, "The server closed the connection before its answer was whole.")
        return Fault(Reason.NOT_MCP, "What answers at this address does not speak HTTP.")

    def _redirected(self, request: httpx2.Request, status: int, location: str) -> None:
        """Lets pass what the SDK will follow, and refuses the rest by name."""
        target = urljoin(str(request.url), location)
        try:
            address = vet(target.partition("#")[0], allow_loopback=self._policy.allow_loopback)
        except AddressForbiddenError:
            told = "The server redirects to an address that cannot be called."
            raise self._journal.fail(Fault(Reason.ADDRESS_FORBIDDEN, told)) from None
        if address.origin != vet(str(request.url), allow_loopback=self._policy.allow_loopback).origin:
            raise self._journal.fail(
                Fault(Reason.REDIRECT, f"The server redirects to {address.host}. Use its URL there.")
            )
        if request.method not in ("GET", "HEAD") and status not in _METHOD_KEPT:
            told = f"The server redirects to another page (HTTP {status}), perhaps to sign in. Check the URL."
            raise self._journal.fail(Fault(Reason.REDIRECT, told))
        self._journal.redirects += 1
        if self._journal.redirects > MAX_REDIRECTS:
            raise self._journal.fail(Fault(Reason.REDIRECT, "The server redirects in a circle, or too often."))

    async def _body(self, stream: AsyncIterator[bytes], compressed: bool, exchange: Exchange) -> AsyncIterator[bytes]:
        inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if compressed else None
        try:
            async for chunk in stream:
                # One byte more than is left is enough to know that it is too much.
                found = inflate.decompress(chunk, self._left + 1) if inflate else chunk
                self._left -= len(found)
                if self._left < 0:
                    told = f"The server's answers are larger than {self._limit / 2**20:.3g} MiB."
                    raise self._journal.fail(Fault(Reason.TOO_LARGE, told))
                if len(exchange.head) < HEAD_BYTES:
                    exchange.head += found[: HEAD_BYTES - len(exchange.head)]
                yield found
        except zlib.error as error:
            raise self._journal.fail(Fault(Reason.PROTOCOL, "The server's answer cannot be decompressed.")) from error
        except (httpcore2.ProtocolError, httpcore2.NetworkError) as error:
            raise self._journal.fail(self._broken()) from error

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, chunks: AsyncIterator[bytes], response: httpx2.Response) -> None:
        self._chunks, self._response = chunks, response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        await self._response.stream.aclose()  # type: ignore[union-attr]


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110 section 10.2.3), which may be a date."""
    if not value:
        return None
    with suppress(ValueError):
        seconds = float(value)
        return seconds if 0 <= seconds < math.inf else None
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    with suppress(ValueError, TypeError):
        found = parsedate_to_datetime(value)
        if found.tzinfo is not None:
            return max(0.0, (found - datetime.now(UTC)).total_seconds())
    return None


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: httpx2.Headers
    body: bytes


async def fetch(
    policy: Policy,
    context: ssl.SSLContext,
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    form: dict[str, str] | None = None,
    limit: int = 256 * 1024,
) -> Answer:
    """One request outside of MCP, by the same rules; no redirect is followed. Raises `Fault`."""
    transport = Transport(Journal(), policy, context, limit)
    asked = {"accept": "application/json", "accept-encoding": "identity"} | (headers or {})
    async with httpx2.AsyncClient(transport=transport, trust_env=False, timeout=None, headers=asked) as client:
        transport.vet(url)
        answer = await client.request(method, url, data=form, follow_redirects=False)
        return Answer(answer.status_code, answer.headers, answer.content)
