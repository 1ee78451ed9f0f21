"""A client's screen: a WebSocket that subscribes and keeps what it was sent, in order."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.stack_user import StackUser


class Screen:
    """`after_seq`: the last event that was seen before; None begins now. `frames` holds what came, with its time."""

    def __init__(self, user: StackUser, after_seq: int | None = None) -> None:
        ticket = user.call("POST", "/v1/realtime/tickets")
        self.frames: list[dict[str, Any]] = []
        self.times: list[float] = []
        self._news = threading.Condition()
        self._open = ExitStack()
        self._socket = self._open.enter_context(connect(f"{ticket['url']}?ticket={ticket['ticket']}"))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.send(action="subscribe", **({} if after_seq is None else {"after_seq": after_seq}))
        self.wait("live")

    def send(self, **message: Any) -> None:
        self._socket.send(json.dumps(message))

    def _read(self) -> None:
        with suppress(ConnectionClosed):
            for message in self._socket:
                with self._news:
                    self.frames.append(json.loads(message))
                    self.times.append(time.time())
                    self._news.notify_all()

    def wait(self, type_: str, seconds: float = 30, since: int = 0, **data: Any) -> dict[str, Any]:
        """The first frame, or event, of this type from the frame numbered `since`, whose data holds `data`."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for frame in self.frames[since:]:
                    event = frame.get("event", {})
                    found = event.get("data", {}) if event.get("type") == type_ else frame
                    if type_ in (frame["type"], event.get("type")) and data.items() <= found.items():
                        return event or frame
                left = deadline - time.monotonic()
                assert left > 0, f"no {type_} within {seconds} s; came: {self.types()[since:]}"
                self._news.wait(left)

    def mark(self) -> int:
        """The place that is reached now, for `since`."""
        with self._news:
            return len(self.frames)

    def types(self) -> list[str]:
        return [frame["event"]["type"] if frame["type"] == "event" else frame["type"] for frame in self.frames]

    def seqs(self) -> list[int]:
        return [frame["event"]["seq"] for frame in self.frames if frame["type"] == "event"]

    def text(self, turn_id: str) -> str:
        """The answer as it was streamed."""
        said = ""
        for frame in self.frames:
            if frame["type"] in ("delta", "text") and frame["turn_id"] == turn_id:
                said = frame["text"] if frame["type"] == "text" else said + frame["text"]
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()
        self._reader.join(5)
