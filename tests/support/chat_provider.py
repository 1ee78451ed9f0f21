"""An OpenAI-compatible provider on this machine that answers, and fails, as its script says, over real HTTP.

with ChatProvider([Answer("hello"), Fault.rate_limited(), Answer("again")]) as provider:
    ...  # OPENAI_BASE_URL is provider.url; what was asked is provider.requests
"""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support.fakes import bag_of_words

LONGEST_HANG_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call in an answer; `arguments` is JSON text where it should be malformed."""

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    id: str = "call_1"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `chunks`: its text in these pieces (else word by word), `delay` seconds before each.

    `hold`: after the first piece nothing more is sent until the test sets it. `usage`: prompt, cached and completion
    tokens; None: the server does not say.
    """

    text: str = ""
    chunks: tuple[str, ...] | None = None
    delay: float = 0
    calls: tuple[Call, ...] = ()
    usage: tuple[int, int, int] | None = (10, 4, 5)
    finish: str | None = None
    model: str = "test-model"
    hold: threading.Event | None = None

    def pieces(self) -> Iterator[str]:
        if self.chunks is not None:
            yield from self.chunks
        else:
            words = self.text.split(" ")
            yield from (word if n == 0 else f" {word}" for n, word in enumerate(words) if word or n)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong: a `status` with a `body`, or after `text` a `then` of "hang", "cut", "garbage" or "error".

    `finished`: the answer's end was said before.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    then: str = ""
    finished: bool = False

    @classmethod
    def refused(cls, status: int, code: str | None = None, message: str = "no", **headers: str) -> Fault:
        error = {"error": {"message": message, "type": "error", "code": code, "param": None}}
        return cls(status, json.dumps(error).encode(), {name.replace("_", "-"): text for name, text in headers.items()})

    @classmethod
    def rate_limited(cls, retry_after: float | str | None = 1) -> Fault:
        headers = {} if retry_after is None else {"retry_after": str(retry_after)}
        return cls.refused(429, "rate_limit_exceeded", **headers)

    @classmethod
    def quota(cls) -> Fault:
        return cls.refused(429, "insufficient_quota", retry_after="1")

    @classmethod
    def server_error(cls, status: int = 500) -> Fault:
        return cls.refused(status)

    @classmethod
    def unauthorised(cls) -> Fault:
        return cls.refused(401, "invalid_api_key", "Incorrect API key provided: sk-hu**sh.")

    @classmethod
    def context_too_long(cls) -> Fault:
        message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
        return cls.refused(400, "context_length_exceeded", message)

    @classmethod
    def hang(cls) -> Fault:
        """Before the first byte."""
        return cls(0, then="hang")

    @classmethod
    def hang_after(cls, text: str) -> Fault:
        return cls(text=text, then="hang")

    @classmethod
    def cut_after(cls, text: str) -> Fault:
        return cls(text=text, then="cut")

    @classmethod
    def garbage_after(cls, text: str = "") -> Fault:
        return cls(text=text, then="garbage")

    @classmethod
    def error_after(cls, text: str, code: str = "server_error") -> Fault:
        """An error in the place of a chunk."""
        return cls(text=text, then="error", body=json.dumps({"error": {"message": "no", "type": code}}).encode())

    @classmethod
    def no_stream(cls, body: bytes = b"<html>hello</html>", content_type: str = "text/html") -> Fault:
        """Something else entirely, with status 200."""
        return cls(200, body, {"content-type": content_type})

    @classmethod
    def malformed_call(cls, name: str = "lookup", arguments: str = '{"q": ') -> Answer:
        return Answer(calls=(Call(name, arguments),))


Behaviour = Answer | Fault


class ChatProvider:
    """`script`: a behaviour a chat request; when it is used up, requests end in 500. `requests`: their parsed JSON.

    `asked` is released with every chat request, `hung_up` with every client that left before its answer's end.
    Embeddings are answered too, as `FakeEmbedder` makes them.
    """

    def __init__(self, script: Iterable[Behaviour] = ()) -> None:
        self.script = deque(script)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.asked, self.hung_up = threading.Semaphore(0), threading.Semaphore(0)
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"provider": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def then(self, *behaviours: Behaviour) -> Self:
        self.script.extend(behaviours)
        return self


