"""The messages of a WebSocket connection, both ways: the contract of `docs/asyncapi.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from spandrel.events.models import CloudEvent

MAX_SEQ = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly."""
RequestId = Annotated[str, Meta(min_length=1, max_length=128, description="Of your choice; the answer carries it.")]
Seq = Annotated[int, Meta(ge=0, le=MAX_SEQ)]
Text = Annotated[str, Meta(min_length=1, max_length=100_000, pattern=r"^[^\u0000]*[^\s\u0000][^\u0000]*$")]
# `$` is also before a last line break in Python, hence what follows it.
ClientMessageId = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$(?!\n)")]
TurnStatus = Literal["queued", "running", "waiting", "completed", "failed", "cancelled"]


class Action(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", forbid_unknown_fields=True):
    """What a client asks for."""

    request_id: RequestId | UnsetType = UNSET


class Subscribe(Action, frozen=True, kw_only=True, tag="subscribe"):
    """Send me my events after `after_seq`, those of the past first. Left out: from now on. Again: from there anew."""

    after_seq: Seq | None = None


class SendMessage(Action, frozen=True, kw_only=True, tag="send_message"):
    """Puts what the user wrote in line, as `POST /v1/sessions/{session_id}/turns` does.

    The same `client_message_id` and text again find the turn that they made.
    """

    session_id: UUID
    client_message_id: ClientMessageId
    text: Text


class CancelTurn(Action, frozen=True, kw_only=True, tag="cancel_turn"):
    """Cancels a turn that waits at once, one that runs about a second later."""

    turn_id: UUID


class Ping(Action, frozen=True, kw_only=True, tag="ping"):
    """Says that the client is there: the gateway closes a connection that is silent for ten minutes."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What an action comes to. It arrives beside events, in no order with them."""

    request_id: RequestId | UnsetType = UNSET


class Subscribed(Answer, frozen=True, kw_only=True, tag="subscribed"):
    """The cursor is set: events after `after_seq` follow, then `live`. `head_seq`: the newest one there is."""

    after_seq: Seq
    head_seq: Seq


class Accepted(Answer, frozen=True, kw_only=True, tag="accepted"):
    """The turn of a `send_message` or a `cancel_turn`, and its status now. What becomes of it events tell."""

    turn_id: UUID
    session_id: UUID
    status: TurnStatus


class Pong(Answer, frozen=True, kw_only=True, tag="pong"):
    """The answer to `ping`."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    """Something happened. Events come in order of `seq`, each at least once: one whose `seq` is not greater than the
    last is one that came again.
    """

    event: CloudEvent


class Live(msgspec.Struct, frozen=True, kw_only=True, tag="live"):
    """Replay has caught up with the feed: every event up to `seq` was sent, and what follows comes as it happens."""

    seq: Seq


class Delta(msgspec.Struct, frozen=True, kw_only=True, tag="delta"):
    """A piece of an answer that is being written. Ephemeral: pieces may be lost, the turn's message never is.

    `index` counts the pieces of an `attempt` from 0. A gap in it: fetch the turn. A new `attempt`: begin the text anew.
    """

    turn_id: UUID
    attempt: int
    index: int
    text: str


class TextSoFar(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """The answer so far of a turn that runs, in the place of what came before: for those who come back meanwhile, and
    where a piece was lost or taken back. Deltas from `index` on follow it.
    """

    turn_id: UUID
    attempt: int
    index: int
    text: str


class Error(Answer, frozen=True, kw_only=True, tag="error"):
    """An action failed. `code` is stable, `detail` is for people, and what else a code names stands beside them.

    The connection lives on, but after `flood`, `connection_unknown` and `closing`, which are the last that is sent.
    """

    code: str
    detail: str
