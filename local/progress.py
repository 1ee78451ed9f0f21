"""Progress of the set-up: a line a step, with its time, on the terminal or as JSON lines for the process that waits."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console


class Listener(Protocol):
    def __call__(self, event: dict[str, Any]) -> None: ...


class Progress:
    """Steps may run side by side, each in its thread."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._lock = listener, threading.Lock()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        self.tell({"kind": "started", "step": name})
        try:
            yield
        except BaseException:
            self.tell({"kind": "failed", "step": name, "seconds": time.monotonic() - started})
            raise
        self.tell({"kind": "done", "step": name, "seconds": time.monotonic() - started})

    def tell(self, event: dict[str, Any]) -> None:
        with self._lock:
            self._listener(event)


class Terminal:
    """Prints finished steps as lines, with the running ones in a spinner below where there is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console, self._running = console, dict[str, float]()
        self._status = console.status("")

    def __call__(self, event: dict[str, Any]) -> None:
        kind, name = event["kind"], event.get("step", "")
        if kind == "started":
            self._running[name] = time.monotonic()
        elif kind in {"done", "failed"}:
            self._running.pop(name, None)
            mark = "[green]done  [/]" if kind == "done" else "[red]failed[/]"
            self._console.print(f"  {mark} {name} [dim]{event['seconds']:.1f} s[/]", highlight=False)
        if self._running:
            self._status.update(", ".join(self._running))
            self._status.start()
        else:
            self._status.stop()


class Journal:
    """Appends events to a file that `follow` reads in another process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.write_text("")

    def __call__(self, event: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(event) + "\n")


def follow(path: Path, alive: Any) -> Iterator[dict[str, Any]]:
    """Yields the journal's events until `alive()` is false and all is read."""
    position = 0
    while True:
        running = alive()
        text = path.read_text() if path.is_file() else ""
        whole = text.rfind("\n") + 1
        for line in text[position:whole].splitlines():
            yield json.loads(line)
        position = whole
        if not running:
            return
        time.sleep(0.1)
