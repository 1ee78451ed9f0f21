"""The SQL of a turn at work: claimed, kept, ended. Each is one flight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from spandrel.chat.histories import Histories
from spandrel.chat.work import Claim, NewMessage, Work
from spandrel.database import Database
from spandrel.driver import psycopg
from spandrel.sessions.messages import TurnTask
from spandrel.sql import Queries
from spandrel.usage.models import ModelCall

queries = Queries.beside(__file__)
WAIT_SECONDS = 86_400
"""How long a tool call waits for a person's word."""
_TURN_LOST = "SP004"  # raised by complete_turn()
_CLAIM = msgspec.json.Decoder(Claim)


@dataclass(frozen=True, slots=True)
class NewSummary:
    ordinal: int
    content: str
    token_count: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A tool call that waits for a person's word."""

    id: UUID
    call_id: str
    integration: str
    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Saved:
    """What a worker learns when it saves. `connections`: who may see the answer while it is made."""

    cancel_requested: bool
    connections: list[str]


@dataclass(frozen=True, slots=True)
class TurnStore:
    """One worker's hold on one turn: nothing is written once it has lost it."""

    database: Database
    task: TurnTask
    owner: UUID
    lease_seconds: int
    histories: Histories = field(default_factory=Histories)

    def claim(self) -> tuple[str, Work | None]:
        """The outcome, and with `claimed` the work."""
        known = self.histories.known(self.task)
        parameters = {
            "lease_seconds": self.lease_seconds,
            "known_branch_id": known.branch_id if known else None,
            "known_ordinal": known.ordinal if known else None,
        }
        claim = _CLAIM.decode(self._run_alone(queries.claim_turn, parameters)[0]["claim"])
        return claim.outcome, self.histories.completed(self.task, claim.work) if claim.work else None

    def save(self, partial: str) -> Saved | None:
        """None: the turn is no longer this worker's."""
        rows = self._run(queries.save_partial, {"partial": _storable(partial), "lease_seconds": self.lease_seconds})
        return Saved(**rows[0]) if rows else None

    def keep(self, said: list[NewMessage], partial: str) -> Saved | None:
        """What is not to be said again, whoever goes on with the turn. Answers as `save` does."""
        parameters = {"said": _messages(said), "partial": _storable(partial), "lease_seconds": self.lease_seconds}
        rows = self._run(queries.save_said, parameters)
        return Saved(**rows[0]) if rows else None

    def park(self, said: list[NewMessage], partial: str, calls: list[ModelCall], asks: list[Ask]) -> bool:
        """Puts the turn aside until its user has decided on `asks`. False: it is no longer this worker's."""
        parameters = {
            "said": _messages(said),
            "partial": _storable(partial),
            "calls": _json(calls),
            "asks": _json(asks),
            "wait_seconds": WAIT_SECONDS,
        }
        return bool(self._run(queries.park_turn, parameters)[0]["parked"])

    def complete(self, messages: list[NewMessage], calls: list[ModelCall], summary: NewSummary | None) -> bool:
        """False: the turn is no longer this worker's, and nothing was written."""
        parameters = {
            "messages": _messages(messages),
            "calls": _json(calls),
            "summary": _json(summary) if summary else None,
        }
        try:
            self._run_alone(queries.complete_turn, parameters)
        except psycopg.Error as error:
            if error.sqlstate != _TURN_LOST:
                raise
            return False
        return True

    def end(
        self, status: str, code: str | None, message: str | None, partial: str | None, calls: list[ModelCall]
    ) -> bool:
        """Failed or cancelled. False as above."""
        parameters = {
            "status": status,
            "code": code,
            "message": message,
            "partial": _storable(partial) if partial else None,
            "calls": _json(calls),
        }
        return bool(self._run(queries.end_turn, parameters)[0]["ended"])

    def _run(self, query: bytes, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        parameters |= {"turn_id": self.task.turn_id, "owner": self.owner}
        return self.database.run(query, parameters, user_id=self.task.user_id)

    def _run_alone(self, query: bytes, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """Runs what sets its scope itself."""
        task = self.task
        parameters |= {"user_id": task.user_id, "session_id": task.session_id}
        parameters |= {"turn_id": task.turn_id, "owner": self.owner}
        return self.database.run(query, parameters)


def _messages(messages: list[NewMessage]) -> str:
    return _json([_clean(message) for message in messages])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _storable(text: str) -> str:
    """Postgres holds neither NUL nor lone surrogates, and a model may say either."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _clean(message: NewMessage) -> NewMessage:
    content = _storable(message.content)
    return (
        message
        if content == message.content
        else NewMessage(
            message.role, content, message.token_count, message.tool_calls, message.tool_call_id, message.citations
        )
    )
