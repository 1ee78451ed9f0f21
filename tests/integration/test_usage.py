"""The ledger, its sums and the budgets on real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from spandrel.database import Database
from spandrel.errors import BudgetExceededError, InvalidRequestError, NotFoundError
from spandrel.usage import store
from spandrel.usage.budgets import Budgets
from spandrel.usage.models import Budget, ModelCall, Period
from spandrel.usage.report import Reports
from tests.support.flights import FlightCounter
from tests.support.knowledge import ADA, BOB, KnowledgeBase
from tests.support.postgres import Cluster, settings_for, until_waiting
from tests.support.studio import Studio


@dataclass
class Usage:
    kb: KnowledgeBase

    def __post_init__(self) -> None:
        self.budgets, self.reports = Budgets(self.kb.app), Reports(self.kb.app)

    def spend(
        self,
        cost: str,
        *,
        user: str = ADA,
        session: UUID | None = None,
        turn: UUID | None = None,
        model: str = "m",
        price_version: str | None = "2026-11",
    ) -> None:
        call = ModelCall("turn", model, price_version, 100, 40, 20, Decimal(cost))
        with self.kb.system.transaction() as tx:
            store.record(tx, user, call, session, turn)

    def limit(
        self,
        period: Period = "total",
        *,
        stop: str | None = None,
        warn: str | None = None,
        session: UUID | None = None,
        user: str = ADA,
    ) -> Budget:
        amounts = [None if amount is None else Decimal(amount) for amount in (warn, stop)]
        return self.budgets.put(user, period, session, *amounts)

    def check(self, session: UUID | None = None, user: str = ADA) -> None:
        with self.kb.system.transaction() as tx:
            store.require_budget(tx, user, session)

    def told(self, user: str = ADA) -> list[tuple[str, dict[str, Any]]]:
        """Events of limits that were reached."""
        query = "SELECT type, data FROM events WHERE user_id = %s AND type LIKE 'usage.budget\\_%%' ORDER BY seq"
        kept = ("usage.budget_warning", "usage.budget_reached")
        return [(row["type"], row["data"]) for row in self.kb.rows(query, user) if row["type"] in kept]

    def shift(self, days: int) -> None:
        """Makes everything so far as if it had been spent so many days before."""
        self.kb.rows("ALTER TABLE usage_ledger DISABLE TRIGGER usage_ledger_immutable")
        self.kb.rows("UPDATE usage_ledger SET created_at = created_at - %s", timedelta(days=days))
        self.kb.rows("ALTER TABLE usage_ledger ENABLE TRIGGER usage_ledger_immutable")
        self.kb.rows("DELETE FROM usage_totals")
        self.kb.rows(
            """INSERT INTO usage_totals SELECT user_id, scope, period, usage_period_start(period, created_at), sum(cost)
               FROM usage_ledger, LATERAL (VALUES ('00000000-0000-0000-0000-000000000000'::uuid, 'total'),
                 ('00000000-0000-0000-0000-000000000000', 'month'), ('00000000-0000-0000-0000-000000000000', 'day'),
                 (session_id, 'total')) AS v (scope, period)
               WHERE scope IS NOT NULL GROUP BY 1, 2, 3, 4"""
        )


@pytest.fixture
def usage(kb: KnowledgeBase) -> Iterator[Usage]:
    return Usage(kb)


def sums(kb: KnowledgeBase) -> dict[tuple[str, str], Decimal]:
    rows = kb.rows("SELECT scope::text, period, cost FROM usage_totals")
    return {(row["scope"], row["period"]): row["cost"] for row in rows}


ALL = str(UUID(int=0))


def test_a_call_is_in_the_ledger_and_in_every_sum(usage: Usage) -> None:
    session, turn = uuid4(), uuid4()
    usage.spend("0.25", session=session, turn=turn)
    usage.spend("0.5")
    [line] = usage.kb.rows("SELECT * FROM usage_ledger WHERE session_id = %s", session)
    assert (line["user_id"], line["turn_id"], line["purpose"], line["model"]) == (ADA, turn, "turn", "m")
    assert (line["input_tokens"], line["cached_tokens"], line["output_tokens"]) == (100, 40, 20)
    assert (line["cost"], line["price_version"]) == (Decimal("0.25"), "2026-11")
    both = Decimal("0.75")
    assert sums(usage.kb) == {
        (ALL, "total"): both,
        (ALL, "month"): both,
        (ALL, "day"): both,
        (str(session), "total"): Decimal("0.25"),
    }


def test_the_ledger_cannot_be_rewritten(usage: Usage) -> None:
    usage.spend("1")
    with pytest.raises(psycopg.Error, match="append-only"):
        usage.kb.rows("UPDATE usage_ledger SET cost = 0")


def test_a_limit_is_told_once_when_it_is_reached(usage: Usage) -> None:
    budget = usage.limit(warn="1", stop="2")
    for _ in range(5):
        usage.spend("0.5")
        usage.check() if len(usage.told()) < 2 else None
    assert usage.told() == [
        ("usage.budget_warning", {"period": "total", "limit": "1", "spent": "1"}),
        ("usage.budget_reached", {"period": "total", "limit": "2", "spent": "2"}),
    ]
    subjects = {row["subject"] for row in usage.kb.rows("SELECT subject FROM events")}
    assert subjects == {f"budgets/{budget.id}"}


def test_one_call_may_reach_several_limits(usage: Usage, studio: Studio) -> None:
    session, other, turn = studio.begin().id, studio.begin().id, uuid4()
    usage.limit("day", warn="1")
    usage.limit("total", warn="0.5", stop="3")
    usage.limit(session=session, stop="2")
    usage.limit(session=other, stop="2")
    usage.spend("2.5", session=session, turn=turn)
    common = {"turn_id": str(turn), "spent": "2.5"}
    assert usage.told() == [
        ("usage.budget_warning", common | {"period": "total", "limit": "0.5"}),
        ("usage.budget_warning", common | {"period": "day", "limit": "1"}),
        ("usage.budget_reached", common | {"period": "total", "limit": "2", "session_id": str(session)}),
    ]


def test_free_calls_reach_nothing(usage: Usage) -> None:
    usage.limit(warn="0", stop="1")
    usage.spend("0", price_version=None)
    assert usage.told() == []
    assert set(sums(usage.kb).values()) == {Decimal(0)}  # of the limit


def test_an_exhausted_budget_says_what_was_spent_and_what_to_do(usage: Usage) -> None:
    budget = usage.limit("month", stop="0.3")
    usage.spend("0.1")
    usage.check()
    usage.spend("0.25")
    with pytest.raises(BudgetExceededError, match=r"^0.35 of 0.3 US dollars .* next month") as caught:
        usage.check()
    assert caught.value.members == {"budget": str(budget.id), "period": "month", "spent": "0.35", "limit": "0.3"}


def test_a_session_s_budget_stops_that_session_alone(usage: Usage, studio: Studio) -> None:
    session, other = studio.begin().id, studio.begin().id
    usage.limit(session=session, stop="1")
    usage.spend("1", session=session)
    usage.check()
    usage.check(other)
    with pytest.raises(BudgetExceededError, match=r"this session.s budget is used up\. Raise") as caught:
        usage.check(session)
    assert caught.value.members["session_id"] == str(session)


def test_a_limit_of_nothing_stops_everything(usage: Usage) -> None:
    usage.limit(stop="0")
    with pytest.raises(BudgetExceededError, match="your whole budget"):
        usage.check(uuid4())


def test_a_warning_stops_nothing(usage: Usage) -> None:
    usage.limit(warn="1")
    usage.spend("5")
    usage.check()


def test_a_raised_budget_opens_again_and_a_removed_one_too(usage: Usage) -> None:
    usage.limit("day", stop="1")
    usage.spend("1")
    raised = usage.limit("day", stop="2")
    assert (raised.spent, raised.exhausted) == (1, False)
    usage.check()
    usage.spend("1")
    with pytest.raises(BudgetExceededError):
        usage.check()
    usage.budgets.delete(ADA, "day", None)
    usage.check()
    with pytest.raises(NotFoundError):
        usage.budgets.delete(ADA, "day", None)
    assert [type_ for type_, _ in usage.told()] == ["usage.budget_reached"] * 2
    assert usage.kb.events() == [
        "usage.budget_set",
        "usage.budget_reached",
        "usage.budget_set",
        "usage.budget_reached",
        "usage.budget_deleted",
    ]


@pytest.mark.parametrize(("period", "open_again"), [("day", True), ("month", True), ("total", False)])
def test_a_period_begins_anew(usage: Usage, period: Period, open_again: bool) -> None:
    usage.limit(period, stop="1")
    usage.spend("1")
    usage.shift(40)
    if open_again:
        usage.check()
    else:
        with pytest.raises(BudgetExceededError):
            usage.check()
    [found] = usage.budgets.page(ADA, 10, None).items
    assert (found.spent, found.exhausted) == (0, False) if open_again else (1, True)


def test_periods_begin_in_utc_wherever_the_session_is(usage: Usage) -> None:
    starts = usage.kb.rows(
        """SELECT usage_period_start(period, '2026-12-01 00:30:00+02')::text AS starts
           FROM (VALUES ('day'), ('month'), ('total')) AS v (period), set_config('TimeZone', 'Asia/Tokyo', false)"""
    )
    assert [row["starts"] for row in starts] == ["2026-11-30", "2026-11-01", "-infinity"]


def test_calls_at_once_are_all_summed_and_a_limit_is_told_once(usage: Usage) -> None:
    usage.limit(warn="5", stop="10")
    roles = [usage.kb.connect("spandrel_system") for _ in range(4)]

    def spend(number: int) -> None:
        call = ModelCall("turn", "m", "2026-11", 1, 0, 1, Decimal("0.5"))
        with roles[number % 4].transaction() as tx:
            store.record(tx, ADA, call, uuid4())

    with ThreadPoolExecutor(4) as pool:
        for lane in range(4):
            pool.submit(lambda lane=lane: [spend(lane) for _ in range(10)])
    for role in roles:
        role.close()
    assert sums(usage.kb)[(ALL, "total")] == 20
    assert [type_ for type_, _ in usage.told()] == ["usage.budget_warning", "usage.budget_reached"]


def test_a_budget_that_is_set_while_a_call_is_charged_knows_of_it(usage: Usage) -> None:
    with ThreadPoolExecutor() as pool, psycopg.connect(usage.kb.url) as charging:
        charging.execute("SELECT record_usage('ada', NULL, NULL, 'turn', 'm', 'v', 1, 0, 1, 6)")
        put = pool.submit(usage.limit, stop="5")
        until_waiting(usage.kb.url)
        charging.commit()
        assert put.result().spent == 6
    assert usage.told() == []


def test_a_call_that_is_charged_while_a_budget_is_set_tells_of_its_limit(usage: Usage) -> None:
    usage.spend("1")
    with ThreadPoolExecutor() as pool, usage.kb.app.transaction(ADA) as tx:
        assert store.put_budget(tx, ADA, "total", None, None, Decimal(5)).spent == 1
        charge = pool.submit(usage.spend, "6")
        until_waiting(usage.kb.url)
    charge.result()
    assert [type_ for type_, _ in usage.told()] == ["usage.budget_reached"]


def test_recording_and_checking_take_one_flight_each(usage: Usage, cluster: Cluster, database_name: str) -> None:
    with FlightCounter(cluster.socket_directory) as counter:
        database = Database(settings_for(cluster.url(database_name, host=counter.directory)), "spandrel_system")
        call = ModelCall("turn", "m", "v", 1, 0, 1, Decimal(1))

        def record() -> None:
            with database.transaction() as tx:
                store.record(tx, ADA, call, uuid4())

        record()
        before = counter.flights
        record()
        assert counter.flights == before + 1
        with database.transaction() as tx:
            store.require_budget(tx, ADA, uuid4())  # and one more for the commit that follows
        assert counter.flights == before + 3
        database.close()


# -- reports


def keys(report: Any) -> list[str | None]:
    return [item.key for item in report.items]


def test_a_report_sums_by_model_and_tells_what_has_no_price(usage: Usage) -> None:
    usage.spend("0.5", model="dear")
    usage.spend("0.75", model="dear")
    usage.spend("0", model="unknown", price_version=None)
    report = usage.reports.run(ADA, "model")
    [dear, unknown] = report.items
    assert (dear.key, dear.calls, dear.unpriced_calls, dear.cost) == ("dear", 2, 0, Decimal("1.25"))
    assert (dear.input_tokens, dear.cached_tokens, dear.output_tokens) == (200, 80, 40)
    assert (unknown.key, unknown.calls, unknown.unpriced_calls, unknown.cost) == ("unknown", 1, 1, 0)
    assert (report.total.key, report.total.calls, report.total.cost) == (None, 3, Decimal("1.25"))
    assert report.complete


def test_a_report_by_day_is_in_order_of_time(usage: Usage) -> None:
    usage.spend("5")
    usage.shift(2)
    usage.spend("1")
    today = datetime.now(UTC).date()
    assert keys(usage.reports.run(ADA, "day")) == [str(today), str(today - timedelta(days=2))]


def test_a_report_by_session_and_turn(usage: Usage) -> None:
    session, other, turn = uuid4(), uuid4(), uuid4()
    usage.spend("1", session=session, turn=turn)
    usage.spend("2", session=session)
    usage.spend("9", session=other)
    usage.spend("4")
    assert keys(usage.reports.run(ADA, "session")) == [str(other), None, str(session)]
    within = usage.reports.run(ADA, "turn", session_id=session)
    assert keys(within) == [None, str(turn)]
    assert within.total.cost == 3


def test_a_report_is_bounded_and_says_so(usage: Usage) -> None:
    for number in range(4):
        usage.spend(str(number), model=f"m{number}")
    report = usage.reports.run(ADA, "model", limit=2)
    assert (keys(report), report.complete, report.total.calls) == (["m3", "m2"], False, 4)
    assert usage.reports.run(ADA, "model", limit=4).complete


def test_a_report_has_a_beginning_and_an_end(usage: Usage) -> None:
    usage.spend("1")
    now = datetime.now(UTC)
    hour, day = timedelta(hours=1), timedelta(days=1)
    assert usage.reports.run(ADA, "day", now - hour, now + hour).total.calls == 1
    assert usage.reports.run(ADA, "day", since=now - hour).total.calls == 1
    assert usage.reports.run(ADA, "day", until=now - day).total.calls == 0
    empty = usage.reports.run(ADA, "day", until=now - day)
    assert (empty.items, empty.total.cost, empty.until - empty.since) == ([], 0, timedelta(days=30))


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        (datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        (None, datetime(1, 1, 1, tzinfo=UTC)),
        (datetime(9999, 12, 31, tzinfo=UTC), None),
    ],
)
def test_a_stretch_that_is_none_is_refused(usage: Usage, since: datetime | None, until: datetime | None) -> None:
    with pytest.raises(InvalidRequestError):
        usage.reports.run(ADA, "day", since, until)


def test_the_end_of_the_calendar_is_no_fault_of_ours(usage: Usage) -> None:
    since = datetime(9999, 12, 30, tzinfo=UTC)
    assert usage.reports.run(ADA, "day", since, since + timedelta(days=1)).items == []


# -- tenants


def test_another_user_s_costs_budgets_and_reports_are_their_own(usage: Usage, studio: Studio) -> None:
    session = studio.begin().id
    usage.limit(stop="1")
    usage.limit(session=session, stop="1")
    usage.spend("2", session=session)
    usage.check(session, user=BOB)
    usage.limit(stop="9", user=BOB)
    with pytest.raises(NotFoundError):
        usage.limit(session=session, stop="9", user=BOB)
    usage.spend("1", user=BOB)
    assert usage.reports.run(BOB, "session").total.cost == 1
    assert usage.reports.run(BOB, "session", session_id=session).total.calls == 0
    assert [budget.spent for budget in usage.budgets.page(BOB, 10, None).items] == [1]
    with pytest.raises(NotFoundError):
        usage.budgets.delete(BOB, "total", session)
    assert len(usage.budgets.page(ADA, 10, None).items) == 2
    assert usage.told(BOB) == []


def test_the_application_cannot_write_into_another_s_ledger(usage: Usage) -> None:
    call = ModelCall("turn", "m", "v", 1, 0, 1, Decimal(1))
    with pytest.raises(psycopg.errors.InsufficientPrivilege), usage.kb.app.transaction(BOB) as tx:
        store.record(tx, ADA, call)


def test_the_application_sees_no_other_s_exhausted_budgets(usage: Usage) -> None:
    usage.limit(stop="0")
    with usage.kb.app.transaction(BOB) as tx:
        store.require_budget(tx, ADA)
