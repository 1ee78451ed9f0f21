"""Keyset pagination: a page, and an opaque cursor to the next one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from spandrel.errors import InvalidRequestError

MOST_BYTES = 2_500_000
"""Of a page as JSON. A function's answer may take 6 MB, in which text is escaped once more."""


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


def fitting(rows: Sequence[T], limit: int) -> list[T]:
    """The first `limit` rows at most, fewer where they are large, and one at least."""
    size = 0
    for place, row in enumerate(rows[:limit]):
        size += len(msgspec.json.encode(row))
        if size > MOST_BYTES and place:
            return list(rows[:place])
    return list(rows[:limit])


def paginate_numbers(rows: Sequence[N], limit: int) -> NumberedPage[N]:
    """A page of `limit` out of rows that were asked for with one more than that."""
    items = fitting(rows, limit)
    return NumberedPage(items, items[-1].number if len(rows) > len(items) else None)


def paginate(rows: Sequence[I], limit: int) -> Page[I]:
    """A page of `limit` at most out of rows that were asked for with one more than that."""
    return paginate_by(lambda row: row.id, rows, limit)


def paginate_by(key: Callable[[T], UUID], rows: Sequence[T], limit: int) -> Page[T]:
    """The same for rows that are in the order of something else, which `key` makes an id of."""
    items = fitting(rows, limit)
    return Page(items, _encode(key(items[-1])) if len(rows) > len(items) else None)


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
