"""Request bodies and pages of sessions, turns, checkpoints and conversations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from functions.api.schemas import Body, Name, storable_text
from spandrel.sessions.models import Checkpoint, Conversation, SaidMessage, Session, StatusChange, ToolApproval, Turn

MAX_TEXT = 100_000


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    storable_text(value)
    return value


_STORABLE: dict[str, Any] = {"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, json_schema_extra=_STORABLE), AfterValidator(_text)]
ClientMessageId = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]


class AskTurn(Body):
    """`client_message_id`: of your choice; with the same text again it finds the turn that it made."""

    text: Text
    client_message_id: ClientMessageId


class GiveVariables(Body):
    """By name, as the template declares them; over those that the session has."""

    variables: dict[str, Any]


class MoveSession(Body):
    """`reason` is kept with the move."""

    reason: Name | None = None


class ChangeSession(Body):
    """What is left out stays. `keep_checkpoints` null: all are kept."""

    idle_seconds: Annotated[int, Field(ge=60, le=31_536_000)] | None = None
    keep_checkpoints: Annotated[int, Field(ge=1, le=10_000)] | None = None


class NameCheckpoint(Body):
    """A named checkpoint outlasts every retention; null takes the name away."""

    name: Name | None


class ForkSession(Body):
    """`checkpoint`: the number of the one to go on from. `text`: what to ask there at once."""

    checkpoint: Annotated[int, Field(ge=0, le=2**31 - 1)]
    text: Text | None = None


class ChangeConversation(Body):
    """What is left out stays."""

    title: Name | None = None
    archived: bool | None = None


class DecideApproval(Body):
    """`remember`: the same for every later call of the tool; its policy becomes `always` or `never`."""

    decision: Literal["approved", "denied"]
    remember: bool = False


class ApprovalPage(BaseModel):
    items: list[ToolApproval]
    next_cursor: str | None


class SessionPage(BaseModel):
    items: list[Session]
    next_cursor: str | None


class StatusChangeList(BaseModel):
    items: list[StatusChange]


class TurnPage(BaseModel):
    """`next_before` null: there are no further turns."""

    items: list[Turn]
    next_before: int | None


class CheckpointPage(BaseModel):
    """`next_before` null: there are no further checkpoints."""

    items: list[Checkpoint]
    next_before: int | None


class MessageList(BaseModel):
    """`next_after` null: there are no further messages."""

    items: list[SaidMessage]
    next_after: int | None


class ConversationPage(BaseModel):
    items: list[Conversation]
    next_cursor: str | None


class Fork(BaseModel):
    """The new session and, where something was asked at once, its turn."""

    session: Session
    turn: Turn | None
