"""A turn as its worker takes it: where the session stands, and what it is worked on with."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

import msgspec

from spandrel.prompts.capabilities import ToolRow
from spandrel.prompts.models import Message


class Knowledge(msgspec.Struct, frozen=True):
    """What a turn retrieves by."""

    collections: list[UUID] | None
    top_k: int
    mode: str
    score_threshold: float | None


class PastMessage(msgspec.Struct, frozen=True, array_like=True):
    ordinal: int
    role: str
    content: str
    tool_calls: list[dict[str, Any]] | None
    tool_call_id: str | None
    token_count: int


class PastSummary(msgspec.Struct, frozen=True):
    """Stands for every message up to `ordinal`."""

    ordinal: int
    content: str


class Prompt(msgspec.Struct, frozen=True):
    before: list[Message]
    after: list[Message]


class NewMessage(msgspec.Struct, frozen=True):
    role: str
    content: str
    token_count: int
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    citations: list[Any] | None = None


class Decision(msgspec.Struct, frozen=True):
    """What became of the question whether a tool may be called."""

    status: Literal["approved", "denied", "expired"]
    integration: str
    tool: str


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed turn and what it is worked on with.

    `said`: by the workers before this one, not to be said again. `decisions`: of its user on tool calls, by call id.
    `history`: the messages of the session's line after `history_after`, the ordinal that the summary reaches to, or the
    worker's own memory.
    """

    number: int
    kind: str
    input: str | None
    attempt: int
    model: str
    config: dict[str, Any]
    prompt: Prompt
    knowledge: Knowledge | None
    branch_id: UUID
    ordinal: int
    wanted: list[str]
    summary: PastSummary | None
    history_after: int
    history: list[PastMessage]
    tools: list[ToolRow]
    said: list[NewMessage] = []
    decisions: dict[str, Decision] = {}
    connections: list[str] = []


class Claim(msgspec.Struct, frozen=True):
    """What became of a claim; the work where it is ours."""

    outcome: str
    work: Work | None = None
