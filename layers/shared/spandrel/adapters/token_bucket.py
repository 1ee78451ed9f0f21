"""A quota of so many a second with a burst, kept by whoever would be refused otherwise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class TokenBucket:
    """Filled with `burst` tokens, gains `rate` a second. Whoever comes first is served first."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = burst, clock()

    async def take(self, longest_wait: float) -> bool:
        """Waits for a token. False, at once, where that would take more than `longest_wait` seconds."""
        wait = self.reserve(longest_wait)
        if wait is None:
            return False
        if wait > 0:
            await asyncio.sleep(wait)
        return True

    def reserve(self, longest_wait: float) -> float | None:
        """Takes a token that is there in so many seconds; None: not within `longest_wait`, and none is taken."""
        self._fill()
        wait = max(0.0, (1 - self._tokens) / self._rate)
        if wait > longest_wait:
            return None
        self._tokens -= 1
        return wait

    def drain(self) -> None:
        """Somebody else draws on the same quota: begin with nothing."""
        self._fill()
        self._tokens = min(self._tokens, 0.0)

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
