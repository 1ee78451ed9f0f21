"""When an integration is looked at next. Pure; all in seconds."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 900.0
"""Between two checks of what has long been down."""
CONFIRM = 5.0
"""Between checks that are to decide."""
JITTER = 0.1
"""Of the interval, either way: servers saved together are not looked at together for ever."""
LONGEST_RETRY_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class Pace:
    """`failures`: beyond those that made it fall. `pending`: the last check points elsewhere than the status does.

    `retry_after`: what the server asks for.
    """

    interval: float
    failures: int = 0
    pending: bool = False
    retry_after: float | None = None


def next_check(pace: Pace, spread: float) -> float:
    """`spread`: -1 to 1. Doubles with each further failure; never before the server wants to be asked again."""
    if pace.pending:
        delay = min(CONFIRM, pace.interval)
    else:
        delay = min(pace.interval * 2.0 ** min(pace.failures, 10), max(LONGEST, pace.interval))
        delay *= 1 + JITTER * spread
    return max(delay, min(pace.retry_after or 0.0, LONGEST_RETRY_AFTER))
