"""A storm over what is watched, spent and told: integrations change while they are checked, budgets while calls are
charged, connections while they are sent to. Statuses follow from events, sums from the ledger, counts from rows.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from spandrel import errors
from spandrel.database import Database
from spandrel.events.actions import Actions
from spandrel.events.broadcast.pump import Pump
from spandrel.events.broadcast.repair import RepairFeed
from spandrel.events.ports import Delivery, Posted
from spandrel.events.retention import Retention
from spandrel.events.tickets import Connections, Tickets
from spandrel.integrations.models import BearerAuth, Probe, Reason, Target
from spandrel.integrations.records import Changes
from spandrel.usage import store as ledger
from spandrel.usage.budgets import Budgets
from spandrel.usage.models import ModelCall, Period
from tests.support.feed import FakeNews
from tests.support.gateway import SENT, FakeGateway
from tests.support.hub import READ, URL, WRITE, Hub
from tests.support.knowledge import KnowledgeBase
from tests.support.mcp_fakes import failing, healthy
from tests.support.postgres import settings_for
from tests.support.realtime import FakeFarewell
from tests.support.storm import EVENT_GAPS, USERS, Step, Storm, pick, statuses_told

WORKERS, STEPS = 4, 200
URLS = (URL, "https://two.example.com/mcp", "https://three.example.com/mcp")
TOLERATED = (
    errors.IntegrationDisabledError,
    errors.InvalidRequestError,
    errors.NameTakenError,
    errors.TicketInvalidError,
    errors.TooOftenError,
    errors.ToolChangedError,
)
SESSIONS = (None, None, uuid4(), uuid4())
PERIODS: tuple[Period, ...] = ("day", "month", "total")
LIMITS_TOLD = """SELECT subject, type, data ->> 'limit' AS amount FROM events
    WHERE type IN ('usage.budget_warning', 'usage.budget_reached') AND data ->> 'period' = 'total'"""

CHECKS = {
    "due": "SELECT id FROM integrations WHERE enabled <> (next_check_at IS NOT NULL)",
    "held": """SELECT integration_id, name FROM integration_tools WHERE status <> 'removed'
        AND ((status = 'held') <> (schema_hash <> approved_hash) OR (status = 'held') <> (approved IS NOT NULL))""",
    "sums": f"""WITH spent AS (
            SELECT user_id, scope, period, usage_period_start(period, created_at) AS starts, sum(cost) AS cost
            FROM usage_ledger, unnest(array_fill('{UUID(int=0)}'::uuid, '{{3}}') || session_id,
                                      '{{total,month,day,total}}'::text[]) AS counts (scope, period)
            WHERE scope IS NOT NULL GROUP BY 1, 2, 3, 4
        )
        SELECT * FROM spent
        FULL JOIN (SELECT user_id, scope, period::text, starts, cost AS summed FROM usage_totals) t
            USING (user_id, scope, period, starts)
        WHERE coalesce(cost, 0) <> coalesce(summed, 0)""",
    "feed": EVENT_GAPS,
    "connections": """SELECT user_id FROM event_counters e
        WHERE connections <> (SELECT count(*) FROM connections c WHERE c.user_id = e.user_id)""",
}
BEHIND = """SELECT c.id FROM connections c JOIN event_counters e USING (user_id)
    WHERE c.delivered_seq IS NOT NULL AND c.expires_at > now() AND (NOT c.live OR c.delivered_seq <> e.seq)"""


class Shared:
    """What the workers share. `opened`: how often each ticket let somebody in."""

    def __init__(self) -> None:
        self.news, self.gateway, self.source = FakeNews(), FakeGateway(), random.Random(0)
        self.gateway.answers = self._posted
        self.integrations: dict[str, list[Any]] = {user: [] for user in USERS}
        self.connections: list[str] = []
        self.tickets: list[str] = []
        self.opened: Counter[str] = Counter()

    def _posted(self, _: str) -> Posted:
        faults = (Delivery.FAILED, Delivery.THROTTLED, Delivery.GONE)
        return Posted(self.source.choice(faults)) if self.source.random() < 0.03 else SENT


class Operator:
    def __init__(self, storm: Storm, shared: Shared, seed: int) -> None:
        self.shared, self.source = shared, random.Random(seed)
        self.kb = KnowledgeBase(storm.kb.url)
        self.kb.close()  # for connections that tell of news
        self.kb.app, self.kb.system = (
            Database(settings_for(self.kb.url), role, news=lambda: shared.news)
            for role in ("spandrel_app", "spandrel_system")
        )
        self.hub = Hub(self.kb)
        self.hub.prober.answers = dict.fromkeys(URLS, self.probe)
        self.budgets, self.tickets = Budgets(self.kb.app), Tickets(self.kb.app, "wss://example.com")
        self.doors, self.retention = Connections(self.kb.app), Retention(self.kb.system, 30)
        self.actions = Actions(self.kb.app, lambda: None, FakeFarewell)  # type: ignore[arg-type,return-value]
        self.repair = RepairFeed(self.kb.system, shared.news)
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.pump_ = Pump(self.kb.system, shared.gateway, shared.news, self.runner)

    def steps(self) -> Sequence[tuple[float, Step]]:
        return (
            (2, self.add), (3, self.change), (2, self.maintain), (0.5, self.delete), (3, self.watch), (2, self.check),
            (4, self.review), (6, self.spend), (3, self.budget), (3, self.connect), (4, self.subscribe),
            (1, self.disconnect), (4, self.pump), (2, self.tidy), (1, self.time_passes),
        )  # fmt: skip

    def close(self) -> None:
        self.runner.close()
        self.kb.close()

    def user(self) -> str:
        return self.source.choice(USERS)

    def probe(self, _: Target) -> Probe:
        changed = replace(READ, description=f"Version {self.source.randint(0, 3)}.")
        down = failing(self.source.choice((Reason.REFUSED, Reason.DNS)))
        return self.source.choice((healthy(READ, WRITE), healthy(changed), healthy(WRITE), down, down))

    def one(self, user: str) -> Any:
        return pick(self.source, self.shared.integrations[user])

    def add(self) -> None:
        user = self.user()
        self.shared.integrations[user].append(self.hub.add("Work", user, url=self.source.choice(URLS)).id)

    def change(self) -> None:
        user = self.user()
        changes = (Changes(name="Other"), Changes(url=self.source.choice(URLS)), Changes(auth=BearerAuth("secret")))
        self.source.choice((
            lambda: self.hub.saved.change(user, self.one(user), self.source.choice(changes)),
            lambda: self.hub.saved.enable(user, self.one(user)),
            lambda: self.hub.saved.disable(user, self.one(user)),
        ))()  # fmt: skip

    def maintain(self) -> None:
        user, now = self.user(), datetime.now(UTC)
        if self.source.random() < 0.4:
            self.hub.saved.maintain(user, self.one(user), now, now + timedelta(hours=1))
        else:
            self.hub.saved.end_maintenance(user, self.one(user))

    def delete(self) -> None:
        user = self.user()
        self.hub.saved.delete(user, self.one(user))

    def watch(self) -> None:
        assert self.hub.watch(sleep=lambda _: None).run(12).unwritable == 0

    def check(self) -> None:
        user = self.user()
        self.hub.checks.run(user, self.one(user))

    def review(self) -> None:
        user = self.user()
        integration = self.one(user)
        self.hub.review.change(user, integration, "read_events", policy=self.source.choice(("always", "ask", "never")))
        for held in self.hub.review.page(user, integration, 10, None, ["held"]).items:
            decision = self.source.choice(("approve", "reject"))
            self.hub.review.review(user, integration, held.name, decision, held.schema_hash)

    def spend(self) -> None:
        cost = Decimal(self.source.choice(("0", "0.5", "1.25", "3")))
        with self.kb.app.transaction(user := self.user()) as tx:
            ledger.record(tx, user, ModelCall("turn", "m", "v", 1, 0, 1, cost), self.source.choice(SESSIONS))

    def budget(self) -> None:
        session = self.source.choice(SESSIONS)
        period = self.source.choice(PERIODS) if session is None else "total"
        if self.source.random() < 0.2:
            self.budgets.delete(self.user(), period, session)
        else:
            self.budgets.put(self.user(), period, session, *(Decimal(self.source.randint(1, 200)) for _ in range(2)))

    def connect(self) -> None:
        self.shared.tickets.append(self.tickets.issue(self.user()).ticket)
        connection, ticket = f"{self.source.random()}", pick(self.source, self.shared.tickets, 3)
        self.doors.open(connection, ticket)
        self.shared.opened[ticket] += 1
        self.shared.connections.append(connection)

    def subscribe(self) -> None:
        message = self.source.choice((b'{"action": "subscribe"}', b'{"action": "subscribe", "after_seq": 0}'))
        answer = self.actions.answer(pick(self.source, self.shared.connections), message)
        assert answer.code in (None, "connection_unknown", "events_expired"), answer

    def disconnect(self) -> None:
        self.doors.close(pick(self.source, self.shared.connections))

    def pump(self) -> None:
        told = self.shared.news.told
        users = {told.popleft() for _ in range(min(len(told), 1))}
        self.pump_.run(tuple(users or USERS), lambda: 60)

    def tidy(self) -> None:
        self.retention.run()
        self.repair.run(100)

    def time_passes(self) -> None:
        """By rows that nobody holds: the test's own statements are no part of the storm."""
        for table, change, which in (
            ("connections", "retry_at = now()", "retry_at > now()"),
            ("connections", "lease_until = now()", "lease_until IS NOT NULL AND random() < 0.3"),
            ("connections", "expires_at = now()", "random() < 0.03"),
            ("integrations", "next_check_at = now()", "enabled AND random() < 0.7"),
            ("integration_checks", "checked_at = now() - interval '8 days'", "random() < 0.1"),
            ("events", "created_at = now() - interval '31 days'", "random() < 0.5"),
        ):
            free = f"SELECT ctid FROM {table} WHERE {which} FOR UPDATE SKIP LOCKED"
            self.kb.rows(f"UPDATE {table} SET {change} WHERE ctid = ANY (ARRAY({free}))")


def test_after_a_storm_all_follows_from_what_was_written(kb: KnowledgeBase) -> None:
    storm, shared = Storm(kb, TOLERATED), Shared()
    storm.rage([Operator(storm, shared, seed) for seed in range(WORKERS)], STEPS)
    assert storm.errors == []
    last = Operator(storm, shared, WORKERS)
    assert storm.done.keys() >= {"add", "change", "watch", "check", "review", "spend", "budget", "subscribe", "pump"}
    assert storm.faults(CHECKS) == {}
    assert statuses_told(kb) == []
    limits = kb.rows(LIMITS_TOLD)
    assert [told for told, times in Counter(tuple(row.values()) for row in limits).items() if times > 1] == []
    assert [ticket for ticket, times in shared.opened.items() if times > 1] == []
    shared.gateway.answers = lambda _: SENT
    kb.rows("UPDATE connections SET retry_at = NULL, lease_until = NULL")
    last.pump_.run(USERS, lambda: 60)
    assert kb.rows(BEHIND) == []
    last.close()
