"""A slow way to Postgres: all arrives half a round trip after it was sent, through a process of its own."""

from __future__ import annotations

import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Process
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

SOCKET = ".s.PGSQL.5432"
AWAKE_SECONDS = 0.05


def _run(upstream: str, own: str, delay: float) -> None:
    """It stays awake while there is traffic: sleeping until the next byte comes or falls due adds 0.1 ms to a trip."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(own)
    listener.listen()
    selector = DefaultSelector()
    selector.register(listener, EVENT_READ)
    on_the_way: deque[tuple[float, socket.socket, bytes]] = deque()  # all are as slow, so they fall due in their order
    awake_until = 0.0
    while True:
        now = time.monotonic()
        for key, _ in selector.select(0 if now < awake_until or on_the_way else None):
            if key.fileobj is listener:
                near, far = listener.accept()[0], socket.socket(socket.AF_UNIX)
                far.connect(upstream)
                selector.register(near, EVENT_READ, far)
                selector.register(far, EVENT_READ, near)
                continue
            data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
            now = time.monotonic()
            awake_until = now + AWAKE_SECONDS
            on_the_way.append((now + delay, key.data, data))
            if not data:
                selector.unregister(key.fileobj)
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, target, data = on_the_way.popleft()
            if data:
                target.sendall(data)
            else:
                target.shutdown(socket.SHUT_WR)


@contextmanager
def slow_way(directory: str, round_trip_ms: float) -> Iterator[str]:
    """The directory of a socket that leads to the one in `directory`."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / SOCKET
        process = Process(target=_run, args=(f"{directory}/{SOCKET}", str(own), round_trip_ms / 2000), daemon=True)
        process.start()
        while not own.exists():
            time.sleep(0.01)
        try:
            yield folder
        finally:
            process.terminate()
            process.join()
