"""One connection's share of a pass: a page of frames in order, and what to do when one does not go through."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from spandrel.events.broadcast.models import Frame, Held, Page, PumpReport, Result
from spandrel.events.frames import encode, live_frame
from spandrel.events.messages import Error
from spandrel.events.ports import Delivery, Gateway, Posted
from spandrel.observability import logger

POST_SECONDS = 5.0
FAREWELL_SECONDS = 1.0
THROTTLE_ATTEMPTS = 4
FIRST_THROTTLE_SECONDS = 0.05
LONGEST_WAIT_IN_PLACE_SECONDS = 2.0
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
MOST_FAILURES = 8
"""Faults in a row, several minutes of them, after which a connection is closed: its client comes back by a new one."""
FAR_BEHIND_EVENTS = 1000
"""A connection that faults and is further behind than this is closed at once: replay is cheaper by a new one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    user_id: str
    result: Result
    gone: bool = False


class Courier:
    """Keeps count in `report`."""

    def __init__(self, gateway: Gateway, report: PumpReport) -> None:
        self._gateway, self._report = gateway, report

    async def deliver(self, held: Held, page: Page, deadline: float) -> Outcome:
        """Sends what follows the connection's cursor until `deadline` (`time.monotonic`), then the `live` marker if it
        has caught up for the first time.
        """
        frames, all_of_them = page.after(held.user_id, held.delivered_seq)
        seq, read_at = held.delivered_seq, time.monotonic()
        for frame in frames:
            if time.monotonic() >= deadline:
                return _outcome(held, seq, held.live)
            posted = await self._post(held.id, frame.content, deadline)
            if posted.delivery is not Delivery.SENT:
                return await self._fault(held, seq, posted)
            seq = frame.seq
            self._count(frame, held, read_at)
        if all_of_them and not frames:
            seq = max(seq, held.head)  # what lay between has passed its time in the log
        if not all_of_them or held.live:
            return _outcome(held, seq, held.live)
        posted = await self._post(held.id, live_frame(seq), deadline)
        if posted.delivery is not Delivery.SENT:
            return await self._fault(held, seq, posted)
        return _outcome(held, seq, True)

    def _count(self, frame: Frame, held: Held, read_at: float) -> None:
        self._report.events += 1
        if held.live:
            self._report.lag = max(self._report.lag, frame.age + time.monotonic() - read_at)

    async def _post(self, connection_id: str, frame: bytes, deadline: float) -> Posted:
        """One frame; where the quota is used up, again after a while with jitter, a few times and until `deadline`."""
        for attempt in range(THROTTLE_ATTEMPTS):
            posted = await self._gateway.post(connection_id, frame, timeout=POST_SECONDS)
            if posted.delivery is not Delivery.THROTTLED:
                return posted
            self._report.throttled += 1
            wait = FIRST_THROTTLE_SECONDS * 2**attempt * (1 + random.random())  # noqa: S311 - spreads load, guards nothing
            wait = max(wait, posted.retry_after or 0)
            if wait > LONGEST_WAIT_IN_PLACE_SECONDS or time.monotonic() + wait >= deadline:
                break
            await asyncio.sleep(wait)
        return posted

    async def _fault(self, held: Held, seq: int, posted: Posted) -> Outcome:
        if posted.delivery is Delivery.GONE:
            self._report.gone += 1
            return _outcome(held, seq, held.live, gone=True)
        failures = held.failures if posted.delivery is Delivery.THROTTLED else held.failures + 1
        if seq > held.delivered_seq:  # something went through: it is not dead
            failures = min(failures, 1)
        self._report.faults += 1
        if failures >= MOST_FAILURES or (failures > 0 and held.head - seq > FAR_BEHIND_EVENTS):
            return await self._close(held, seq, failures)
        retry = max(posted.retry_after or 0, backoff(failures))
        return _outcome(held, seq, held.live, failures=failures, retry_seconds=retry)

    async def _close(self, held: Held, seq: int, failures: int) -> Outcome:
        """Its client may be there and only slow: then it learns by the connection's end, and subscribes anew."""
        reason = "unreachable" if failures >= MOST_FAILURES else "too far behind"
        farewell = Error(code="closing", detail=f"The connection is {reason}. Connect and subscribe again.")
        await self._gateway.post(held.id, encode(farewell), timeout=FAREWELL_SECONDS)
        posted = await self._gateway.disconnect(held.id, timeout=POST_SECONDS)
        self._report.closed += 1
        behind = held.head - seq
        logger.warning("connection closed", extra={"reason": reason, "behind": behind, "answer": posted.delivery.value})
        return _outcome(held, seq, held.live, gone=True)


def backoff(failures: int) -> float:
    """Seconds, with jitter, so that what broke together does not come back together."""
    longest: float = min(FIRST_RETRY_SECONDS * 2.0 ** max(failures - 1, 0), LONGEST_RETRY_SECONDS)
    return longest * (0.5 + random.random() / 2)  # noqa: S311 - spreads load, guards nothing


def _outcome(
    held: Held, seq: int, live: bool, *, failures: int = 0, retry_seconds: float | None = None, gone: bool = False
) -> Outcome:
    result = Result(held.id, held.delivered_seq, held.live, seq, live, failures, retry_seconds)
    return Outcome(held.user_id, result, gone)
