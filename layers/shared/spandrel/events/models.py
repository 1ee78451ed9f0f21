"""What the event feed speaks of. `seq` counts a user's events from 1, without a gap; times are aware datetimes.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md, and its extension "Dataref (Claim Check Pattern)"
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

import msgspec

SOURCE = "/spandrel/feed"
"""CloudEvents `source`: the feed. With it, `id` is unique for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """A row of `events`. `data`: anything that JSON encodes, or JSON as it stands in a `msgspec.Raw`."""

    user_id: str
    seq: int
    type: str
    subject: str
    data: Any
    created_at: datetime


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """CloudEvents 1.0 in its JSON format, with `seq` as extension attribute.

    Where `data` is too large for a frame `dataref` stands in its place: what to GET for the whole event.
    """

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    seq: int
    datacontenttype: str
    data: Any = msgspec.UNSET
    dataref: str | msgspec.UnsetType = msgspec.UNSET


def cloud_event(event: StoredEvent) -> CloudEvent:
    return _described(event, data=event.data)


def cloud_event_reference(event: StoredEvent) -> CloudEvent:
    """The same event without its data, and where to fetch it."""
    return _described(event, dataref=f"/v1/events/{event.seq}")


def _described(event: StoredEvent, **content: Any) -> CloudEvent:
    return CloudEvent(
        specversion="1.0",
        id=f"{_feed(event.user_id)}/{event.seq}",
        source=SOURCE,
        type=event.type,
        subject=event.subject,
        time=event.created_at.astimezone(UTC),
        seq=event.seq,
        datacontenttype="application/json",
        **content,
    )


@lru_cache(maxsize=1024)
def _feed(user_id: str) -> str:
    """Tells users' events apart without naming anybody."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:16]
