"""What a model is asked and what it answers, whoever serves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec

from spandrel.errors import ModelConfigError

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call. `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`id` is the provider's; the `tool` message with the result names it."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """`tool_calls` on what an assistant said, `tool_call_id` on a tool's result."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`config` as a template's front matter has it (see `ModelConfig`)."""

    model: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_Sequences = Annotated[list[Annotated[str, msgspec.Meta(min_length=1)]], msgspec.Meta(max_length=4)]


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How the model is to answer, by dotprompt's names; what is None is left to the provider."""

    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stop_sequences: _Sequences | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    seed: int | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> ModelConfig:
        """Raises `ModelConfigError` naming what is unknown or out of range."""
        try:
            return msgspec.convert(dict(config), cls)
        except msgspec.ValidationError as error:
            raise ModelConfigError(f"The model's configuration cannot be used: {error}.") from error


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """`input_tokens` include the cached ones and those newly written to the cache; `output_tokens` what was thought.

    `estimated`: the provider did not count, so we did.
    """

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cache_write_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer's text, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Completion:
    """The whole answer. `text` is what the deltas were; `model` the one that answered, as the provider names it.

    `finish_reason` is `tool_calls` exactly when there are some.
    """

    text: str
    tool_calls: tuple[ToolCall, ...]
    usage: TokenUsage
    finish_reason: FinishReason
    model: str
