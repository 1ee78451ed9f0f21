"""A model in memory that answers by its script; `tests/contract/test_chat_port.py` holds it to the real contract."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from spandrel.chat.models import ChatRequest, Completion, ModelConfig, TextDelta, TokenUsage, ToolCall
from spandrel.errors import ModelUnavailableError


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """`text` is streamed, then `error` raised."""

    text: str
    error: Exception


Step = str | Completion | Exception | BrokenOff


class FakeChatModel:
    """A step a request: a text or a `Completion`, streamed by words, an error to raise, or a text and then an error.

    `requests` is what was asked, `closed` how often a caller left early; `during` is called before each word.
    """

    def __init__(self, script: Iterable[Step] = (), *, model: str = "fake-model") -> None:
        self.script, self.model = deque(script), model
        self.requests: list[ChatRequest] = []
        self.closed = 0
        self.during: Callable[[str], None] = lambda word: None

    def then(self, *steps: Step) -> FakeChatModel:
        self.script.extend(steps)
        return self

    def stream(self, request: ChatRequest, *, timeout: float) -> Generator[TextDelta | Completion, None, None]:
        ModelConfig.of(request.config)
        return self._stream(request)

    def _stream(self, request: ChatRequest) -> Generator[TextDelta | Completion, None, None]:
        self.requests.append(request)
        step = self.script.popleft() if self.script else ModelUnavailableError("the script is over")
        if isinstance(step, Exception):
            raise step
        text = step if isinstance(step, str) else step.text
        try:
            for number, word in enumerate(text.split(" ")):
                if piece := word if number == 0 else f" {word}":
                    self.during(piece)
                    yield TextDelta(piece)
        except GeneratorExit:
            self.closed += 1
            raise
        if isinstance(step, BrokenOff):
            raise step.error
        yield self.completion(step) if isinstance(step, str) else step

    def completion(self, text: str, *calls: ToolCall) -> Completion:
        usage = TokenUsage(10, 4, len(text.split()))
        return Completion(text, calls, usage, "tool_calls" if calls else "stop", self.model)


class WorkerDiedError(BaseException):
    """As if the process had ended: nothing catches it."""


class FakeTools:
    """Answers every call alike. `calls`: (user, integration, tool, arguments); `keys` their keys in the same order."""

    def __init__(self, answer: str = "Nothing on Monday.") -> None:
        self.answer = answer
        self.calls: list[tuple[str, str, str, dict[str, Any]]] = []
        self.keys: list[str] = []
        self.during: Callable[[], object] = lambda: None

    def call(
        self, user_id: str, integration: str, tool: str, arguments: dict[str, Any], *, key: str, timeout: float
    ) -> str:
        self.calls.append((user_id, integration, tool, arguments))
        self.keys.append(key)
        self.during()
        return self.answer

    def die(self) -> NoReturn:
        raise WorkerDiedError
