"""A round: every component does its work, each within its share of the time, and none for another's fault."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spandrel.database import Database
from spandrel.errors import DatabaseUnavailableError, SpandrelError
from spandrel.health import store
from spandrel.health.models import Component, Outcome
from spandrel.observability import logger


@dataclass(frozen=True, slots=True)
class Round:
    """Safe beside itself: components claim what they work on."""

    database: Database
    components: Sequence[Component]
    clock: Callable[[], float] = time.monotonic

    def run(self, seconds: float) -> list[Outcome]:
        """In their order. Each one's row is written as it ends, so a round that is cut short leaves what was done."""
        deadline = self.clock() + seconds
        outcomes: list[Outcome] = []
        for place, component in enumerate(self.components):
            left = max(deadline - self.clock(), 0.0)
            allowed = left * component.share / sum(each.share for each in self.components[place:])
            outcomes.append(self._run(component, allowed))
            self._record(outcomes[-1], last=place == len(self.components) - 1)
        return outcomes

    def _run(self, component: Component, seconds: float) -> Outcome:
        began = self.clock()
        try:
            detail, code = dict(component.work(seconds)), None
        except SpandrelError as error:
            logger.exception("component failed", extra={"component": component.name, "code": error.code})
            detail, code = {}, error.code
        except Exception:  # noqa: BLE001 - one component's fault never stops the others
            logger.exception("component failed", extra={"component": component.name})
            detail, code = {}, SpandrelError.code
        return Outcome(component.name, code is None, detail, code, round((self.clock() - began) * 1000, 3))

    def _record(self, outcome: Outcome, *, last: bool) -> None:
        try:
            with self.database.transaction() as tx:
                store.record(tx, outcome)
                if last:
                    store.forget(tx)
        except DatabaseUnavailableError:
            logger.warning("component not recorded", extra={"component": outcome.name})
