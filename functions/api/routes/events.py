"""/v1/events"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from functions.api.dependencies import Limit, UserId
from functions.api.schemas_events import CloudEvent, EventPage, Seq
from spandrel import wiring
from spandrel.events.models import StoredEvent, cloud_event

router = APIRouter(tags=["events"])
SPARE_SECONDS = 3
"""Of the invocation's time: for the last look and the answer."""

EventPattern = Annotated[str, Field(max_length=100, pattern=r"^[a-z_]+\.([a-z_]+|\*)$")]


def _described(event: StoredEvent) -> CloudEvent:
    import msgspec

    return CloudEvent.model_validate(msgspec.to_builtins(cloud_event(event)))


@router.get("/events", operation_id="list_events")
async def list_(
    request: Request,
    user_id: UserId,
    after_seq: Annotated[Seq, Query(description="Events after this one.")] = 0,
    types: Annotated[
        list[EventPattern] | None,
        Query(max_length=20, description="`document.ready`, or `document.*`; repeat it for several."),
    ] = None,
    limit: Limit = 50,
    wait: Annotated[int, Query(ge=0, le=20, description="Seconds to wait for an event where there is none.")] = 0,
) -> EventPage:
    """What happened, in order. 410 `events_expired`: what follows `after_seq` is not kept any more; load the present
    state anew and go on from the `head_seq` that it names.
    """
    context: Any = request.scope.get("aws.context")
    left = context.get_remaining_time_in_millis() / 1000 - SPARE_SECONDS
    page = wiring.history().page(user_id, after_seq, types, limit, min(wait, max(left, 0)))
    return EventPage(
        items=[_described(event) for event in page.items],
        next_after_seq=page.next_after_seq,
        head_seq=page.head_seq,
        oldest_seq=page.oldest_seq,
    )


@router.get("/events/{seq}", operation_id="get_event")
async def get(seq: Seq, user_id: UserId) -> CloudEvent:
    """One event, with the data that was too large for a frame of the WebSocket."""
    return _described(wiring.history().get(user_id, seq))
