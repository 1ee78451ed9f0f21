"""Answers of the event feed and of realtime tickets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from spandrel.events.messages import MAX_SEQ

Seq = Annotated[int, Field(ge=0, le=MAX_SEQ)]


class CloudEvent(BaseModel):
    """CloudEvents 1.0 in its JSON format. What `data` holds, docs/asyncapi.yaml says for every `type`.

    `seq` counts your events from 1, without a gap and in the order in which they became true.
    """

    specversion: Literal["1.0"]
    id: str
    source: str
    type: Annotated[str, Field(examples=["document.ready"])]
    subject: Annotated[str, Field(examples=["documents/0198c5a0-7f3e-7000-8000-000000000000"])]
    time: datetime
    seq: Seq
    datacontenttype: Literal["application/json"]
    data: dict[str, Any]


class EventPage(BaseModel):
    """Go on with `after_seq` = `next_after_seq`, also where there are no items: everything up to it was looked at.

    `head_seq`: of the newest event there is; `oldest_seq`: of the oldest that is kept.
    """

    items: list[CloudEvent]
    next_after_seq: Seq
    head_seq: Seq
    oldest_seq: Seq


class RealtimeTicket(BaseModel):
    """Connect to `url` with the query `?ticket=` before `expires_at`. A ticket is good once."""

    ticket: str
    expires_at: datetime
    url: str
