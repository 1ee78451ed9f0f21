from __future__ import annotations

import pytest

from spandrel.integrations.schedule import CONFIRM, LONGEST, LONGEST_RETRY_AFTER, Pace, next_check


@pytest.mark.parametrize(("spread", "seconds"), [(-1, 54), (0, 60), (1, 66)])
def test_the_interval_is_spread_by_a_tenth(spread: float, seconds: float) -> None:
    assert next_check(Pace(60), spread) == pytest.approx(seconds)


def test_each_failure_doubles_it_to_a_limit() -> None:
    assert [next_check(Pace(60, failures=n), 0) for n in (1, 2, 3, 4, 5, 1000)] == [120, 240, 480, 900, 900, 900]
    assert next_check(Pace(LONGEST, failures=3), 0) == LONGEST


def test_a_decision_is_not_spread() -> None:
    assert next_check(Pace(60, failures=4, pending=True), 1) == CONFIRM


def test_the_server_s_wish_is_honoured_within_reason() -> None:
    assert next_check(Pace(60, pending=True, retry_after=30), 0) == 30
    assert next_check(Pace(60, retry_after=30), 0) == 60
    assert next_check(Pace(60, retry_after=1e9), 0) == LONGEST_RETRY_AFTER
