"""/v1/sessions, after their beginning: statuses, settings, checkpoints, forks."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from functions.api.dependencies import Before, CurrentUser, Cursor, IdempotencyHeader, Limit, UserId
from functions.api.schemas_sessions import (
    ChangeSession,
    CheckpointPage,
    Fork,
    ForkSession,
    GiveVariables,
    MessageList,
    MoveSession,
    NameCheckpoint,
    SessionPage,
    StatusChangeList,
)
from spandrel import wiring
from spandrel.idempotency.key import IdempotencyKey
from spandrel.pagination import fitting
from spandrel.sessions.begin_models import SessionStatus
from spandrel.sessions.models import Checkpoint, Session

router = APIRouter(prefix="/sessions", tags=["sessions"])
Number = Annotated[int, Path(ge=0, le=2**31 - 1)]
After = Annotated[int, Query(ge=0, le=2**31 - 1, description="The ordinal of the last message that you have.")]


@router.get("", operation_id="list_sessions")
async def list_(
    user_id: UserId,
    limit: Limit = 20,
    cursor: Cursor = None,
    conversation_id: UUID | None = None,
    status: Annotated[list[SessionStatus] | None, Query(description="Repeat it for several.")] = None,
) -> SessionPage:
    """Your sessions, newest first."""
    page = wiring.sessions().page(user_id, limit, cursor, conversation_id, status)
    return SessionPage(items=page.items, next_cursor=page.next_cursor)


@router.get("/{session_id}", operation_id="get_session")
async def get(session_id: UUID, user_id: UserId) -> Session:
    """How it stands, and how its prompt came about."""
    return wiring.sessions().get(user_id, session_id)


@router.patch("/{session_id}", operation_id="change_session")
async def change(session_id: UUID, body: ChangeSession, user_id: UserId) -> Session:
    """Sets when it expires and how many checkpoints it keeps."""
    keep_all = body.keep_checkpoints is None and "keep_checkpoints" in body.model_fields_set
    return wiring.sessions().set(
        user_id,
        session_id,
        idle_seconds=body.idle_seconds,
        keep_checkpoints=body.keep_checkpoints,
        keep_all=keep_all,
    )


@router.get("/{session_id}/status-changes", operation_id="list_session_status_changes")
async def status_changes(session_id: UUID, user_id: UserId) -> StatusChangeList:
    """Every move of its status, the first one first."""
    return StatusChangeList(items=wiring.sessions().history(user_id, session_id))


@router.put("/{session_id}/variables", operation_id="give_session_variables")
async def give_variables(session_id: UUID, body: GiveVariables, user: CurrentUser) -> Session:
    """What a session in `initializing` waits for. With all required variables it becomes active."""
    return wiring.sessions().give_variables(user, session_id, body.variables)


@router.post("/{session_id}/pause", operation_id="pause_session")
async def pause(session_id: UUID, user_id: UserId, body: MoveSession | None = None) -> Session:
    """Turns that wait stay in line; one that runs is finished."""
    return wiring.sessions().move(user_id, session_id, "paused", body.reason if body else None)


@router.post("/{session_id}/resume", operation_id="resume_session")
async def resume(session_id: UUID, user_id: UserId, body: MoveSession | None = None) -> Session:
    return wiring.sessions().move(user_id, session_id, "active", body.reason if body else None)


@router.post("/{session_id}/complete", operation_id="complete_session")
async def complete(session_id: UUID, user_id: UserId, body: MoveSession | None = None) -> Session:
    """For good: turns that wait are cancelled."""
    return wiring.sessions().move(user_id, session_id, "completed", body.reason if body else None)


@router.post("/{session_id}/cancel", operation_id="cancel_session")
async def cancel(session_id: UUID, user_id: UserId, body: MoveSession | None = None) -> Session:
    """For good: turns that wait are cancelled, one that runs is asked to stop."""
    return wiring.sessions().move(user_id, session_id, "cancelled", body.reason if body else None)


@router.get("/{session_id}/messages", operation_id="list_session_messages")
async def messages(
    session_id: UUID,
    user_id: UserId,
    after: After = 0,
    limit: Limit = 50,
    checkpoint: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="As the line was there.")] = None,
) -> MessageList:
    """What was said, in order. A page of long messages holds fewer than `limit`."""
    found = wiring.checkpoints().messages(user_id, session_id, after, limit + 1, checkpoint)
    items = fitting(found, limit)
    return MessageList(items=items, next_after=items[-1].ordinal if len(found) > len(items) else None)


@router.get("/{session_id}/checkpoints", operation_id="list_checkpoints")
async def checkpoints(session_id: UUID, user_id: UserId, limit: Limit = 20, before: Before = None) -> CheckpointPage:
    """Newest first."""
    page = wiring.checkpoints().page(user_id, session_id, limit, before)
    return CheckpointPage(items=page.items, next_before=page.next_before)


@router.get("/{session_id}/checkpoints/{number}", operation_id="get_checkpoint")
async def get_checkpoint(session_id: UUID, number: Number, user_id: UserId) -> Checkpoint:
    return wiring.checkpoints().get(user_id, session_id, number)


@router.patch("/{session_id}/checkpoints/{number}", operation_id="name_checkpoint")
async def name_checkpoint(session_id: UUID, number: Number, body: NameCheckpoint, user_id: UserId) -> Checkpoint:
    return wiring.checkpoints().name(user_id, session_id, number, body.name)


@router.post("/{session_id}/checkpoints/{number}/restore", operation_id="restore_checkpoint")
async def restore(session_id: UUID, number: Number, user_id: UserId) -> Checkpoint:
    """Puts the session back to the checkpoint. What came after stays readable at the checkpoints after it."""
    return wiring.checkpoints().restore(user_id, session_id, number)


@router.post("/{session_id}/fork", status_code=201, operation_id="fork_session")
async def fork(session_id: UUID, body: ForkSession, user_id: UserId, idempotency_key: IdempotencyHeader = None) -> Fork:
    """A new session of the same conversation that goes on from a checkpoint. With `text`, that is asked there at once:
    a question edited and sent again.
    """
    asked = body.model_dump() | {"session_id": str(session_id)}
    key = IdempotencyKey.of(user_id, idempotency_key, "fork_session", asked) if idempotency_key else None
    session = wiring.checkpoints().fork(user_id, session_id, body.checkpoint, key, asking=body.text is not None)
    turn = wiring.turns().ask(user_id, session.id, body.text, "fork") if body.text is not None else None
    return Fork(session=session, turn=turn)
