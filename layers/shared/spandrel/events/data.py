"""What events tell in `data`, one struct a shape. Fields may be added; what is there keeps its name and meaning."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing beyond the event itself."""


class Named(Data, frozen=True, kw_only=True):
    name: str


class DocumentCreated(Data, frozen=True, kw_only=True):
    name: str
    collection_id: UUID


class DocumentQueued(Data, frozen=True, kw_only=True):
    """`reason`: "retry" (its owner asked), "worker_lost", or the code of a passing fault."""

    reason: str


class DocumentParsing(Data, frozen=True, kw_only=True):
    attempt: int


class DocumentReady(Data, frozen=True, kw_only=True):
    version: int
    chunk_count: int


class DocumentFailed(Data, frozen=True, kw_only=True):
    """`code` is stable; `message` says what its owner can do."""

    code: str
    message: str


class TemplateCreated(Data, frozen=True, kw_only=True):
    name: str
    kind: Literal["prompt", "partial"]
    visibility: str


class TemplateUpdated(Data, frozen=True, kw_only=True):
    name: str
    visibility: str


class TemplateVersionSaved(Data, frozen=True, kw_only=True):
    name: str
    version: int


class TemplateLabelMoved(Data, frozen=True, kw_only=True):
    """`version` null: the label was removed."""

    label: str
    version: int | None


class ConversationChanged(Data, frozen=True, kw_only=True):
    title: str
    archived: bool


class SessionCreated(Data, frozen=True, kw_only=True):
    """`parent_session_id` and `checkpoint`: what it was forked from."""

    status: Literal["initializing", "active"]
    conversation_id: UUID
    template_id: UUID
    template_version: int
    parent_session_id: UUID | UnsetType = UNSET
    checkpoint: int | UnsetType = UNSET


class SessionMoved(Data, frozen=True, kw_only=True):
    """`from`: the status before."""

    from_status: str = msgspec.field(name="from")
    reason: str | UnsetType = UNSET


class SessionRestored(Data, frozen=True, kw_only=True):
    """`restored`: the checkpoint gone back to; `checkpoint`: the new one that marks it."""

    restored: int
    checkpoint: int


class SessionRewound(Data, frozen=True, kw_only=True):
    """`turn_id`: the turn that is asked again; `checkpoint`: the new one before it."""

    turn_id: UUID
    checkpoint: int


class SessionCapabilitiesChanged(Data, frozen=True, kw_only=True):
    """`available`: of what its template asks for, what its next turn has. `gained`, `lost`: since it was told."""

    available: list[str]
    gained: list[str]
    lost: list[str]


class CheckpointNamed(Data, frozen=True, kw_only=True):
    """`name` null: the name was taken away."""

    checkpoint: int
    name: str | None


class TurnMoved(Data, frozen=True, kw_only=True):
    """`number`: which turn of its session it is."""

    session_id: UUID
    number: int


class TurnStarted(TurnMoved, frozen=True, kw_only=True):
    attempt: int


class TurnCompleted(TurnMoved, frozen=True, kw_only=True):
    """`ordinal`: of the answer, the session's last message now. `checkpoint`: the one after it."""

    checkpoint: int
    ordinal: int


class TurnRetrying(TurnMoved, frozen=True, kw_only=True):
    """`attempt`: the one that was lost."""

    code: str
    attempt: int


class TurnFailed(TurnMoved, frozen=True, kw_only=True):
    """`budgets`: those that are used up, where that is why."""

    code: str
    attempt: int | UnsetType = UNSET
    budgets: list[dict[str, Any]] | UnsetType = UNSET


class TurnCancelled(TurnMoved, frozen=True, kw_only=True):
    """`code`: why, where nobody asked for it."""

    code: str | UnsetType = UNSET
    attempt: int | UnsetType = UNSET


class ApprovalRequested(Data, frozen=True, kw_only=True):
    """What a model would call with what; it waits for a person's word until `expires_at`."""

    session_id: UUID
    turn_id: UUID
    integration: str
    tool: str
    arguments: dict[str, Any]
    expires_at: Annotated[datetime, Meta(tz=True)]


class ApprovalDecided(Data, frozen=True, kw_only=True):
    """`remembered`: the word holds for every later call of the tool."""

    session_id: UUID
    turn_id: UUID
    integration: str
    tool: str
    status: str
    remembered: bool


class BudgetSet(Data, frozen=True, kw_only=True):
    """Amounts are US dollars in decimal text, here and in what follows."""

    period: Literal["day", "month", "total"]
    session_id: UUID | UnsetType = UNSET
    warn_at: str | UnsetType = UNSET
    stop_at: str | UnsetType = UNSET


class BudgetLimit(Data, frozen=True, kw_only=True):
    """`limit` was reached by the call that made `spent`; `turn_id`: whose call it was."""

    period: Literal["day", "month", "total"]
    limit: str
    spent: str
    session_id: UUID | UnsetType = UNSET
    turn_id: UUID | UnsetType = UNSET
