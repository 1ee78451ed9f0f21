"""The official SDK's client over our own transport, which puts credentials on and ends what cannot go well."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import httpx2
from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation

import spandrel
from spandrel.adapters import outbound_tls
from spandrel.adapters.mcp_verdict import by_status
from spandrel.adapters.oauth import Tokens, resource_metadata
from spandrel.adapters.outbound_faults import Fault, Journal, Policy
from spandrel.adapters.outbound_http import Transport
from spandrel.integrations.models import BearerAuth, HeaderAuth, OAuthClientCredentials, Reason, Target

FAREWELL_SECONDS = 1.0  # for telling a legacy server that its session is over
_OURS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "accept",
                   "accept-encoding", "upgrade", "te", "trailer"})  # fmt: skip


class McpTransport(Transport):
    """For one target. Raises `Fault`."""

    def __init__(
        self, target: Target, journal: Journal, policy: Policy, tokens: Tokens, context: ssl.SSLContext, limit: int
    ) -> None:
        super().__init__(journal, policy, context, limit)
        self._target, self._tokens, self._context = target, tokens, context

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        streams = self._target.transport == "sse"
        if request.method == "GET" and not streams:
            # The stream on which a legacy server could speak first. Nothing that it might say is waited for.
            return httpx2.Response(405, request=request)
        if request.method == "DELETE":
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._authorize(request)
                return await super().handle_async_request(request)
        response = await self._authorized(request)
        exchange = self._journal.exchange
        assert exchange is not None
        fault = by_status(exchange)
        if fault is None and streams and request.method == "POST" and not response.is_success:
            fault = Fault(Reason.SERVER_ERROR, f"The server did not take a message (HTTP {response.status_code}).")
        if fault is not None:
            await response.aclose()
            raise self._journal.fail(fault)
        return response

    async def _authorized(self, request: httpx2.Request) -> httpx2.Response:
        """With one more try where the server does not take a token: it may have ended early."""
        used = await self._authorize(request)
        response = await super().handle_async_request(request)
        if response.status_code != 401 or not isinstance(self._target.auth, OAuthClientCredentials):
            return response
        hint = resource_metadata(response.headers.get("www-authenticate", ""))
        await response.aclose()
        if not await self._authorize(request, refused=used, hint=hint):
            told = "The server asks for a token, but does not say where one is to be had. Give the token URL."
            raise self._journal.fail(Fault(Reason.AUTH_SERVER, told))
        return await super().handle_async_request(request)

    async def _authorize(
        self, request: httpx2.Request, *, refused: str | None = None, hint: str | None = None
    ) -> str | None:
        """Puts the credentials on; gives the token that was used, if it is one of OAuth."""
        match self._target.auth:
            case BearerAuth(token=token):
                self._put(request, "authorization", token, "Bearer ")
            case HeaderAuth(name=name, value=value):
                self._put(request, name, value)
            case OAuthClientCredentials() as auth:
                self.vet(str(request.url))
                try:
                    got = await self._tokens.token(self._target.url, auth, self._context, hint=hint, refused=refused)
                except Fault as fault:
                    raise self._journal.fail(fault) from None
                if got is not None:
                    self._put(request, "authorization", got, "Bearer ")
                return got
        return None

    def _put(self, request: httpx2.Request, name: str, value: str, scheme: str = "") -> None:
        plain = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
        if not plain or name.lower() in _OURS or not value.isascii() or not value.isprintable() or not value.strip():
            raise self._journal.fail(Fault(Reason.AUTH_REQUIRED, "The credentials cannot be sent in an HTTP header."))
        request.headers[name] = scheme + value.strip()


@lru_cache(maxsize=1)
def _quiet() -> None:
    """These loggers tell URLs and messages, in which there may be secrets; a probe says itself what was wrong."""
    for name in ("mcp", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@asynccontextmanager
async def connected(
    target: Target, journal: Journal, policy: Policy, tokens: Tokens, limit: int
) -> AsyncIterator[Client]:
    """A client that has agreed on a protocol with the server. At most `limit` bytes come back in all."""
    _quiet()
    try:
        context = outbound_tls.context(target.ca_certificate)
    except Fault as fault:
        raise journal.fail(fault) from None
    transport = McpTransport(target, journal, policy, tokens, context, limit)
    transport.vet(target.url)
    ours = {"accept-encoding": "identity", "user-agent": f"spandrel/{spandrel.__version__}"}

    def made(
        headers: dict[str, str] | None = None,
        timeout: Any = None,  # noqa: ARG001
        auth: Any = None,  # noqa: ARG001
    ) -> httpx2.AsyncClient:
        """As the SDK asks for one. `look` and `call` have a time limit of their own, `transport` does the rest."""
        asked = ours | (headers or {})
        return httpx2.AsyncClient(transport=transport, trust_env=False, timeout=None, headers=asked)

    client_info = Implementation(name="spandrel", version=spandrel.__version__)
    if target.transport == "sse":
        streams = sse_client(target.url, httpx_client_factory=made)
        async with Client(streams, mode="legacy", cache=None, client_info=client_info) as client:
            yield client
        return
    async with made() as http:
        streams = streamable_http_client(target.url, http_client=http, max_sse_event_size=limit)
        async with Client(streams, mode="auto", cache=None, client_info=client_info) as client:
            yield client
