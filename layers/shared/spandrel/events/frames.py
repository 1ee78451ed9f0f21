"""Frames: what the server sends over a WebSocket connection, as JSON in UTF-8.

The gateway cuts what is longer than 32 KB into frames of its own and charges each, so nothing that we send is.
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
"""

from __future__ import annotations

import msgspec

from spandrel.errors import SpandrelError
from spandrel.events.messages import Error, Event, Live
from spandrel.events.models import StoredEvent, cloud_event, cloud_event_reference

MAX_FRAME_BYTES = 32_768
MAX_DETAIL = 2_000
_encoder = msgspec.json.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """`message` as a frame."""
    return _encoder.encode(message)


def event_frame(event: StoredEvent) -> bytes:
    """An event as a frame of `MAX_FRAME_BYTES` at most; one that is longer becomes a reference to fetch."""
    frame = encode(Event(event=cloud_event(event)))
    if len(frame) > MAX_FRAME_BYTES:
        return encode(Event(event=cloud_event_reference(event)))
    return frame


def live_frame(seq: int) -> bytes:
    """Replay has caught up: everything up to `seq` was sent, and what follows is as it happens."""
    return encode(Live(seq=seq))


def error_frame(error: SpandrelError, request_id: str | None = None) -> bytes:
    """`request_id`: the client's own, of the action that failed; None: it named none, or nothing was asked.

    What else the error names stands beside `code`, as in a problem of the HTTP API.
    """
    detail = error.detail if len(error.detail) <= MAX_DETAIL else f"{error.detail[:MAX_DETAIL]}…"
    message = msgspec.to_builtins(Error(code=error.code, detail=detail, request_id=request_id or msgspec.UNSET))
    return _encoder.encode(message | error.members | message)
