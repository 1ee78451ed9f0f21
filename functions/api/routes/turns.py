"""/v1/sessions/{session_id}/turns and /v1/turns"""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from functions.api.dependencies import Before, Limit, UserId
from functions.api.schemas_sessions import AskTurn, TurnPage
from spandrel import wiring
from spandrel.sessions.models import Turn

router = APIRouter(tags=["turns"])


@router.post("/sessions/{session_id}/turns", status_code=202, operation_id="ask_turn")
async def ask(session_id: UUID, body: AskTurn, user_id: UserId) -> Turn:
    """Puts what you write in line. The same `client_message_id` and text again find the turn that they made."""
    return wiring.turns().ask(user_id, session_id, body.text, body.client_message_id)


@router.get("/sessions/{session_id}/turns", operation_id="list_turns")
async def list_(session_id: UUID, user_id: UserId, limit: Limit = 20, before: Before = None) -> TurnPage:
    """Newest first. Answers are read one by one, or as the session's messages."""
    page = wiring.turns().page(user_id, session_id, limit, before)
    return TurnPage(items=page.items, next_before=page.next_before)


@router.get("/turns/{turn_id}", operation_id="get_turn")
async def get(turn_id: UUID, user_id: UserId) -> Turn:
    """Holds the answer so far while it runs, and where it failed the code and what to do."""
    return wiring.turns().get(user_id, turn_id)


@router.post("/turns/{turn_id}/cancel", status_code=202, operation_id="cancel_turn")
async def cancel(turn_id: UUID, user_id: UserId) -> Turn:
    """At once if it still waits, about a second later if it runs. What was said until then stays on the turn."""
    return wiring.turns().cancel(user_id, turn_id)


@router.post("/turns/{turn_id}/retry", status_code=202, operation_id="retry_turn")
async def retry(turn_id: UUID, user_id: UserId) -> Turn:
    """Puts a failed or cancelled turn in line again, with what you wrote."""
    return wiring.turns().retry(user_id, turn_id)


@router.post("/turns/{turn_id}/regenerate", status_code=202, operation_id="regenerate_turn")
async def regenerate(turn_id: UUID, user_id: UserId) -> Turn:
    """Asks a completed turn's question again, as if what came after had not been said."""
    return wiring.turns().regenerate(user_id, turn_id)
