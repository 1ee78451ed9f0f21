"""/v1/realtime"""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from functions.api.dependencies import UserId
from functions.api.schemas_events import RealtimeTicket
from spandrel import wiring

router = APIRouter(tags=["realtime"])


@router.post("/realtime/tickets", status_code=201, operation_id="create_realtime_ticket")
async def create_ticket(user_id: UserId) -> RealtimeTicket:
    """A ticket to open one WebSocket connection with, within a minute. It takes no Idempotency-Key: it is kept by its
    hash alone, so it cannot be told twice, and one that nobody uses expires.
    """
    return RealtimeTicket(**asdict(wiring.tickets().issue(user_id)))
