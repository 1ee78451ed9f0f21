"""Conversations: what a user's history is listed by. Each groups the sessions that began in it or were forked there."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from spandrel.database import Database
from spandrel.errors import InvalidRequestError, NotFoundError
from spandrel.pagination import Page
from spandrel.sessions import store
from spandrel.sessions.models import Conversation
from spandrel.sessions.store import queries


@dataclass(frozen=True, slots=True)
class Conversations:
    database: Database

    def page(
        self, user_id: str, limit: int, cursor: str | None, *, search: str | None = None, archived: bool = False
    ) -> Page[Conversation]:
        """Newest activity first. `search`: a part of the title or of what was said, in any case."""
        before, before_id = _decode(cursor)
        parameters = {
            "archived": archived,
            "before": before,
            "before_id": before_id,
            "search": f"%{_literal(search)}%" if search else None,
            "limit": limit + 1,
        }
        rows = self.database.run(queries.list_conversations, parameters, user_id=user_id)
        items = msgspec.convert(rows[:limit], list[Conversation])
        return Page(items, _encode(items[-1]) if len(rows) > limit else None)

    def get(self, user_id: str, conversation_id: UUID) -> Conversation:
        with self.database.transaction(user_id) as tx:
            return store.find_conversation(tx, conversation_id)

    def change(
        self, user_id: str, conversation_id: UUID, *, title: str | None = None, archived: bool | None = None
    ) -> Conversation:
        """Renames, archives, or takes out of the archive."""
        parameters = {"conversation_id": conversation_id, "title": title, "archived": archived}
        with self.database.transaction(user_id) as tx:
            tx.execute(queries.change_conversation, parameters)
            return store.find_conversation(tx, conversation_id)

    def delete(self, user_id: str, conversation_id: UUID) -> None:
        """With its sessions and all that was said in them. A turn at work on one of them ends without a trace."""
        [row] = self.database.run(queries.delete_conversation, {"conversation_id": conversation_id}, user_id=user_id)
        if not row["found"]:
            raise NotFoundError("There is no such conversation, or it is not yours.")


def _literal(text: str) -> str:
    """As LIKE takes it for what it is."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _encode(last: Conversation) -> str:
    place = f"{last.last_activity_at.isoformat()} {last.id}"
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _decode(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    if cursor is None:
        return None, None
    try:
        place = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        moment, last = place.split(" ")
        return datetime.fromisoformat(moment), UUID(last)
    except (binascii.Error, ValueError):
        raise InvalidRequestError("The cursor is not one that this API gave. Leave it out to begin anew.") from None
