"""The round of checks on real Postgres: claims, transitions told once, workers that die, servers that lie."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import psycopg
import pytest

from spandrel.database import Database
from spandrel.errors import DatabaseUnavailableError, SecretsUnavailableError
from spandrel.integrations import watch as watching
from spandrel.integrations.findings import Finding, write
from spandrel.integrations.models import BearerAuth, Probe, Reason, Target
from spandrel.integrations.records import Changes
from spandrel.integrations.watch import HORIZON_SECONDS, WatchReport
from tests.support.flights import FlightCounter
from tests.support.hub import DOWN, GOOD, READ, URL, WRITE, Hub
from tests.support.knowledge import ADA, BOB
from tests.support.mcp_fakes import FakeProber, failing, healthy
from tests.support.postgres import Cluster, settings_for, until_waiting


def test_with_nothing_due_nothing_is_done(hub: Hub) -> None:
    made = hub.add()
    hub.round()
    assert hub.watch().run(60) == WatchReport()
    assert 54 - 1 <= hub.seconds_until_due(made) <= 66
    assert HORIZON_SECONDS < 54  # a round that begins a moment early still finds nothing


def test_what_is_due_before_the_next_round_is_looked_at_now(hub: Hub) -> None:
    hub.add()
    hub.kb.rows("UPDATE integrations SET next_check_at = now() + interval '25 seconds'")
    assert hub.watch().run(60).checked == 1


def test_a_check_on_request_does_not_put_off_the_schedule_s(hub: Hub) -> None:
    """Or a server that breaks right after it would be known half a minute later than any other."""
    made = hub.add()
    hub.round()
    hub.kb.rows("UPDATE integrations SET next_check_at = now() + interval '35 seconds'")
    hub.checks.run(ADA, made.id)
    assert hub.seconds_until_due(made) < 36
    hub.prober.then(URL, DOWN)  # it decides at once, and what is down is due as it always is
    hub.checks.run(ADA, made.id)
    assert hub.seconds_until_due(made) < 36


def test_but_what_a_server_asks_for_is_kept_to(hub: Hub) -> None:
    made = hub.add()
    hub.round()
    hub.kb.rows("UPDATE integrations SET next_check_at = now() + interval '35 seconds'")
    hub.prober.then(URL, failing(Reason.RATE_LIMITED, retry_after=600))
    hub.checks.run(ADA, made.id)
    assert hub.seconds_until_due(made) > 590


def test_a_server_that_breaks_is_known_within_one_round_and_told_of_once(hub: Hub) -> None:
    made = hub.add()
    hub.round()
    hub.told()
    report = hub.round(DOWN, DOWN, DOWN)
    assert (report.checked, report.failed) == (3, 3)
    found = hub.get(made)
    assert (found.status, found.reason, found.failures) == ("unreachable", "refused", 3)
    assert hub.told() == ["integration.status_changed"]
    assert [check.status for check in hub.checks.page(ADA, made.id, 5, None).items] == [
        "unreachable", "healthy", "healthy", "healthy",
    ]  # fmt: skip


def test_and_so_is_one_that_is_mended(hub: Hub) -> None:
    made = hub.add()
    hub.round(DOWN)
    hub.told()
    hub.round(GOOD, GOOD)
    assert hub.get(made).status == "healthy"
    assert hub.told() == ["tool.added", "integration.status_changed"]


def test_a_hiccup_is_no_news(hub: Hub) -> None:
    made = hub.add()
    hub.round()
    hub.told()
    hub.round(DOWN, GOOD)
    assert (hub.get(made).status, hub.told()) == ("healthy", [])


def test_without_time_to_confirm_the_next_round_does(hub: Hub) -> None:
    made = hub.add()
    hub.round()
    report = hub.round(DOWN, DOWN, DOWN, seconds=12)
    assert report.checked == 1
    assert hub.get(made).failures == 1
    assert 3 < hub.seconds_until_due(made) <= 5
    hub.round(seconds=60)
    assert hub.get(made).status == "unreachable"


def test_what_cannot_be_reached_in_time_is_due_as_before(hub: Hub) -> None:
    made = hub.add()
    report = hub.round(seconds=0)
    assert (report.checked, report.skipped) == (0, 1)
    assert hub.seconds_until_due(made) <= 0


def test_tools_are_told_of_as_they_come_and_go(hub: Hub) -> None:
    made = hub.add()
    hub.round(healthy(READ))
    hub.told()
    hub.round(healthy(READ, WRITE))
    hub.round(healthy(WRITE))
    hub.round(healthy(WRITE))
    hub.round(failing(Reason.TOOLS_ERROR), failing(Reason.TOOLS_ERROR), failing(Reason.TOOLS_ERROR))
    assert hub.told() == ["tool.added", "tool.removed", "integration.status_changed"]
    assert {name: tool.status for name, tool in hub.tools(made).items()} == {
        "read_events": "removed", "write_event": "active",
    }  # fmt: skip


def test_events_name_what_they_are_of(hub: Hub) -> None:
    made = hub.add()
    hub.round()
    rows = hub.kb.rows("SELECT subject, data FROM events ORDER BY seq")
    assert [row["subject"] for row in rows] == [
        f"integrations/{made.id}", f"integrations/{made.id}", f"integrations/{made.id}/tools/read_events",
    ]  # fmt: skip
    assert rows[2]["data"]["integration_id"] == str(made.id)
    assert len(rows[2]["data"]["schema_hash"]) == 64


def test_a_capability_epoch_rises_with_each_change(hub: Hub) -> None:
    hub.add()
    before = hub.kb.one("SELECT capability_epoch FROM event_counters")
    hub.round()
    assert hub.kb.one("SELECT capability_epoch FROM event_counters") == before + 2
    hub.round()
    assert hub.kb.one("SELECT capability_epoch FROM event_counters") == before + 2


# -- beside each other


def test_eight_workers_at_once_look_at_each_due_integration_once(hub: Hub) -> None:
    made = [hub.add(str(number), user=(ADA, BOB)[number % 2]) for number in range(60)]
    databases = [hub.kb.connect("spandrel_system") for _ in range(8)]
    barrier = Barrier(8)

    def work(database: Any) -> WatchReport:
        watch = hub.watch(database=database)
        barrier.wait()
        return watch.run(60)

    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(work, databases))
    for database in databases:
        database.close()
    assert sum(report.checked for report in reports) == len(hub.prober.probed) == 60
    assert hub.kb.one("SELECT count(*) FROM integration_checks") == 60
    assert {hub.row(each.id)["status"] for each in made} == {"healthy"}


def test_checkers_that_overlap_announce_a_transition_once(hub: Hub) -> None:
    """As if every lease had run out: each of eight looks at the same state and wants to write the same fall."""
    made = hub.add()
    hub.round()
    hub.told()
    row = hub.row(made.id) | {"recent": ["refused", "refused"]}
    databases = [hub.kb.connect("spandrel_system") for _ in range(8)]
    barrier = Barrier(8)

    def work(database: Any) -> int:
        barrier.wait()
        with database.transaction() as tx:
            return len(write(tx, [Finding(row, DOWN)]))

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(work, databases))
    for database in databases:
        database.close()
    assert sorted(written) == [0] * 7 + [1]
    assert hub.told() == ["integration.status_changed"]


def test_batches_of_many_users_written_at_once_in_any_order_end_without_a_deadlock(hub: Hub) -> None:
    made = [hub.add(str(number), user=f"user-{number % 7}") for number in range(42)]
    databases = [hub.kb.connect("spandrel_system") for _ in range(6)]

    def work(number: int) -> int:
        rows = [hub_rows[each.id] for each in made]
        rows = rows[number * 7 :] + rows[: number * 7]
        with databases[number].transaction() as tx:
            return len(write(tx, [Finding(row, GOOD) for row in rows]))

    hub_rows = {each.id: hub.row(each.id) for each in made}
    with ThreadPoolExecutor(6) as pool:
        written = list(pool.map(work, range(6)))
    for database in databases:
        database.close()
    assert sum(written) == 42
    assert hub.kb.one("SELECT count(*) FROM events WHERE type = 'integration.status_changed'") == 42


def test_a_batch_takes_the_feeds_of_its_users_in_one_order_whatever_changes(hub: Hub) -> None:
    """A status of the one, a tool of the other: each is followed in its own statement."""
    ada, bob = hub.add(), hub.add(user=BOB)
    hub.round()
    news = (Finding(hub.row(ada.id), healthy(READ, WRITE)), Finding(hub.row(bob.id), DOWN, asked=True))

    def record() -> int:
        with hub.kb.system.transaction() as tx:
            return len(write(tx, news))

    with ThreadPoolExecutor() as pool, psycopg.connect(hub.kb.url) as other:
        other.execute("SELECT append_event(%s, 'test.thing', 'things/1', '{}')", [ADA])
        recorded = pool.submit(record)
        until_waiting(hub.kb.url)
        other.execute("SELECT append_event(%s, 'test.thing', 'things/1', '{}')", [BOB])
        other.commit()
        assert recorded.result() == 2


def test_one_who_dies_between_look_and_record_leaves_it_due_when_its_lease_ends(hub: Hub) -> None:
    made = hub.add()
    assert len(hub.watch(lease_seconds=100).claim(0)) == 1  # and nothing follows
    assert hub.watch().run(60).checked == 0
    assert 98 < hub.seconds_until_due(made) <= 100
    hub.kb.rows("UPDATE integrations SET next_check_at = next_check_at - interval '100 seconds'")
    assert hub.watch().run(60).checked == 1
    assert hub.told().count("integration.status_changed") == 1


def test_what_its_owner_changes_meanwhile_is_not_overwritten(hub: Hub) -> None:
    made = hub.add()
    hub.prober.during = lambda _: hub.saved.change(ADA, made.id, Changes(url="https://mcp.example.com/2")) and None
    report = hub.round(seconds=12)
    assert (report.checked, report.overtaken) == (1, 1)
    assert hub.get(made).status == "unknown"
    assert hub.kb.rows("SELECT * FROM integration_checks") == []
    assert hub.seconds_until_due(made) <= 0


@pytest.mark.parametrize("away", ["disable", "delete"])
def test_what_is_gone_meanwhile_stays_so(hub: Hub, away: str) -> None:
    made = hub.add()
    hub.prober.during = lambda _: getattr(hub.saved, away)(ADA, made.id)
    assert hub.round(seconds=12).overtaken == 1
    assert hub.kb.rows("SELECT * FROM integrations WHERE enabled") == []
    assert "integration.status_changed" not in hub.told()


# -- faults


def test_a_secret_that_cannot_be_had_says_nothing_of_the_server(hub: Hub) -> None:
    made = hub.add(auth=BearerAuth("hush"))
    hub.add("Open")
    hub.box.failure = SecretsUnavailableError()
    report = hub.watch().run(60)
    assert (report.checked, report.skipped) == (1, 1)
    assert hub.get(made).status == "unknown"
    assert hub.seconds_until_due(made) <= 0


def test_a_secret_that_does_not_open_is_a_finding(hub: Hub) -> None:
    made = hub.add(auth=BearerAuth("hush"))
    hub.kb.rows("UPDATE integrations SET secret = 'spoilt'")
    hub.watch().run(60)
    assert (hub.get(made).status, hub.get(made).reason) == ("auth_required", "secret_unreadable")


def test_what_one_server_says_spoils_no_other_s_result(hub: Hub) -> None:
    good, bad = hub.add("Good"), hub.add("Bad", url="https://bad.example.com")
    hub.prober.answers["https://bad.example.com"] = replace(GOOD, timings=None)  # type: ignore[arg-type]
    report = hub.watch().run(60)
    assert (report.checked, report.unwritable) == (2, 1)
    assert (hub.get(good).status, hub.get(bad).status) == ("healthy", "unknown")


def test_strange_words_of_a_server_are_kept_as_far_as_they_can_be(hub: Hub) -> None:
    made = hub.add()
    strange = healthy(
        replace(READ, description="a\0b\ud800", annotations={"x": float("nan")}),
        server_name="\0" * 5000,
        capabilities={"\0": {"x": 10**40}, "tools": {"listChanged": True}, "odd": 1},
        detail="d" * 9999,
        address="\ud800",
    )
    assert hub.round(strange).unwritable == 0
    found = hub.get(made)
    assert found.server is not None
    assert (len(found.server.name or ""), len(found.detail or "")) == (200, 500)
    assert found.server.capabilities == {"\ufffd": {}, "tools": {"listChanged": True}, "odd": {}}
    assert hub.tools(made)["read_events"].description == "a\ufffdb\ufffd"


def test_a_database_that_is_gone_ends_the_round(hub: Hub) -> None:
    hub.add()
    watch = hub.watch()
    rows = watch.claim(0)

    class Gone:
        def transaction(self) -> Any:
            raise DatabaseUnavailableError

        def run(self, query: bytes, parameters: Any = None) -> list[dict[str, Any]]:
            return []

    round_ = watching._Round(replace(watch, database=Gone()), time.monotonic() + 60)  # type: ignore[arg-type]
    with pytest.raises(DatabaseUnavailableError):
        round_.look(rows)


class Slow(FakeProber):
    """All answers but one are there at once; that one comes when the others have been written."""

    def __init__(self, hub: Hub) -> None:
        super().__init__({URL: GOOD})
        self.hub, self.seen = hub, 0

    async def probe_many(
        self, targets: Iterable[tuple[Any, Target]], *, timeout: float, deadline: float, concurrency: int
    ) -> AsyncIterator[tuple[Any, Probe]]:
        first, *rest = targets
        for key, target in rest:
            yield key, self.probe(target, timeout=timeout)
        while not self.seen:
            await asyncio.sleep(0.01)
            self.seen = self.hub.kb.one("SELECT count(*) FROM integration_checks")
        yield first[0], failing(Reason.TIMEOUT)


def test_one_that_hangs_costs_nobody_else(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BATCH_SECONDS", 0.05)
    for number in range(5):
        hub.add(str(number))
    slow = Slow(hub)
    assert hub.watch(prober=slow).run(60).checked == 5
    assert slow.seen == 4


def test_a_batch_takes_as_many_flights_however_large_it_is(hub: Hub, cluster: Cluster, database_name: str) -> None:
    for number in range(30):
        hub.add(str(number))
    with FlightCounter(cluster.socket_directory) as counter:
        database = Database(settings_for(cluster.url(database_name, host=counter.directory)), "spandrel_system")
        database.run(b"SELECT 1")
        for flights in (3, 2):  # the tools that are known where lists are new, the results, the commit
            hub.due()
            rows, before = hub.watch(database=database).claim(0), counter.flights
            with database.transaction() as tx:
                assert len(write(tx, [Finding(row, GOOD) for row in rows])) == 30
            assert counter.flights - before == flights
        database.close()


def test_letting_go_and_writing_do_not_wait_for_each_other_for_ever(hub: Hub) -> None:
    """Claims that overlap, after a lease: the rows lie in the table as they were last written, not by their ids."""
    first, second = hub.add("first"), hub.add("second")
    hub.kb.rows("UPDATE integrations SET next_check_at = now() WHERE id = %s", first.id)
    rows = [hub.row(each.id) for each in (first, second)]
    with ThreadPoolExecutor() as pool, psycopg.connect(hub.kb.url) as writing:
        writing.execute("SELECT id FROM integrations WHERE id = %s FOR NO KEY UPDATE", [first.id])
        released = pool.submit(hub.watch().release, rows)
        until_waiting(hub.kb.url)
        writing.execute("SELECT id FROM integrations WHERE id = %s FOR NO KEY UPDATE", [second.id])
        writing.commit()
        released.result()


# -- retention


def test_old_evidence_is_forgotten_and_of_each_only_so_much_is_kept(hub: Hub) -> None:
    made = hub.add()
    hub.round()
    hub.kb.rows(
        "INSERT INTO integration_checks (integration_id, user_id, detail, status, asked, total_ms, evidence,"
        " checked_at)"
        " SELECT %s, 'ada', '', 'healthy', false, 1, '{}', now() - (n || ' hours')::interval"
        " FROM generate_series(199, 0, -1) n",
        made.id,
    )
    assert hub.kb.one("SELECT forget_checks(7, 500, 0, 20)") == 20
    assert hub.kb.one("SELECT forget_checks(7, 500, 0, 1000)") == 12
    assert hub.kb.one("SELECT count(*) FROM integration_checks") == 169
    gone = [hub.kb.one("SELECT forget_checks(7, 50, %s, 1000)", part) for part in range(10)]
    assert sorted(gone) == [0] * 9 + [100]  # a part at a time
    assert hub.kb.one("SELECT count(*) FROM integration_checks WHERE checked_at > now() - interval '48 hours'") >= 49


def test_evidence_that_another_is_deleting_is_left_to_it(hub: Hub) -> None:
    """The user deletes the integration, row by row, at this moment: neither may wait for the other."""
    hub.add()
    hub.round()
    hub.round()
    hub.kb.rows("UPDATE integration_checks SET checked_at = now() - interval '8 days'")
    with psycopg.connect(hub.kb.url) as deleting, hub.kb.system.transaction() as tx:
        deleting.execute("SELECT id FROM integration_checks ORDER BY id LIMIT 1 FOR UPDATE")
        tx.execute(b"SET LOCAL lock_timeout = '1s'")
        assert tx.execute(b"SELECT forget_checks(7, 500, 0, 100) AS gone").fetchall() == [{"gone": 1}]
