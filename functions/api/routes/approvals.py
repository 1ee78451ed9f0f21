"""/v1/tool-approvals"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from functions.api.dependencies import Cursor, Limit, UserId
from functions.api.schemas_sessions import ApprovalPage, DecideApproval
from spandrel import wiring
from spandrel.sessions.models import ApprovalStatus, ToolApproval

router = APIRouter(prefix="/tool-approvals", tags=["tool approvals"])
Statuses = Annotated[list[ApprovalStatus] | None, Query(alias="status", max_length=5)]


@router.get("", operation_id="list_tool_approvals")
async def list_(
    user_id: UserId, limit: Limit = 20, cursor: Cursor = None, session_id: UUID | None = None, status: Statuses = None
) -> ApprovalPage:
    """Newest first. Those that are `pending` hold up a turn until you decide, or a day has passed."""
    page = wiring.approvals().page(user_id, limit, cursor, session_id, status)
    return ApprovalPage(items=page.items, next_cursor=page.next_cursor)


@router.get("/{approval_id}", operation_id="get_tool_approval")
async def get(approval_id: UUID, user_id: UserId) -> ToolApproval:
    """The call as it would be made: whose tool it is and with what arguments."""
    return wiring.approvals().get(user_id, approval_id)


@router.post("/{approval_id}/decision", operation_id="decide_tool_approval")
async def decide(approval_id: UUID, body: DecideApproval, user_id: UserId) -> ToolApproval:
    """Your word on the call. Its turn goes on at once when it asked for nothing else."""
    return wiring.approvals().decide(user_id, approval_id, body.decision, remember=body.remember)
