"""HTTP/1.1 requests to one host from an event loop: a protocol a connection, kept open and used again.

No framework stands between the socket and the answer, which is what lets one process send as fast as the gateway's
quota allows. Certificates are verified by the context that it is given.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from spandrel.adapters.http_answer import AnswerParser, HttpAnswer, HttpAnswerError

CONNECT_SECONDS = 5.0


class NoRoomError(Exception):
    """No connection of the pool was free in time; nothing was sent."""


class _HungUpError(Exception):
    """The server closed a connection without a byte of answer."""


class _Line(asyncio.Protocol):
    """One connection, with one request under way at most."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._parser = AnswerParser()
        self._heard = False
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def request(self, content: bytes, timeout: float) -> HttpAnswer:
        assert self._transport is not None
        self._answer, self._parser, self._heard = self._loop.create_future(), AnswerParser(), False
        timer = self._loop.call_later(timeout, self._fail, TimeoutError())
        try:
            self._transport.write(content)
            return await self._answer
        except BaseException:  # of no use to anybody after this: an answer might still come
            self.abort()
            raise
        finally:
            timer.cancel()
            self._answer = None

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():  # nobody asked
            self.abort()
            return
        self._heard = True
        try:
            answer = self._parser.feed(data)
        except HttpAnswerError as error:
            self._fail(error)
            return
        if answer is not None:
            if not answer.reusable:
                self.abort()
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._answer is None or self._answer.done():
            return
        answer = self._parser.end() if exc is None else None
        if answer is not None:
            self._answer.set_result(answer)
        elif self._heard:
            self._fail(exc or ConnectionResetError("the answer broke off"))
        else:
            self._fail(_HungUpError())

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def abort(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()


class HttpPool:
    """At most `size` connections to one host; `tls` None: plain HTTP. Belongs to the loop that first uses it."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, size: int) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._idle: list[_Line] = []
        self._room = asyncio.Semaphore(size)

    async def request(self, content: bytes, timeout: float) -> HttpAnswer:
        """The answer to `content`, a whole request, within `timeout` seconds of there being room for it.

        Raises `NoRoomError` where there is none for as long, `OSError` (`TimeoutError` among it) or `HttpAnswerError`.
        """
        if self._room.locked():
            try:
                async with asyncio.timeout(timeout):
                    await self._room.acquire()
            except TimeoutError:
                raise NoRoomError from None
        else:
            await self._room.acquire()
        try:
            return await self._ask(content, timeout)
        finally:
            self._room.release()

    async def _ask(self, content: bytes, timeout: float) -> HttpAnswer:
        line = self._kept()
        if line is not None:
            try:
                return await self._on(line, content, timeout)
            except _HungUpError:
                pass  # it was closed while it lay idle, before it read us: once more, on a new one
        try:
            return await self._on(await self._connect(timeout), content, timeout)
        except _HungUpError:
            raise ConnectionResetError("the server hung up") from None

    async def _on(self, line: _Line, content: bytes, timeout: float) -> HttpAnswer:
        answer = await line.request(content, timeout)
        if line.open:
            self._idle.append(line)
        return answer

    def _kept(self) -> _Line | None:
        while self._idle:
            line = self._idle.pop()  # the one used last is the least likely to have been closed
            if line.open:
                return line
        return None

    async def _connect(self, timeout: float) -> _Line:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(min(timeout, CONNECT_SECONDS)):
            _, line = await loop.create_connection(
                lambda: _Line(loop), self._host, self._port, ssl=self._tls, happy_eyeballs_delay=0.25
            )
        return line

    def close(self) -> None:
        while self._idle:
            self._idle.pop().abort()
