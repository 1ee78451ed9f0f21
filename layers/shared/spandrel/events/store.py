"""The SQL of the event feed and its doors, run on an open transaction or by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spandrel.database import Database
from spandrel.events.models import StoredEvent
from spandrel.sql import Queries

queries = Queries.beside(__file__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The newest event of a user's feed, and the oldest that is kept (`head_seq` + 1: none is)."""

    head_seq: int
    oldest_seq: int


@dataclass(frozen=True, slots=True)
class TypeFilter:
    """Event types by name, and by what they begin with ("document.")."""

    exact: Sequence[str]
    prefixes: Sequence[str]

    @classmethod
    def of(cls, patterns: Sequence[str]) -> TypeFilter:
        """`document.ready` is a name, `document.*` all that begin with "document."."""
        return cls(
            [each for each in patterns if not each.endswith("*")], [each[:-1] for each in patterns if each[-1] == "*"]
        )


def read_feed(
    database: Database, user_id: str, after_seq: int, types: TypeFilter | None, limit: int, window: int
) -> tuple[Bounds, list[StoredEvent]]:
    """Events after `after_seq`, in order, of the `window` that follow it."""
    parameters = {
        "after_seq": after_seq,
        "types": list(types.exact) if types else None,
        "prefixes": list(types.prefixes) if types else [],
        "limit": limit,
        "window": window,
    }
    rows = database.run(queries.read_feed, parameters, user_id=user_id)
    bounds = Bounds(rows[0]["head_seq"], rows[0]["oldest_seq"])
    return bounds, [as_event(row) for row in rows if row["seq"] is not None]


def as_event(row: dict[str, Any]) -> StoredEvent:
    return StoredEvent(**{name: row[name] for name in StoredEvent.__slots__})
