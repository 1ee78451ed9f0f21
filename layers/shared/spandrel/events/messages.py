"""The messages of the WebSocket connection, both ways: the contract of `docs/asyncapi.yaml`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from spandrel.events.models import CloudEvent

RequestId = Annotated[str, Meta(min_length=1, max_length=128, description="Of your choice; the answer carries it.")]
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    """Something happened. Events come in order of `seq`, each once to a connection; after a reconnect some may come
    again.
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
    """The answer so far of a turn that runs, for those who come back meanwhile. Deltas from `index` on follow it."""

    turn_id: UUID
    attempt: int
    index: int
    text: str


class Error(msgspec.Struct, frozen=True, kw_only=True, tag="error"):
    """An action failed. `code` is stable, `detail` is for people, and what else the code needs stands beside them.

    The connection lives on; one that will be closed is told so by `code` "closing".
    """

    code: str
    detail: str
    request_id: RequestId | UnsetType = UNSET
