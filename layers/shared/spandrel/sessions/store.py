"""The SQL of sessions, turns, checkpoints and conversations, run on an open transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import psycopg

from spandrel.database import Transaction
from spandrel.errors import IllegalMoveError, NotFoundError
from spandrel.sessions.models import Checkpoint, Conversation, Session, Turn
from spandrel.sql import Queries

queries = Queries.beside(__file__)
T = TypeVar("T")
_ILLEGAL_MOVE = "SP003"  # raised by the guard of a session's status and by what depends on it


@contextmanager
def legal_moves() -> Iterator[None]:
    """Raises `IllegalMoveError` where the database refuses what a session's status does not allow."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate != _ILLEGAL_MOVE:
            raise
        legal = [status for status in (error.diag.message_detail or "").split(",") if status]
        raise IllegalMoveError(error.diag.message_primary, legal=legal) from error


def find_session(tx: Transaction, session_id: UUID) -> Session:
    row = tx.execute(queries.find_session, {"session_id": session_id}).fetchone()
    return as_session(found(row, "session"))


def as_session(row: dict[str, Any]) -> Session:
    return msgspec.convert(row, Session)


def find_turn(tx: Transaction, turn_id: UUID) -> Turn:
    return as_turn(found(tx.execute(queries.find_turn, {"turn_id": turn_id}).fetchone(), "turn"))


def as_turn(row: dict[str, Any]) -> Turn:
    code, message = row.pop("error_code"), row.pop("error_message")
    return msgspec.convert(row | {"error": {"code": code, "message": message} if code else None}, Turn)


def find_checkpoint(tx: Transaction, session_id: UUID, number: int) -> Checkpoint:
    row = tx.execute(queries.find_checkpoint, {"session_id": session_id, "number": number}).fetchone()
    return msgspec.convert(found(row, "checkpoint"), Checkpoint)


def find_conversation(tx: Transaction, conversation_id: UUID) -> Conversation:
    row = tx.execute(queries.find_conversation, {"conversation_id": conversation_id}).fetchone()
    return msgspec.convert(found(row, "conversation"), Conversation)


def found(row: T | None, kind: str) -> T:
    if row is None:
        raise NotFoundError(f"There is no such {kind}, or it is not yours.")
    return row
