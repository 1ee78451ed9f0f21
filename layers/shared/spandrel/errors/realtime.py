"""What can go wrong on the way of an event to its user, and of a user's message to us."""

from __future__ import annotations

from spandrel.errors.base import SpandrelError


class TicketInvalidError(SpandrelError):
    """The ticket is unknown, was used already, or is past its time. Ask for a new one and connect with it at once."""

    code = "ticket_invalid"
    status = 401


class EventsExpiredError(SpandrelError):
    """Events after this `seq` are not kept any more. Load the present state anew, then go on from `head_seq`."""

    code = "events_expired"
    status = 410


class SeqAheadError(SpandrelError):
    """The feed has no such `seq` yet. Load the present state anew, then go on from `head_seq`."""

    code = "seq_ahead"
    status = 409


class UnknownActionError(SpandrelError):
    """There is no such action. `actions` names those that there are."""

    code = "unknown_action"
    status = 400


class MessageTooLargeError(SpandrelError):
    """A message may take 128 KB, and a frame of it 32 KB."""

    code = "message_too_large"
    status = 413


class RateLimitedError(SpandrelError):
    """Messages come too fast on this connection. Wait `retry_after` seconds; one that goes on like this is closed."""

    code = "rate_limited"
    status = 429


class ConnectionFloodedError(SpandrelError):
    """The connection is closed: messages went on coming too fast. Wait, then connect anew."""

    code = "flood"
    status = 429


class ConnectionUnknownError(SpandrelError):
    """The connection is closed: it is not known any more, or is past its time. Connect anew with a new ticket."""

    code = "connection_unknown"
    status = 410
