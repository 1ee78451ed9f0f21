"""TLS before a Postgres that speaks none itself (PostgreSQL manual, "SSL Session Encryption"), as RDS has it."""

from __future__ import annotations

import asyncio
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SSL_REQUEST = struct.pack(">ii", 8, 80877103)


@contextmanager
def tls_before(socket_directory: str, context: ssl.SSLContext) -> Iterator[int]:
    """The port on 127.0.0.1 that answers an SSLRequest and hands on what it decrypts."""
    loop = asyncio.new_event_loop()
    front = _Front(f"{socket_directory}/.s.PGSQL.5432", context)
    server = loop.run_until_complete(asyncio.start_server(front.serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(front.close(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class _Front:
    def __init__(self, upstream: str, context: ssl.SSLContext) -> None:
        self._upstream, self._context = upstream, context
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        # A client that trusts nobody here, or has gone, ends its own connection alone.
        with suppress(ssl.SSLError, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._carry(reader, writer)
        writer.close()
        self._open.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == _SSL_REQUEST, "not over TLS"
        writer.write(b"S")
        await writer.start_tls(self._context)
        back, on = await asyncio.open_unix_connection(self._upstream)
        try:
            await asyncio.wait(
                [asyncio.create_task(_pipe(reader, on)), asyncio.create_task(_pipe(back, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            on.close()

    async def close(self, server: asyncio.Server) -> None:
        server.close()
        for task in list(self._open):
            task.cancel()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