class _Handler(BaseHTTPRequestHandler):
    provider: ChatProvider

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/embeddings":
            self._embed(body)
        elif self.path == "/v1/chat/completions":
            provider = self.provider
            provider.headers.append({name.lower(): value for name, value in self.headers.items()})
            provider.requests.append(body)
            behaviour = provider.script.popleft() if provider.script else Fault.server_error()
            provider.asked.release()
            try:
                self._behave(behaviour, body)
            except ConnectionError:
                provider.hung_up.release()
                self.close_connection = True
        else:
            self._send(404, b"{}")

    def _behave(self, behaviour: Behaviour, asked: dict[str, Any]) -> None:
        if isinstance(behaviour, Answer):
            self._begin()
            for event in _answer_events(behaviour, asked):
                self._pause(behaviour.delay)
                self._event(event)
                if behaviour.hold is not None:
                    self._wait_for(behaviour.hold)
            self._event(b"[DONE]")
            self._chunk(b"")
        elif behaviour.then:
            self._fail_midway(behaviour)
        else:
            self._send(behaviour.status, behaviour.body, behaviour.headers)

    def _fail_midway(self, fault: Fault) -> None:
        if fault.status:
            self._begin()
            for piece in Answer(fault.text).pieces():
                self._event(_chunk({"content": piece}))
            if fault.finished:
                self._event(_chunk({}, finish="stop"))
        if fault.then == "hang":
            self._wait_for(threading.Event())
        elif fault.then == "garbage":
            self._event(b"{\xff\x00 not json")
            self._chunk(b"")
        elif fault.then == "error":
            self._event(fault.body)
            self._chunk(b"")
        self.close_connection = True

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def _event(self, data: bytes) -> None:
        self._chunk(b"data: " + data + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self._notice_leaving()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _notice_leaving(self, patience: float = 0) -> None:
        """A client that hung up has sent its end, which is there to be read; nothing else would be."""
        readable, _, _ = select.select([self.connection], [], [], patience)
        if readable and self.connection.recv(1, socket.MSG_PEEK) == b"":
            raise ConnectionResetError

    def _wait_for(self, event: threading.Event) -> None:
        end = time.monotonic() + LONGEST_HANG_SECONDS
        while not (event.is_set() or self.provider.closing.is_set()) and time.monotonic() < end:
            self._notice_leaving(0.01)

    def _pause(self, seconds: float) -> None:
        if seconds:
            self.provider.closing.wait(seconds)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"content-type": "application/json"} | dict(headers or {})).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")  # or a client that nobody closes would keep it
        self.end_headers()
        self.wfile.write(body)

    def _embed(self, body: dict[str, Any]) -> None:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data = [
            {"object": "embedding", "index": index, "embedding": bag_of_words(text)} for index, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        self._send(200, json.dumps({"object": "list", "model": "fake", "data": data, "usage": usage}).encode())

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True


def _answer_events(answer: Answer, asked: dict[str, Any]) -> Iterator[bytes]:
    for piece in answer.pieces():
        yield _chunk({"content": piece}, model=answer.model)
    for index, call in enumerate(answer.calls):
        arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
        half = len(arguments) // 2
        begun = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield _chunk({"tool_calls": [begun]}, model=answer.model)
        for part in (arguments[:half], arguments[half:]):
            yield _chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]}, model=answer.model)
    yield _chunk({}, finish=answer.finish or ("tool_calls" if answer.calls else "stop"), model=answer.model)
    if answer.usage is not None and asked.get("stream_options", {}).get("include_usage"):
        given, cached, made = answer.usage
        yield json.dumps(
            {
                "object": "chat.completion.chunk",
                "model": answer.model,
                "choices": [],
                "usage": {
                    "prompt_tokens": given,
                    "completion_tokens": made,
                    "total_tokens": given + made,
                    "prompt_tokens_details": {"cached_tokens": cached},
                },
            }
        ).encode()


def _chunk(delta: dict[str, Any], *, finish: str | None = None, model: str = "test-model") -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"object": "chat.completion.chunk", "model": model, "choices": [choice], "usage": None}).encode()
