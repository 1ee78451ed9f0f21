"""A proxy between a client and Postgres that counts flights: the points at which the client waits for the server.

It reads the frontend's messages (PostgreSQL manual, "Message Formats") instead of looking at a clock or at how the
kernel cut the stream, so the number is the same however busy the machine is.
"""

from __future__ import annotations

import select
import socket
import struct
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_QUERY, _SYNC, _FLUSH, _COPY_DONE = b"Q", b"S", b"H", b"c"
_WAITED_FOR = (_QUERY, _SYNC, _FLUSH, _COPY_DONE)
"""After each of these the client reads until it is answered."""


class Frontend:
    """One client's stream, cut into messages; `waits` counts those that it waits for, the start-up among them."""

    def __init__(self) -> None:
        self.waits = 0
        self._rest = b""
        self._started = False
        self._last = b""

    def feed(self, data: bytes) -> int:
        """The number of waits that `data` completes."""
        before, self._rest = self.waits, self._rest + data
        while (size := self._size()) is not None and len(self._rest) >= size:
            kind = self._rest[:1] if self._started else b""
            self._rest = self._rest[size:]
            self._message(kind)
        return self.waits - before

    def _size(self) -> int | None:
        """Of the next message, its type byte included; None while its length has not arrived."""
        head = 1 if self._started else 0
        if len(self._rest) < head + 4:
            return None
        return head + int(struct.unpack_from(">i", self._rest, head)[0])

    def _message(self, kind: bytes) -> None:
        # A copy within the extended protocol ends with both CopyDone and Sync, and one answer; a Flush after a Sync,
        # which flushes by itself, gets none.
        answered_before = (self._last, kind) in ((_COPY_DONE, _SYNC), (_SYNC, _FLUSH))
        if not self._started or (kind in _WAITED_FOR and not answered_before):
            self.waits += 1
        self._started, self._last = True, kind


class FlightCounter:
    """Listens on a Unix socket of its own; `directory` is what libpq takes as `host`."""

    def __init__(self, upstream_directory: str) -> None:
        self._upstream = f"{upstream_directory}/.s.PGSQL.5432"
        self._folder = tempfile.TemporaryDirectory(prefix="flights-")
        self.directory = self._folder.name
        self.flights = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self.directory) / ".s.PGSQL.5432"))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()
        self._folder.cleanup()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._relay, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _relay(self, client: socket.socket) -> None:
        frontend = Frontend()
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._upstream)
            while True:
                readable, _, _ = select.select([client, server], [], [])
                for source, target in ((server, client), (client, server)):
                    if source not in readable:
                        continue
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is client:  # before the server can answer, so that the client reads a whole count
                        self.flights += frontend.feed(data)
                    target.sendall(data)
