"""The gateway of WebSocket connections: one in memory, and one behind a real socket. Both keep what each connection
is sent, and can be told what to answer.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import msgspec

from spandrel.events.ports import Delivery, Posted

SENT = Posted(Delivery.SENT)


class FakeGateway:
    """In memory. `answers` says what becomes of a frame to a connection; a `float` hangs for as many seconds."""

    def __init__(self) -> None:
        self.frames: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.disconnected: list[str] = []
        self.answers: Callable[[str], Posted | float] = lambda connection_id: SENT

    async def post(self, connection_id: str, frame: bytes, *, timeout: float) -> Posted:
        answer = self.answers(connection_id)
        if isinstance(answer, float):
            await asyncio.sleep(min(answer, timeout))
            if answer > timeout:
                return Posted(Delivery.FAILED)
            answer = SENT
        await asyncio.sleep(0)
        if answer.delivery is Delivery.SENT:
            self.frames[connection_id].append(msgspec.json.decode(frame))
        return answer

    async def disconnect(self, connection_id: str, *, timeout: float) -> Posted:
        self.disconnected.append(connection_id)
        return SENT

    def close(self) -> None:
        pass

    def told(self, connection_id: str) -> list[str]:
        return [short(frame) for frame in self.frames[connection_id]]


def short(frame: dict[str, Any]) -> str:
    """`5` for event 5, `live 5` for the marker, else the type."""
    if frame["type"] == "event":
        return str(frame["event"]["seq"])
    return f"live {frame['seq']}" if frame["type"] == "live" else str(frame["type"])


Behaviour = int | float | bytes
"""A status; or seconds to wait before 200; or what is sent raw before the connection is cut (b"" sends nothing)."""


class GatewayServer:
    """Behind a socket, in a thread. `behave` says what becomes of a request to a connection's path."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.frames: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.behave: Callable[[str], Behaviour] = lambda connection_id: 200
        self.headers = ""
        self.sockets = 0
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://localhost:{self.port}/_aws/execute-api/api/live"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def told(self, connection_id: str) -> list[str]:
        return [short(frame) for frame in self.frames[connection_id]]

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop, tasks = asyncio.Event(), set[asyncio.Task[None]]()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._connection(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                tasks.discard(task)
                writer.transport.abort()

        self._loop.set_exception_handler(lambda loop, context: None)
        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=self._tls, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.05)  # what was cut is let go of

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sockets += 1
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request_line, *lines = head.rstrip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            body = await reader.readexactly(int(headers["content-length"]))
            method, path, _ = request_line.split(" ")
            connection_id = unquote(path.rsplit("/", 1)[1])
            self.requests.append((method, path, headers))
            behaviour = self.behave(connection_id)
            if isinstance(behaviour, bytes):
                writer.write(behaviour)
                await writer.drain()
                writer.close()
                return
            if isinstance(behaviour, float):
                await asyncio.sleep(behaviour)
                behaviour = 200
            if method == "POST" and behaviour == 200:
                self.frames[connection_id].append(msgspec.json.decode(body))
            content = "" if behaviour == 204 else "{}"
            head = f"HTTP/1.1 {behaviour} X\r\n{self.headers}content-length: {len(content)}\r\n\r\n"
            writer.write((head + content).encode())
