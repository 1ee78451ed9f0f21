"""Connections to foreign servers: every DNS answer is vetted, and the address that was vetted is the one dialled."""

# ruff: noqa: ARG002 - the signatures are httpcore2's
from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from typing import Any

import httpcore2

from spandrel.adapters import outbound_tls
from spandrel.adapters.outbound_faults import Fault, Journal, Policy
from spandrel.integrations.models import Reason, TlsEvidence
from spandrel.outbound.addresses import LOOPBACK, ip_allowed

MAX_ADDRESSES = 4
CONNECT_SECONDS = 3.0  # where there is another address to try
EVIDENCE_SECONDS = 3.0
RESOLVER_THREADS = 64  # a name whose DNS does not answer holds one for as long as the resolver waits


@lru_cache(maxsize=1)
def _resolvers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(RESOLVER_THREADS, "resolve")


async def resolve(host: str, port: int) -> list[str]:
    """The system's resolver, in threads of our own: the event loop's few would wait for one another."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_resolvers(), lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _since(begin: float) -> float:
    return (time.perf_counter() - begin) * 1000


class Backend(httpcore2.AsyncNetworkBackend):
    """For one look at one server: a name is resolved once, so that a second answer cannot lead elsewhere."""

    def __init__(self, journal: Journal, policy: Policy) -> None:
        self._journal, self._allow_loopback, self._resolve = journal, policy.allow_loopback, policy.resolve or resolve
        self._known: dict[str, list[str]] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        """The whole look has one time limit, so `timeout` is not looked at. Raises `Fault`."""
        addresses = await self._vetted(host, port)
        self._journal.phase = "connect"
        begin = time.perf_counter()
        for place, address in enumerate(addresses, 1):
            try:
                dialled = await _dial(address, port, CONNECT_SECONDS if place < len(addresses) else None)
                break
            except OSError as error:  # TimeoutError among them
                if place == len(addresses):
                    raise self._journal.fail(_unreachable(error)) from error
        if self._journal.connect is None:
            self._journal.connect, self._journal.address = _since(begin), address
        self._journal.phase = self._journal.stage
        return Stream(dialled, self._journal, host, (address, port))

    async def _vetted(self, host: str, port: int) -> list[str]:
        if host not in self._known:
            self._journal.phase = "dns"
            begin = time.perf_counter()
            self._known[host] = await self._ask(host, port)
            if self._journal.dns is None:
                self._journal.dns = _since(begin)
        return self._known[host]

    async def _ask(self, host: str, port: int) -> list[str]:
        """Every answer must be one that may be called: a name with one foot inside is not called at all."""
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
            found = [host]
        except OSError:
            try:
                found = await self._resolve(host, port)
            except (OSError, UnicodeError) as error:
                raise self._journal.fail(Fault(Reason.DNS, "The server's name is not known to DNS.")) from error
        if not found:
            raise self._journal.fail(Fault(Reason.DNS, "DNS has no address for the server's name."))
        allow = self._allow_loopback and host in LOOPBACK
        if not all(ip_allowed(each, allow_loopback=allow) for each in found):
            told = "The server's name stands for an address that is not on the public internet."
            raise self._journal.fail(Fault(Reason.ADDRESS_FORBIDDEN, told))
        return found[:MAX_ADDRESSES]


async def _dial(address: str, port: int, timeout: float | None) -> socket.socket:
    dialled = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        dialled.setblocking(False)
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(dialled, (address, port))
    except BaseException:
        dialled.close()
        raise
    return dialled


def _unreachable(error: OSError) -> Fault:
    if isinstance(error, ConnectionRefusedError):
        return Fault(Reason.REFUSED, "Nothing listens at the server's address and port.")
    if isinstance(error, TimeoutError):
        return Fault(Reason.TIMEOUT, "The server did not accept a connection in time.")
    return Fault(Reason.CONNECTION, "The server's address cannot be reached.")


class Stream(httpcore2.AsyncNetworkStream):
    """A connection, plain until `start_tls`. Raises `Fault`."""

    def __init__(self, dialled: socket.socket, journal: Journal, host: str, address: tuple[str, int]) -> None:
        self._socket, self._journal, self._host, self._address = dialled, journal, host, address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.began, self.ended = b"", False

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(sock=self._socket)
        return self._streams

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Stream:
        self._journal.phase = "tls"
        begin, host = time.perf_counter(), server_hostname or self._host
        try:
            self._streams = await self._handshake(ssl_context, host)
        except ssl.SSLError as error:
            if isinstance(error, ssl.SSLCertVerificationError):
                self._journal.evidence = await _read_certificate(self._address, host)
            raise self._journal.fail(outbound_tls.handshake_fault(error, host)) from error
        except (OSError, EOFError) as error:
            told = "The server closed the connection during the TLS handshake."
            raise self._journal.fail(Fault(Reason.TLS, told)) from error
        if self._journal.tls is None:
            self._journal.tls = _since(begin)
            self._journal.evidence = outbound_tls.evidence(self._streams[1].get_extra_info("ssl_object"))
        self._journal.phase = self._journal.stage
        return self

    async def _handshake(self, context: ssl.SSLContext, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A private CA is trusted beside the public ones, so what it has not signed is shown to them too."""
        try:
            return await asyncio.open_connection(sock=self._socket, ssl=context, server_hostname=host)
        except ssl.SSLError as error:
            public = outbound_tls.context()
            if context is public or not outbound_tls.untrusted(error):
                raise
        self._socket = await _dial(*self._address, None)
        return await asyncio.open_connection(sock=self._socket, ssl=public, server_hostname=host)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            found = await (await self._opened())[0].read(max_bytes)
        except OSError as error:
            told = "The server broke the connection off."
            raise self._journal.fail(Fault(Reason.CONNECTION, told)) from error
        self.began, self.ended = self.began or found[:5], not found
        return found

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        writer = (await self._opened())[1]
        with suppress(OSError):  # a server may answer, and close, before it has read all; reading says what it was
            writer.write(buffer)
            await writer.drain()

    async def aclose(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
        else:
            self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._streams is not None and self._streams[0].at_eof()
        if info == "ssl_object" and self._streams is not None:
            return self._streams[1].get_extra_info("ssl_object")
        return None


async def _read_certificate(address: tuple[str, int], host: str) -> TlsEvidence | None:
    """A second handshake with the same address, which sends nothing and looks only at what the server shows."""
    with suppress(OSError, EOFError):
        async with asyncio.timeout(EVIDENCE_SECONDS):
            blind = outbound_tls.blind_context()
            dialled = await _dial(*address, None)
            _, writer = await asyncio.open_connection(sock=dialled, ssl=blind, server_hostname=host)
            found = outbound_tls.evidence(writer.get_extra_info("ssl_object"), verified=False)
            writer.transport.abort()
            return found
    return None
