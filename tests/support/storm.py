"""A storm: a few workers, each with connections of its own, do random things to a few shared objects, so many each.

What they choose is seeded; how they meet is not. Statements doze now and then, so that they meet more often.
"""

from __future__ import annotations

import random
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from spandrel.errors import ConflictError, NotFoundError
from tests.support.knowledge import ADA, BOB, KnowledgeBase

USERS = (ADA, BOB)
DOZE = """
CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF random() < 0.1 THEN PERFORM pg_sleep(random() * 0.005); END IF;
    RETURN NULL;
END $$
"""
EVENT_GAPS = """
SELECT user_id, count(*), min(seq), max(seq) FROM events GROUP BY user_id HAVING count(*) <> max(seq) - min(seq) + 1
"""

Step = Callable[[], object]


class Killed(BaseException):
    """As if the process were gone: nothing handles it."""


class NothingThereError(Exception):
    """There is nothing yet that the step could be done to."""


class Worker(Protocol):
    def steps(self) -> Sequence[tuple[float, Step]]: ...
    def close(self) -> None: ...


@dataclass
class Storm:
    """`done` counts steps that were done, `errors` are what no user or operator should see."""

    kb: KnowledgeBase
    tolerated: tuple[type[BaseException], ...] = ()
    done: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.kb.rows(DOZE)
        for row in self.kb.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            if row["tablename"] not in ("schema_migrations", "schema_version"):
                self.kb.rows(
                    f"CREATE TRIGGER dozes BEFORE INSERT OR UPDATE OR DELETE ON {row['tablename']}"
                    " FOR EACH STATEMENT EXECUTE FUNCTION doze()"
                )

    def rage(self, workers: Sequence[Worker], steps: int) -> None:
        with ThreadPoolExecutor(len(workers)) as pool:
            for number, worker in enumerate(workers):
                pool.submit(self._work, worker, random.Random(number), steps)

    def _work(self, worker: Worker, source: random.Random, steps: int) -> None:
        weights, choices = zip(*worker.steps(), strict=True)
        answers = (NothingThereError, Killed, NotFoundError, ConflictError, *self.tolerated)
        for step in source.choices(choices, weights, k=steps):
            try:
                step()
                self.done[step.__name__] += 1
            except answers:
                pass
            except BaseException:  # noqa: BLE001 - the test shows it
                self.errors.append(f"{step.__name__}: {traceback.format_exc()}")
        worker.close()

    def faults(self, checks: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
        """The rows, by the check's name, of those queries that find any."""
        return {name: rows[:5] for name, query in checks.items() if (rows := self.kb.rows(query))}


def pick(source: random.Random, choices: Sequence[Any], newest: int = 6) -> Any:
    """One of the newest: what others are at work on."""
    if not choices:
        raise NothingThereError
    return source.choice(choices[-newest:])


def statuses_told(kb: KnowledgeBase) -> list[str]:
    """Of integrations whose events do not lead from one status to the next, and to the one that they have."""
    wrong = []
    for row in kb.rows("SELECT id, status FROM integrations"):
        known = None  # what came first may be forgotten
        for event in kb.rows(
            "SELECT type, data FROM events WHERE subject = %s ORDER BY seq", f"integrations/{row['id']}"
        ):
            before, data = known, event["data"]
            match event["type"]:
                case "integration.created" | "integration.enabled":
                    known = "unknown"
                case "integration.updated":
                    known = data.get("status", known)
                case "integration.status_changed":
                    known = data["to"]
                    wrong += [f"{row['id']} was {before}: {data}"] * (before not in (None, data["from"]))
        wrong += [f"{row['id']} is {row['status']}, told {known}"] * (known not in (None, row["status"]))
    return wrong
