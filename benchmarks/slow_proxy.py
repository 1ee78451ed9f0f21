"""A slow way to Postgres: all arrives half a round trip after it was sent, through a process of its own."""

from __future__ import annotations

import ctypes
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Process
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

SOCKET = ".s.PGSQL.5432"


def _pump(source: socket.socket, target: socket.socket, delay: float) -> None:
    waiting: SimpleQueue[tuple[float, bytes]] = SimpleQueue()

    def send() -> None:
        while True:
            due, data = waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(data)

    Thread(target=send, daemon=True).start()
    data = b"begin"
    while data:
        data = source.recv(1 << 16)
        waiting.put((time.monotonic() + delay, data))


def _wake_on_time() -> None:
    """Linux may wake a sleeper 50 µs late, four times a round trip, so as to save power."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(29, 1)  # PR_SET_TIMERSLACK in nanoseconds, of this thread and those that it starts


def _run(upstream: str, own: str, delay: float) -> None:
    _wake_on_time()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(own)
    listener.listen()
    while True:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        far.connect(upstream)
        for pair in ((near, far), (far, near)):
            Thread(target=_pump, args=(*pair, delay), daemon=True).start()


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
