"""Word of news, as it comes from Postgres: `append_event` raises a notice for a user who has connections.

A notice travels with the answer that it belongs to, so listening costs no flight. Whoever committed hands on what was
heard; what was rolled back was never news.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

    from spandrel.events.ports import News

NEWS = "news"


class HeardNews:
    """Users that the transaction under way has news for."""

    def __init__(self, news: Callable[[], News]) -> None:
        self._news, self._user_ids = news, set[str]()

    def listen(self, notice: psycopg.errors.Diagnostic) -> None:
        """A notice handler."""
        if notice.message_primary == NEWS and notice.message_detail:
            self._user_ids.add(notice.message_detail)

    def forget(self) -> None:
        self._user_ids.clear()

    def tell(self) -> None:
        """To be called after the commit. What cannot be told is found by the sweep, so nothing fails for it."""
        if not self._user_ids:
            return
        told, self._user_ids = sorted(self._user_ids), set()
        try:
            self._news().tell(told)
        except Exception as error:  # noqa: BLE001 - the change is committed: its caller must hear that it worked
            from spandrel.observability import count, logger

            logger.warning("news not told", extra={"users": len(told), "cause": repr(error)})
            count("News.untold", len(told))
