"""A proxy between a client and Postgres that counts flights: client bursts that follow an answer of the server."""

from __future__ import annotations

import select
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self


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
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._upstream)
            answered = True  # the next thing that the client says begins a flight
            while True:
                readable, _, _ = select.select([client, server], [], [])
                # The answer first: had it been there, the client could have waited for it.
                for source, target in ((server, client), (client, server)):
                    if source not in readable:
                        continue
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is client:
                        self.flights += answered
                        answered = False
                    else:
                        answered = True
                    target.sendall(data)
