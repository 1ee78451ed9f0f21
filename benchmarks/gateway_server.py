"""Just enough of a gateway's management API, over TLS in a process of its own: what `benchmarks.broadcast` posts to."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import msgspec

from spandrel.adapters.connections import ApiGatewayConnections
from spandrel.adapters.token_bucket import TokenBucket
from spandrel.settings import RealtimeSettings
from tests.support.gateway_tls import server_context, write_certificate

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"


class Endpoint(asyncio.Protocol):
    """Reads requests by their length, answers by the connection's name after `delay`."""

    delay = 0.0
    keep = False
    arrived: ClassVar[dict[str, list[tuple[float, int]]]] = defaultdict(list)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            place = head.index(b"content-length:") + 15
            length = int(head[place : head.find(b"\r\n", place) if b"\r\n" in head[place:] else len(head)])
            if len(self._rest) < end + 4 + length:
                return
            body, self._rest = self._rest[end + 4 : end + 4 + length], self._rest[end + 4 + length :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        answer = ANSWER
        if self.keep:
            name = head[: head.index(b" http/")].rpartition(b"/")[2].decode()
            if name.startswith("stalled"):
                return
            if name.startswith("gone"):
                answer = GONE
            else:
                frame = msgspec.json.decode(body)
                if frame["type"] == "event":
                    self.arrived[name].append((time.time(), frame["event"]["seq"]))
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _serve(pipe: Connection, certificate: Path, key: Path, delay: float, keep: bool) -> None:
    async def main() -> None:
        Endpoint.delay, Endpoint.keep = delay, keep
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        listening = await loop.create_server(
            Endpoint, "127.0.0.1", 0, ssl=server_context(certificate, key), backlog=2048
        )
        pipe.send(listening.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, pipe.recv)
        pipe.send(dict(Endpoint.arrived))

    asyncio.run(main())


class Running:
    """An endpoint in its own process; `stop` gives what arrived."""

    def __init__(self, folder: Path, delay: float = 0, keep: bool = False) -> None:
        self.certificate, key = write_certificate(folder)
        self._pipe, theirs = Pipe()
        self._process = Process(target=_serve, args=(theirs, self.certificate, key, delay, keep))
        self._process.start()
        self.url = f"https://localhost:{self._pipe.recv()}/live"

    def stop(self) -> dict[str, list[tuple[float, int]]]:
        self._pipe.send(None)
        found: dict[str, list[tuple[float, int]]] = self._pipe.recv()
        self._process.join()
        return found

    def gateway(self, bucket: TokenBucket | None = None) -> ApiGatewayConnections:
        settings = RealtimeSettings("", self.url, "eu-central-1", None)
        tls = ssl.create_default_context(cafile=str(self.certificate))
        return ApiGatewayConnections(settings, bucket or TokenBucket(1e9, 1e9), tls)


@contextmanager
def endpoint(**how: Any) -> Iterator[Running]:
    with TemporaryDirectory() as folder:
        yield Running(Path(folder), **how)
