"""The round of checks: what is due is claimed, looked at side by side, judged and written, in one invocation's time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from spandrel.database import Database
from spandrel.errors import DatabaseUnavailableError, SecretsUnavailableError, SecretUnreadableError
from spandrel.integrations.check import target, unreadable
from spandrel.integrations.credentials import Credentials
from spandrel.integrations.findings import Finding, write
from spandrel.integrations.models import Probe, Target
from spandrel.integrations.ports import McpProber
from spandrel.integrations.store import Row, queries
from spandrel.observability import logger

CLAIM = 2000
"""Integrations at once; what is more waits for the next minute."""
BATCH = 100
"""Results written together, in one flight."""
BATCH_SECONDS = 1.0
"""A result waits no longer than this for others."""
HORIZON_SECONDS = 30.0
"""Half of a minute: what is due before the next round is nearer is looked at now, so an interval of a minute is one."""
LEASE_SECONDS = 120
"""More than an invocation lasts."""
PROBE_SECONDS = 10.0
_OPENERS = 16
"""Threads that open secrets."""
_SLACK = 0.05
KEEP_DAYS, KEEP_CHECKS, FORGET = 7, 500, 5000

Found = tuple[Any, Probe]


@dataclass(slots=True)
class WatchReport:
    """What one round did. `skipped`: claimed, and not reached in time or with its secret unavailable; due as before.

    `overtaken`: changed while they were looked at.
    """

    checked: int = 0
    failed: int = 0
    skipped: int = 0
    overtaken: int = 0
    unwritable: int = 0
    forgotten: int = 0


@dataclass(frozen=True, slots=True)
class Watch:
    database: Database
    prober: McpProber
    credentials: Credentials
    concurrency: int = 100
    probe_seconds: float = PROBE_SECONDS
    lease_seconds: int = LEASE_SECONDS
    sleep: Callable[[float], None] = time.sleep

    def run(self, seconds: float) -> WatchReport:
        """Safe beside itself. Goes on, within `seconds`, while checks that are to decide fall due."""
        round_ = _Round(self, time.monotonic() + seconds)
        round_.look(self.claim(HORIZON_SECONDS))
        while round_.again_in is not None and round_.wait():
            round_.look(self.claim(0.0))
        part = int(time.time() // 60) % 10
        forget = {"days": KEEP_DAYS, "keep": KEEP_CHECKS, "part": part, "limit": FORGET}
        round_.report.forgotten = self.database.run(queries.forget_checks, forget)[0]["forgotten"]
        return round_.report

    def claim(self, horizon: float, limit: int = CLAIM) -> list[Row]:
        parameters = {"limit": limit, "lease_seconds": self.lease_seconds, "horizon_seconds": horizon}
        return self.database.run(queries.claim_checks, parameters)

    def release(self, rows: Sequence[Row]) -> None:
        if rows:
            self.database.run(queries.release_checks, {"integration_ids": [row["id"] for row in rows]})


@dataclass(slots=True)
class _Round:
    """One invocation's part. `again_in`: seconds after which the first of what was written is due again."""

    watch: Watch
    deadline: float
    report: WatchReport = field(default_factory=WatchReport)
    again_in: float | None = None
    _waiting: list[Finding] = field(default_factory=list)
    _since: float = 0.0

    def wait(self) -> bool:
        """Until the next is due; false: not within this round."""
        assert self.again_in is not None
        pause = self.again_in + _SLACK
        if time.monotonic() + pause + self.watch.probe_seconds > self.deadline:
            return False
        self.watch.sleep(pause)
        return True

    def look(self, rows: Sequence[Row]) -> None:
        """Probes `rows` and writes what comes of it, as it comes."""
        self.again_in = None
        left = {row["id"]: row for row in rows}
        try:
            if targets := self._targets(rows, left):
                # A loop of its own making leaves the thread's as it is.
                with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                    runner.run(self._probe(targets, left))
            self._flush()
        finally:
            self.watch.release(list(left.values()))
            self.report.skipped += len(left)

    def _targets(self, rows: Sequence[Row], left: dict[UUID, Row]) -> list[tuple[Row, Target]]:
        targets: list[tuple[Row, Target]] = []
        with ThreadPoolExecutor(_OPENERS) as pool:
            for row, found in zip(rows, pool.map(self._target, rows), strict=True):
                if isinstance(found, Target):
                    targets.append((row, found))
                elif found is not None:
                    del left[row["id"]]
                    self._add(Finding(row, found))
        return targets

    def _target(self, row: Row) -> Target | Probe | None:
        """None: its secret is not to be had at the moment, which says nothing of the server."""
        try:
            return target(self.watch.credentials, row)
        except SecretUnreadableError:
            return unreadable()
        except SecretsUnavailableError as error:
            logger.warning(
                "secret unavailable", extra={"integration_id": str(row["id"]), "cause": repr(error.__cause__)}
            )
            return None

    async def _probe(self, targets: list[tuple[Row, Target]], left: dict[UUID, Row]) -> None:
        probes = self.watch.prober.probe_many(
            targets,
            timeout=self.watch.probe_seconds,
            deadline=self.deadline,
            concurrency=self.watch.concurrency,
        )
        async for found in _as_they_come(probes, BATCH_SECONDS):
            if found is not None:
                row, probe = found
                del left[row["id"]]
                self._add(Finding(row, probe))
            if self._waiting and (len(self._waiting) >= BATCH or time.monotonic() - self._since >= BATCH_SECONDS):
                await asyncio.to_thread(self._flush)  # the other probes go on meanwhile

    def _add(self, finding: Finding) -> None:
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(finding)
        self.report.checked += 1
        self.report.failed += finding.probe.reason is not None

    def _flush(self) -> None:
        """Together; where that cannot be, each alone, so that one server's answer spoils no other's."""
        batch, self._waiting = self._waiting, []
        try:
            self._write(batch)
        except DatabaseUnavailableError:
            raise
        except Exception:  # noqa: BLE001 - whatever a foreign server made of it
            for finding in batch:
                try:
                    self._write([finding])
                except DatabaseUnavailableError:
                    raise
                except Exception:  # noqa: BLE001
                    logger.exception("check not written", extra={"integration_id": str(finding.row["id"])})
                    self.report.unwritable += 1

    def _write(self, batch: Sequence[Finding]) -> None:
        if not batch:
            return
        with self.watch.database.transaction() as tx:
            written = write(tx, batch)
        self.report.overtaken += len(batch) - len(written)
        self.again_in = min([*written.values(), *([] if self.again_in is None else [self.again_in])], default=None)


async def _as_they_come(probes: AsyncIterator[Found], seconds: float) -> AsyncIterator[Found | None]:
    """What `probes` gives, and None whenever nothing has come for so long."""

    async def following() -> Found:
        return await anext(probes)

    pending: asyncio.Task[Found] | None = None
    try:
        while True:
            pending = pending or asyncio.create_task(following())
            done, _ = await asyncio.wait({pending}, timeout=seconds)
            if not done:
                yield None
                continue
            try:
                found = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield found
    finally:
        if pending is not None:
            pending.cancel()
