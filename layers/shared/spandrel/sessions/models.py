"""What the sessions feature speaks of. Times are aware datetimes, money US dollars, ordinals count messages from 1."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from spandrel.prompts.models import CapabilityMatch, Passage
from spandrel.sessions.begin_models import Confidence, SessionStatus, TurnStatus, VariableBinding


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """`ordinal`: how many messages its line has. `checkpoints` and `turns` count what was made.

    `capabilities` are those of its beginning, which the prompt was composed with; `capabilities_now` those that its
    next turn has, told where one session is asked for.
    """

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
    capabilities_now: list[CapabilityMatch] | None = None


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


ApprovalStatus = Literal["pending", "approved", "denied", "expired", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolApproval:
    """A tool call that its turn may not make without its user's word. It is `expired` if none is given in time."""

    id: UUID
    session_id: UUID
    turn_id: UUID
    integration: str
    tool: str
    arguments: dict[str, Any]
    status: ApprovalStatus
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None


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
