"""A session as it is begun: asked for, scored, answered. Apart from what is read later, for the cold start's sake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from spandrel.prompts.models import (
    CacheReport,
    CapabilityMatch,
    Locale,
    Message,
    Passage,
    TemplateRef,
    TokenCounts,
    Tool,
)

SessionStatus = Literal["initializing", "active", "paused", "completed", "failed", "cancelled", "expired"]
TurnStatus = Literal["queued", "running", "waiting", "completed", "failed", "cancelled"]
DEFAULT_IDLE_SECONDS = 7 * 24 * 3600
# `$` is also before a last line break in Python, hence what follows it.
_TITLE = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$(?!\n)"
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_TITLE)]
IdleSeconds = Annotated[int, msgspec.Meta(ge=60, le=31_536_000)]
KeepCheckpoints = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class SessionRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`conversation_id` left out: a new conversation, named `title` or after the template.

    `idle_seconds`: unused for as long, the session expires. `keep_checkpoints`: so many of the newest unnamed ones;
    null: all.
    """

    template: TemplateRef
    variables: dict[str, Any] = {}
    conversation_id: UUID | None = None
    title: Title | None = None
    locale: Locale = "en"
    idle_seconds: IdleSeconds = DEFAULT_IDLE_SECONDS
    keep_checkpoints: KeepCheckpoints | None = None


@dataclass(frozen=True, slots=True)
class VariableBinding:
    """A variable's value and where it came from."""

    value: Any
    source: Literal["given", "default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One part of the confidence: its score (0 to 1), and what would raise it."""

    part: Literal["required", "types", "capabilities", "knowledge"]
    score: float
    detail: str
    raised_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """`score` is the product of its parts' scores. From `threshold` on, a template with `auto_execute` starts by
    itself.
    """

    score: float
    threshold: float
    reasons: list[Reason]


class PromptPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What the model will be told, as composed when the session began."""

    messages: list[Message]
    tools: list[Tool]
    passages: list[Passage]
    tokens: TokenCounts
    hash: str


class TurnBrief(msgspec.Struct, frozen=True):
    id: UUID
    number: int
    status: TurnStatus


class SessionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A session that has begun. `missing`: required variables that it still waits for, in `initializing`.

    `turn`: its first one, where the template starts by itself.
    """

    id: UUID
    conversation_id: UUID
    status: SessionStatus
    template_id: UUID
    template_name: str
    template_version: int
    model: str
    variables: dict[str, VariableBinding]
    missing: list[str]
    capabilities: list[CapabilityMatch]
    confidence: Confidence
    prompt: PromptPreview
    turn: TurnBrief | None
    cache: CacheReport
