"""What a client sent over its connection, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from spandrel.errors import (
    InvalidJsonError,
    InvalidRequestError,
    MessageTooLargeError,
    SpandrelError,
    UnknownActionError,
)
from spandrel.events.messages import Action, CancelTurn, Ping, SendMessage, Subscribe

MAX_MESSAGE_BYTES = 128 * 1024
MAX_REQUEST_ID = 128
ACTIONS: dict[str, type[Action]] = {
    "subscribe": Subscribe,
    "send_message": SendMessage,
    "cancel_turn": CancelTurn,
    "ping": Ping,
}


@dataclass(frozen=True, slots=True)
class Request:
    """`name`: the action, "unknown" where there is none; `request_id`: known even of a message that is at fault."""

    name: str
    request_id: str | None
    content: dict[str, Any] | SpandrelError

    def action(self) -> Action:
        """Raises what is wrong with it."""
        if isinstance(self.content, SpandrelError):
            raise self.content
        if self.name not in ACTIONS:
            raise UnknownActionError(actions=list(ACTIONS))
        try:
            return msgspec.convert(self.content, ACTIONS[self.name])
        except msgspec.ValidationError as error:
            raise InvalidRequestError(str(error)) from error


def read(message: bytes) -> Request:
    """Never raises: what is wrong is told once the connection is known to be allowed to ask."""
    if len(message) > MAX_MESSAGE_BYTES:
        return Request("unknown", None, MessageTooLargeError())
    try:
        content = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Request("unknown", None, InvalidJsonError(f"The message is not valid JSON: {error}"))
    if not isinstance(content, dict):
        return Request("unknown", None, InvalidRequestError("A message is a JSON object with an `action`."))
    name, request_id = content.get("action"), content.get("request_id")
    known = isinstance(request_id, str) and 0 < len(request_id) <= MAX_REQUEST_ID
    return Request(
        name if isinstance(name, str) and name in ACTIONS else "unknown", request_id if known else None, content
    )
