"""The body of a streamed chat completion: server-sent events, and the answer that their pieces make up.

Read here rather than by the vendor's client, which checks nothing of a chunk's shape: what calls itself compatible
is not always, and a piece that is misread becomes part of a conversation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from spandrel.chat.models import Completion, FinishReason, TextDelta, TokenUsage, ToolCall
from spandrel.errors import ModelAnswerInvalidError

DONE = b"[DONE]"
_LONGEST_EVENT = 4 << 20
# Other reasons are other servers' words for having come to an end.
_REASONS: dict[str, FinishReason] = {"length": "length", "content_filter": "content_filter"}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None

    def tokens(self) -> TokenUsage | None:
        """None if it names no counts; counts that contradict each other are brought into bounds."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        details, given = self.prompt_tokens_details or _Details(), max(self.prompt_tokens, 0)
        cached = min(max(details.cached_tokens or 0, 0), given)
        written = min(max(details.cache_write_tokens or 0, 0), given - cached)
        return TokenUsage(given, cached, max(self.completion_tokens, 0), written)


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    model: str | None = None
    error: Any = None


class StreamedError(Exception):
    """The provider reported an error in the midst of its answer; `body` is what it said."""

    def __init__(self, body: Any) -> None:
        super().__init__(body)
        self.body = body


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""

    def made(self, number: int) -> ToolCall:
        try:
            arguments = msgspec.json.decode(self.arguments or "{}")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ModelAnswerInvalidError("The model called a tool with arguments that are no JSON.") from error
        if not self.name or not isinstance(arguments, dict) or "\\u0000" in self.arguments:
            raise ModelAnswerInvalidError("The model called a tool without its name or with unusable arguments.")
        return ToolCall(self.id or f"call_{number}", self.name, arguments)


@dataclass(slots=True)
class Assembly:
    """Takes the events of one answer in order; `usage` and `model` as far as the provider named them."""

    usage: TokenUsage | None = None
    model: str | None = None
    reason: str | None = None
    _texts: list[str] = field(default_factory=list)
    _calls: list[_Call] = field(default_factory=list)
    _by_index: dict[int, _Call] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def take(self, event: bytes) -> Iterator[TextDelta]:
        """The text that an event brings. Raises `ModelAnswerInvalidError`, or `StreamedError` for a reported error."""
        try:
            chunk = msgspec.json.decode(event, type=_Chunk)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ModelAnswerInvalidError("The model sent a piece of an answer that cannot be read.") from error
        if chunk.error:
            raise StreamedError(chunk.error)
        self.model = chunk.model or self.model
        if chunk.usage is not None:
            self.usage = chunk.usage.tokens() or self.usage
        for choice in (chunk.choices or [])[:1]:  # one answer was asked for
            delta = choice.delta or _Delta()
            for call in delta.tool_calls or []:
                self._take_call(call)
            # A refusal is an answer too: the user should read it. NUL is nothing that Postgres holds.
            if text := (delta.content or delta.refusal or "").replace("\0", ""):
                self._texts.append(text)
                yield TextDelta(text)
            self.reason = choice.finish_reason or self.reason

    def _take_call(self, delta: _CallDelta) -> None:
        index = len(self._calls) if delta.index is None and delta.id else delta.index
        call = self._by_index.get(index) if index is not None else self._calls[-1] if self._calls else None
        if call is None or (delta.id and call.id and delta.id != call.id):  # some servers number every call 0
            call = _Call()
            self._calls.append(call)
            self._by_index[len(self._calls) - 1 if index is None else index] = call
        function = delta.function or _Function()
        call.id = call.id or delta.id or ""
        call.name = call.name or function.name or ""
        call.arguments += function.arguments or ""

    def finish(self, model: str, usage: TokenUsage) -> Completion:
        """The whole answer, with `model` and `usage` where the provider named none."""
        if self.reason is None:
            raise ModelAnswerInvalidError("The model's answer broke off before its end.")
        calls = tuple(call.made(number) for number, call in enumerate(self._calls))
        if self.reason == "tool_calls" and not calls:
            raise ModelAnswerInvalidError("The model said that it calls a tool and named none.")
        reason: FinishReason = "tool_calls" if calls else _REASONS.get(self.reason, "stop")
        return Completion(self.text, calls, self.usage or usage, reason, self.model or model)


def events(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The data of each server-sent event; a line that was cut short is none.

    Only line feeds part lines: JSON may hold every other character that Python would split at.
    """
    rest, data = b"", list[bytes]()
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > _LONGEST_EVENT:
            raise ModelAnswerInvalidError("The model sent a piece of an answer that does not end.")
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" ").rstrip(b"\r"))
            elif line in (b"", b"\r") and data:
                yield b"\n".join(data)
                data = []
    if data:
        yield b"\n".join(data)
