"""The pump: sends each of a user's connections the events after its cursor, in order; replay, live and repair alike.

A connection is held by a lease while it is sent to, so two pumps never speak to one at a time. Sending comes before
the cursor moves: a pump that dies has some events sent twice, with the same seq, and none lost. A connection that is
slow or broken is settled by itself; the others do not wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spandrel.database import Database
from spandrel.errors import QueueUnavailableError
from spandrel.events.broadcast import store
from spandrel.events.broadcast.deliver import Courier, Outcome
from spandrel.events.broadcast.models import Held, Page, PumpReport
from spandrel.events.broadcast.store import PumpStore
from spandrel.events.ports import Gateway, Reminders
from spandrel.observability import logger

PAGE_SECONDS = 8.0
"""Given to a connection for one page; with a post's own timeout well within the lease."""
RESERVE_SECONDS = PAGE_SECONDS + 4.0
"""No page is begun with less of the invocation left."""
GRACE_SECONDS = 0.05
"""How long those that are done wait for the others, so that they share a flight."""


@dataclass(frozen=True, slots=True)
class Pump:
    """`runner` keeps one event loop across invocations, and with it the gateway's connections."""

    database: Database
    gateway: Gateway
    reminders: Reminders
    runner: asyncio.Runner

    def run(self, user_ids: Sequence[str], remaining: Callable[[], float]) -> PumpReport:
        """Sends what there is to send to these users' connections in the `remaining` seconds; the rest is told again.

        Raises `DatabaseUnavailableError`: then the word of news must come again.
        """
        return self.runner.run(_Pass(self, user_ids, remaining).run())


class _Pass:
    def __init__(self, pump: Pump, user_ids: Sequence[str], remaining: Callable[[], float]) -> None:
        self.pump, self.remaining = pump, remaining
        self.store = PumpStore(pump.database, user_ids)
        self.report = PumpReport()
        self.courier = Courier(pump.gateway, self.report)
        self.again: dict[str, float] = {}  # users to be told again, and in how many seconds
        self.tasks: dict[asyncio.Task[Outcome], Held] = {}

    async def run(self) -> PumpReport:
        try:
            while await self._claim() == store.MOST_CONNECTIONS and not self._time_is_up():
                pass
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
        self._tell_again()
        return self.report

    async def _claim(self) -> int:
        """How many connections were claimed; they are served when this returns."""
        if self._time_is_up():
            self._again(self.store.user_ids, 0)
            return 0
        begun = time.monotonic()
        held, page = await asyncio.to_thread(self.store.claim)
        self.report.flights += 1
        self.report.connections += len(held)
        self._send(held, page, begun)
        while self.tasks:
            await self._settle(await self._done())
        return len(held)

    def _send(self, held: Sequence[Held], page: Page, begun: float) -> None:
        for each in held:
            self.tasks[asyncio.create_task(self.courier.deliver(each, page, begun + PAGE_SECONDS))] = each

    async def _done(self) -> list[Outcome]:
        """What is finished first, with what else is within the grace."""
        await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        done, pending = await asyncio.wait(self.tasks, timeout=GRACE_SECONDS)
        self.tasks = {task: self.tasks[task] for task in pending}
        return [task.result() for task in done]

    async def _settle(self, outcomes: list[Outcome]) -> None:
        results = [outcome.result for outcome in outcomes if not outcome.gone]
        gone = [outcome.result.id for outcome in outcomes if outcome.gone]
        users = {outcome.user_id for outcome in outcomes}
        begun, let_go = time.monotonic(), self._time_is_up()
        settled = await asyncio.to_thread(self.store.settle, results, gone, users, let_go=let_go)
        self.report.flights += 1
        for outcome in outcomes:
            if outcome.result.retry_seconds is not None and not outcome.gone:
                self._again([outcome.user_id], outcome.result.retry_seconds)
        if let_go:
            self._again(settled.behind, 0)
        self._send(settled.held, settled.page, begun)

    def _time_is_up(self) -> bool:
        return self.remaining() < RESERVE_SECONDS

    def _again(self, user_ids: Sequence[str] | set[str], seconds: float) -> None:
        for user_id in user_ids:
            self.again[user_id] = min(seconds, self.again.get(user_id, seconds))

    def _tell_again(self) -> None:
        self.report.told_again = len(self.again)
        by_delay: dict[int, list[str]] = {}
        for user_id, seconds in self.again.items():
            by_delay.setdefault(int(-(-seconds // 1)), []).append(user_id)
        try:
            for delay, user_ids in by_delay.items():
                self.pump.reminders.remind(user_ids, delay)
        except QueueUnavailableError:  # the sweep finds them
            logger.warning("pump: users not told again", extra={"users": len(self.again)})
