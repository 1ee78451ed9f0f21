"""Keyset pagination: a page, and an opaque cursor to the next one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from spandrel.errors import InvalidRequestError


class Identified(Protocol):
    @property
    def id(self) -> UUID: ...


T = TypeVar("T")
I = TypeVar("I", bound=Identified)  # noqa: E741


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next_cursor` None: there is no further page."""

    items: list[T]
    next_cursor: str | None


class Numbered(Protocol):
    @property
    def number(self) -> int: ...


N = TypeVar("N", bound=Numbered)


@dataclass(frozen=True, slots=True)
class NumberedPage(Generic[T]):
    """Items numbered from 1, newest first. `next_before` None: there are no further ones."""

    items: list[T]
    next_before: int | None


def paginate_numbers(rows: Sequence[N], limit: int) -> NumberedPage[N]:
    """A page of `limit` out of rows that were asked for with one more than that."""
    items = list(rows[:limit])
    return NumberedPage(items, items[-1].number if len(rows) > limit else None)


def paginate(rows: Sequence[I], limit: int) -> Page[I]:
    """A page of `limit` out of rows that were asked for with one more than that."""
    return paginate_by(lambda row: row.id, rows, limit)


def paginate_by(key: Callable[[T], UUID], rows: Sequence[T], limit: int) -> Page[T]:
    """The same for rows that are in the order of something else, which `key` makes an id of."""
    items = list(rows[:limit])
    return Page(items, _encode(key(items[-1])) if len(rows) > limit else None)


def _encode(last: UUID) -> str:
    return base64.urlsafe_b64encode(last.bytes).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> UUID | None:
    """Raises `InvalidRequestError` for what is no cursor of ours."""
    if cursor is None:
        return None
    try:
        return UUID(bytes=base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise InvalidRequestError("The cursor is not one that this API gave. Leave it out to begin anew.") from None
