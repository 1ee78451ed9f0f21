"""The feed as it is fetched: a page of the past, or a wait for what comes next (long polling)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spandrel.database import Database
from spandrel.errors import EventsExpiredError, NotFoundError, SeqAheadError
from spandrel.events.models import StoredEvent
from spandrel.events.store import TypeFilter, as_event, queries, read_feed

WINDOW = 10_000
"""Events that one look goes through for those of the wanted types."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class FeedPage:
    """`next_after_seq`: everything up to it was looked at; go on after it. The bounds are the whole feed's."""

    items: list[StoredEvent]
    next_after_seq: int
    head_seq: int
    oldest_seq: int


@dataclass(frozen=True, slots=True)
class History:
    """`clock` and `sleep` as `time` has them."""

    database: Database
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def page(
        self, user_id: str, after_seq: int, patterns: Sequence[str] | None, limit: int, wait: float = 0
    ) -> FeedPage:
        """In order. Where nothing matches, up to `wait` seconds pass until something does.

        Raises `EventsExpiredError` where what follows `after_seq` is not kept any more, `SeqAheadError`.
        """
        types, until = TypeFilter.of(patterns) if patterns else None, self.clock() + wait
        while True:
            found = self._look(user_id, after_seq, types, limit)
            if found.items or self.clock() >= until:
                return found
            after_seq = found.next_after_seq
            if after_seq >= found.head_seq and not self._moves(user_id, found.head_seq, until):
                return found

    def _look(self, user_id: str, after_seq: int, types: TypeFilter | None, limit: int) -> FeedPage:
        bounds, items = read_feed(self.database, user_id, after_seq, types, limit, WINDOW)
        if after_seq > bounds.head_seq:
            raise SeqAheadError(head_seq=bounds.head_seq, oldest_seq=bounds.oldest_seq)
        if after_seq + 1 < bounds.oldest_seq:
            raise EventsExpiredError(head_seq=bounds.head_seq, oldest_seq=bounds.oldest_seq)
        reached = items[-1].seq if len(items) == limit else min(bounds.head_seq, after_seq + WINDOW)
        return FeedPage(items, reached, bounds.head_seq, bounds.oldest_seq)

    def _moves(self, user_id: str, head_seq: int, until: float) -> bool:
        """Whether the feed gets beyond `head_seq` in time. One row is looked at, ever less often."""
        pause = FIRST_PAUSE
        while (left := until - self.clock()) > 0:
            self.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_PAUSE)
            if self.database.run(queries.feed_head, user_id=user_id)[0]["head_seq"] > head_seq:
                return True
        return False

    def get(self, user_id: str, seq: int) -> StoredEvent:
        """Raises `EventsExpiredError` for one that is not kept any more, `NotFoundError` for one that never was."""
        with self.database.transaction(user_id) as tx:
            row = tx.execute(queries.find_event, {"seq": seq}).fetchone()
            bounds = tx.execute(queries.feed_bounds).fetchone()
        if row is not None:
            return as_event(row)
        assert bounds is not None
        if 0 < seq < bounds["oldest_seq"] and seq <= bounds["head_seq"]:
            raise EventsExpiredError(**bounds)
        raise NotFoundError("There is no such event, or it is not yours.")
