"""A prompt as it is asked for, composed and answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

Role = Literal["system", "user", "assistant"]
Section = Literal["instructions", "capabilities", "examples", "history", "knowledge", "input"]
Label = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")]
TemplateName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
# `$` is also before a last line break in Python, hence what follows it.
Locale = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$(?!\n)")]


class TemplateRef(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A template by `id`, or by `name` (your own before a shared one); at its `version`, or where `label` points."""

    id: UUID | None = None
    name: TemplateName | None = None
    label: Label = "production"
    version: Version | None = None


class Utterance(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A message of the conversation so far."""

    role: Literal["user", "assistant"]
    content: Annotated[str, msgspec.Meta(max_length=100_000)]


class PromptRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`variables` by name, as the template declares them. `history` goes where the template says."""

    template: TemplateRef
    variables: dict[str, Any] = {}
    history: Annotated[list[Utterance], msgspec.Meta(max_length=200)] = []
    locale: Locale = "en"


class Message(msgspec.Struct, frozen=True):
    """What goes to the model; `section` says what part of the prompt it is."""

    role: Role
    content: str
    section: Section


class Tool(msgspec.Struct, frozen=True):
    """A tool that can be called now. `name` is unique among a user's integrations: `<integration>__<tool>`.

    `policy` ask: its user is asked before each call.
    """

    name: str
    integration: str
    tool: str
    description: str
    parameters: dict[str, Any]
    policy: Literal["always", "ask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityMatch:
    """What a template asks for and what serves it now. `reason` (a stable code) says why nothing does."""

    capability: str
    available: bool
    integration: str | None = None
    tool: str | None = None
    status: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A chunk that was retrieved, with the number that citations name it by."""

    number: int
    document_id: UUID
    document_name: str
    ordinal: int
    heading_path: list[str]
    page: int | None
    score: float
    text: str


class TokenCounts(msgspec.Struct, frozen=True, kw_only=True):
    """By section. `method`: counted with a tokenizer, or estimated from the text's length."""

    instructions: int
    capabilities: int
    examples: int
    tools: int
    history: int
    knowledge: int
    input: int
    total: int
    method: Literal["cl100k_base", "estimate"]


class CacheReport(msgspec.Struct, frozen=True):
    """Whether the composition was at hand in this function's memory, and if not, what had changed."""

    hit: bool
    reason: Literal["hit", "first_use", "version", "variables", "system_variables", "capabilities", "knowledge"]


class Composed(msgspec.Struct, frozen=True, kw_only=True):
    """A composed prompt: `before` the history, `after` it. Stable parts come first, so that a provider's cache hits."""

    before: list[Message]
    after: list[Message]
    tools: list[Tool]
    capabilities: list[CapabilityMatch]
    passages: list[Passage]
    hash: str


class PromptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`hash` is SHA-256 over messages and tools: equal prompts have equal hashes."""

    template_id: UUID
    template_name: str
    template_version: int
    model: str | None
    config: dict[str, Any]
    messages: list[Message]
    tools: list[Tool]
    capabilities: list[CapabilityMatch]
    passages: list[Passage]
    tokens: TokenCounts
    hash: str
    cache: CacheReport
