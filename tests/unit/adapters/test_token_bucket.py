"""The bucket by a clock of the test's own."""

from __future__ import annotations

import asyncio

from spandrel.adapters.token_bucket import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_goes_at_once_and_what_follows_at_the_rate() -> None:
    bucket = TokenBucket(10, 3, Clock())
    waits = [bucket.reserve(60) for _ in range(6)]
    assert [round(wait or 0, 6) for wait in waits] == [0, 0, 0, 0.1, 0.2, 0.3]


def test_it_fills_up_to_the_burst_and_no_further() -> None:
    clock = Clock()
    bucket = TokenBucket(10, 3, clock)
    for _ in range(3):
        bucket.reserve(0)
    clock.now += 0.15
    assert bucket.reserve(0) == 0
    assert bucket.reserve(0) is None
    clock.now += 1000
    assert [bucket.reserve(0) for _ in range(4)] == [0, 0, 0, None]


def test_who_would_wait_too_long_takes_nothing() -> None:
    bucket = TokenBucket(10, 1, Clock())
    bucket.reserve(0)
    assert [bucket.reserve(0.05) for _ in range(100)] == [None] * 100
    assert round(bucket.reserve(1) or 0, 6) == 0.1


def test_drained_it_begins_with_nothing_and_forgives_no_debt() -> None:
    bucket = TokenBucket(10, 5, Clock())
    bucket.drain()
    assert round(bucket.reserve(1) or 0, 6) == 0.1
    bucket.drain()
    assert round(bucket.reserve(1) or 0, 6) == 0.2


def test_taking_waits_or_refuses() -> None:
    async def take() -> list[bool]:
        fast, slow = TokenBucket(1000, 1), TokenBucket(0.001, 1)
        return [await fast.take(1), await fast.take(1), await slow.take(1), await slow.take(1)]

    assert asyncio.run(take()) == [True, True, True, False]
