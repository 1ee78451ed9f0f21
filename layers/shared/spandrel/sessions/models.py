"""What the sessions feature speaks of. Times are aware datetimes, money US dollars, ordinals count messages from 1."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args
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
SESSION_STATUSES: tuple[SessionStatus, ...] = get_args(SessionStatus)
TurnStatus = Literal["queued", "running", "completed", "failed", "cancelled"]
DEFAULT_IDLE_SECONDS = 7 * 24 * 3600
Title = Annotated[
    str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*[^\s\x00-\x1f][^\x00-\x1f]*$")
]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """`ordinal`: how many messages its line has. `checkpoints` and `turns` count what was made."""

    id: UUID
    conversation_id: UUID
    parent_session_id: UUID | None
    template_id: UUID
    template_version: int
    status: SessionStatus
    status_reason: str | None
    model: str
    variables: dict[str, VariableBinding]
    missing: list[str]
    capabilities: list[CapabilityMatch]
    confidence: Confidence
    prompt_hash: str
    ordinal: int
    checkpoints: int
    turns: int
    cost: Decimal
    idle_seconds: int
    keep_checkpoints: int | None
    expires_at: datetime
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class StatusChange:
    from_status: SessionStatus | None
    to_status: SessionStatus
    reason: str | None
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    id: UUID
    title: str
    session_count: int
    archived_at: datetime | None
    last_activity_at: datetime
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TurnFault:
    """Why a turn ended without an answer: a stable code, and a sentence that says what to do."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """`input`: what the user wrote, until it stands in the line as a message. `text`: the answer so far, or all of it.

    `branch_id` and `ordinal` say where a completed turn stands: after that message.
    """

    id: UUID
    session_id: UUID
    number: int
    kind: Literal["message", "auto"]
    status: TurnStatus
    client_message_id: str | None
    input: str | None
    text: str | None
    branch_id: UUID | None
    ordinal: int | None
    attempt: int
    cancel_requested: bool
    error: TurnFault | None
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidMessage:
    """A message of the line. `citations`: the passages that an answer's [n] marks name."""

    ordinal: int
    turn_id: UUID
    role: Literal["user", "assistant", "tool"]
    content: str
    tool_calls: list[dict[str, Any]] | None
    tool_call_id: str | None
    citations: list[Passage] | None
    token_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A place on a line: after message `ordinal` of `branch_id`. Made by `turn_id`; by a restore where that is null."""

    number: int
    branch_id: UUID
    ordinal: int
    turn_id: UUID | None
    name: str | None
    created_at: datetime
