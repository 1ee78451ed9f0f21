"""/v1/conversations"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AfterValidator

from functions.api.dependencies import Limit, UserId
from functions.api.schemas import storable_text
from functions.api.schemas_sessions import ChangeConversation, ConversationPage
from spandrel import wiring
from spandrel.sessions.models import Conversation

router = APIRouter(prefix="/conversations", tags=["conversations"])


def _storable(value: str) -> str:
    storable_text(value)
    return value


Search = Annotated[
    Annotated[str, AfterValidator(_storable)] | None,
    Query(min_length=1, max_length=200, description="A part of the title or of what was said, in any case."),
]
ConversationCursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]


@router.get("", operation_id="list_conversations")
async def list_(
    user_id: UserId,
    limit: Limit = 20,
    cursor: ConversationCursor = None,
    search: Search = None,
    archived: bool = False,
) -> ConversationPage:
    """Newest activity first; the archived ones apart."""
    page = wiring.conversations().page(user_id, limit, cursor, search=search, archived=archived)
    return ConversationPage(items=page.items, next_cursor=page.next_cursor)


@router.get("/{conversation_id}", operation_id="get_conversation")
async def get(conversation_id: UUID, user_id: UserId) -> Conversation:
    return wiring.conversations().get(user_id, conversation_id)


@router.patch("/{conversation_id}", operation_id="change_conversation")
async def change(conversation_id: UUID, body: ChangeConversation, user_id: UserId) -> Conversation:
    """Renames, archives, or takes out of the archive."""
    return wiring.conversations().change(user_id, conversation_id, title=body.title, archived=body.archived)


@router.delete("/{conversation_id}", status_code=204, operation_id="delete_conversation")
async def delete(conversation_id: UUID, user_id: UserId) -> None:
    """Its sessions go too, with their budgets and all that was said in them. What they cost stays in the ledger."""
    wiring.conversations().delete(user_id, conversation_id)
