"""The pump on real Postgres, before a gateway in memory: order, cursors, the marker, and what faults come to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from spandrel.errors import DatabaseUnavailableError
from spandrel.events.broadcast import deliver, pump as pump_module, store
from spandrel.events.broadcast.pump import Pump
from spandrel.events.broadcast.repair import FeedRepairReport, RepairFeed
from spandrel.events.ports import Delivery, Posted
from tests.support.feed import Feed, pumping, run
from tests.support.flights import FlightCounter
from tests.support.gateway import SENT, FakeGateway
from tests.support.knowledge import ADA, BOB
from tests.support.postgres import Cluster, until_waiting

GONE, THROTTLED, FAILED = (Posted(each) for each in (Delivery.GONE, Delivery.THROTTLED, Delivery.FAILED))


@pytest.fixture
def feed(database_url: str) -> Iterator[Feed]:
    found = Feed(database_url)
    yield found
    found.close()


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def pump(feed: Feed, gateway: FakeGateway) -> Iterator[Pump]:
    with pumping(feed.system, gateway, feed.news) as found:
        yield found


def seqs(first: int, last: int) -> list[str]:
    return [str(seq) for seq in range(first, last + 1)]


def answering(answers: dict[str, Any]) -> Callable[[str], Any]:
    return lambda connection_id: answers.get(connection_id, SENT)


# -- in order


def test_replay_then_the_marker_then_live(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(3)
    feed.open("a", after=0)
    report = run(pump)
    assert gateway.told("a") == ["1", "2", "3", "live 3"]
    assert (report.connections, report.events, report.flights, report.lag) == (1, 3, 2, 0)
    feed.append(2)
    report = run(pump)
    assert gateway.told("a") == ["1", "2", "3", "live 3", "4", "5"]
    assert report.lag > 0
    row = feed.row("a")
    assert row is not None
    assert (row["delivered_seq"], row["live"], row["lease_owner"]) == (5, True, None)


def test_a_frame_is_the_cloud_event(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.open("a", after=0)
    feed.append()
    run(pump)
    event = gateway.frames["a"][0]["event"]
    assert (event["type"], event["subject"], event["data"], event["seq"]) == ("test.thing", "things/1", {"n": 1}, 1)


def test_an_empty_feed_is_live_at_once(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.open("a", after=0)
    run(pump)
    assert gateway.told("a") == ["live 0"]


def test_word_without_news_costs_one_flight_and_sends_nothing(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(3)
    feed.open("a", after=3)
    run(pump)
    report = run(pump)
    assert (report.connections, report.flights) == (0, 1)
    assert gateway.told("a") == ["live 3"]


def test_who_has_not_subscribed_is_sent_nothing(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.open("a")
    feed.append(2)
    assert run(pump).connections == 0
    assert gateway.told("a") == []


def test_nobody_is_sent_another_s_events(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.open("a", ADA, after=0)
    feed.open("b", BOB, after=0)
    feed.append(2, ADA)
    feed.append(3, BOB)
    run(pump, ADA)
    assert gateway.told("b") == []
    run(pump, BOB, ADA)
    assert gateway.told("a") == ["1", "2", "live 2"]
    assert gateway.told("b") == ["1", "2", "3", "live 3"]


def test_connections_at_different_places_each_get_what_they_lack(
    feed: Feed, gateway: FakeGateway, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE_EVENTS", 10)
    feed.append(57)
    for name, after in (("old", 0), ("middle", 25), ("near", 26), ("head", 57)):
        feed.open(name, after=after)
    run(pump)
    assert gateway.told("old") == [*seqs(1, 57), "live 57"]
    assert gateway.told("middle") == [*seqs(26, 57), "live 57"]
    assert gateway.told("near") == [*seqs(27, 57), "live 57"]
    assert gateway.told("head") == ["live 57"]


def test_a_feed_of_whole_pages_ends_with_the_marker(
    feed: Feed, gateway: FakeGateway, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE_EVENTS", 5)
    feed.append(10)
    feed.open("a", after=0)
    run(pump)
    assert gateway.told("a") == [*seqs(1, 10), "live 10"]


def test_more_connections_than_one_claim_takes(
    feed: Feed, gateway: FakeGateway, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_CONNECTIONS", 2)
    feed.append(1)
    for name in "abcde":
        feed.open(name, after=0)
    assert run(pump).connections == 5
    assert {tuple(gateway.told(name)) for name in "abcde"} == {("1", "live 1")}


def test_events_that_have_passed_their_time_are_stepped_over(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(5)
    feed.open("a", after=0)
    feed.open("b", after=4)
    feed.change(b"DELETE FROM events WHERE seq <= 3")
    run(pump)
    assert gateway.told("a") == ["4", "5", "live 5"]
    feed.change(b"DELETE FROM events")
    feed.open("c", after=1)
    run(pump)
    assert gateway.told("c") == ["live 5"]
    feed.append()
    run(pump)
    assert gateway.told("c") == ["live 5", "6"]


# -- what comes meanwhile


def test_news_that_comes_while_it_sends_is_sent_before_it_lets_go(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(1)
    feed.open("a", after=0)

    def answers(connection_id: str) -> Posted:
        if len(gateway.frames["a"]) < 5:
            feed.append()
        return SENT

    gateway.answers = answers
    run(pump)
    assert [told for told in gateway.told("a") if "live" not in told] == seqs(1, 6)


def test_what_is_sent_outlasts_a_crash_of_the_server(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    """Events that were committed without waiting for the disk, some of them while others were sent."""
    ends: list[int] = []  # where each event's transaction ends in the log
    flushed: list[int] = []  # how much of it was on the disk when each frame was sent
    with psycopg.connect(feed.url, autocommit=True) as log:

        def place(of: str) -> int:
            [found] = log.execute(f"SELECT (pg_current_wal_{of}_lsn() - '0/0')::bigint").fetchone() or [0]
            return int(found)

        def append() -> None:
            feed.append()
            ends.append(place("insert"))

        def answers(connection_id: str) -> Posted:
            flushed.append(place("flush"))
            if len(ends) < 5:
                append()
            return SENT

        append()
        feed.open("a", after=0)
        gateway.answers = answers
        run(pump)
    sent = [
        (frame, place) for frame, place in zip(gateway.frames["a"], flushed, strict=True) if frame["type"] == "event"
    ]
    assert len(sent) == 5
    assert all(place >= ends[frame["event"]["seq"] - 1] for frame, place in sent)


def test_a_held_connection_is_left_to_its_holder_who_finds_the_news(
    feed: Feed, gateway: FakeGateway, pump: Pump, database_url: str
) -> None:
    """The second pump comes while the first one sends: it must not send, and the first must not miss it."""
    feed.append(1)
    feed.open("a", after=0)
    other = feed.connect("spandrel_system")
    reports = []

    def answers(connection_id: str) -> Posted:
        if not reports:
            feed.append()
            second = FakeGateway()

            def elsewhere() -> None:
                with pumping(other, second, feed.news) as found:
                    reports.append(run(found))

            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            assert second.frames == {}
        return SENT

    gateway.answers = answers
    run(pump)
    other.close()
    assert reports[0].connections == 0
    assert gateway.told("a") == ["1", "live 1", "2"]


def test_letting_go_and_claiming_at_one_moment_loses_nothing(feed: Feed, database_url: str) -> None:
    """Word comes while the holder is about to let go: its look came before the event, its commit comes after."""
    feed.append(1)
    feed.open("a", after=0)
    holder = store.PumpStore(feed.system, [ADA])
    holder.claim()
    # The holder's statements, as settle sends them, in a transaction that does not end yet.
    with psycopg.connect(database_url) as slow:
        result = '[{"id": "a", "from_seq": 0, "was_live": false, "seq": 1, "live": true, "failures": 0}]'
        rows = slow.execute(
            "SELECT held FROM settle_connections(%s, 20, %s::jsonb, '{}', false)", [holder.owner, result]
        ).fetchall()
        assert rows == [(False,)]
        feed.append()  # too late for that look
        other = feed.connect("spandrel_system")
        claimed: list[Any] = []
        thread = threading.Thread(target=lambda: claimed.append(store.PumpStore(other, [ADA]).claim()))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()  # it waits for the row
        slow.commit()
        thread.join(10)
        other.close()
    [(taken, page)] = claimed
    assert [(each.id, each.delivered_seq, each.live) for each in taken] == [("a", 1, True)]
    assert [frame.seq for frame in page.frames[ADA]] == [2]


def test_claims_lock_no_connection_out_of_order(feed: Feed, database_url: str) -> None:
    """One that subscribes while the first claim waits is before those that it has locked."""
    feed.append(1)
    feed.open("b", after=0)
    others = [feed.connect("spandrel_system") for _ in range(2)]
    with ThreadPoolExecutor() as pool, psycopg.connect(database_url) as holder:
        holder.execute("SELECT id FROM connections WHERE id = 'b' FOR UPDATE")
        first = pool.submit(store.PumpStore(others[0], [ADA]).claim)
        until_waiting(database_url)
        feed.open("a", after=0)
        second = pool.submit(store.PumpStore(others[1], [ADA]).claim)
        until_waiting(database_url, 2)
        holder.commit()
        assert [held.id for held in first.result()[0]] == ["b"]
        assert [held.id for held in second.result()[0]] == ["a"]
    for other in others:
        other.close()


def test_a_cursor_that_is_set_anew_meanwhile_stands(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(4)
    feed.open("a", after=3)
    again = [True]

    def answers(connection_id: str) -> Posted:
        if again and again.pop():
            feed.subscribe("a", ADA, 1)
        return SENT

    gateway.answers = answers
    run(pump)
    assert gateway.told("a") == ["4", "live 4", "2", "3", "4", "live 4"]


def test_a_connection_that_leaves_meanwhile_is_forgotten(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(1)
    feed.open("a", after=0)
    gateway.answers = lambda connection_id: feed.shut("a") or SENT
    run(pump)
    assert feed.row("a") is None


def test_a_pump_that_lost_its_lease_writes_nothing(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(1)
    feed.open("a", after=0)

    def answers(connection_id: str) -> Posted:
        feed.change(b"UPDATE connections SET lease_owner = gen_random_uuid() WHERE id = 'a'")
        return SENT

    gateway.answers = answers
    run(pump)
    row = feed.row("a")
    assert row is not None
    assert row["delivered_seq"] == 0


def test_the_lease_of_a_dead_pump_runs_out(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(1)
    feed.open("a", after=0)
    store.PumpStore(feed.system, [ADA]).claim()  # and never settles
    assert run(pump).connections == 0
    feed.change(b"UPDATE connections SET lease_until = now() WHERE id = 'a'")
    assert run(pump).connections == 1
    assert gateway.told("a") == ["1", "live 1"]


# -- faults


def test_gone_connections_are_deleted_and_the_others_served(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(2)
    for name in "abc":
        feed.open(name, after=0)
    gateway.answers = answering({"b": GONE})
    report = run(pump)
    assert (report.gone, report.faults) == (1, 0)
    assert feed.row("b") is None
    assert gateway.told("a") == gateway.told("c") == ["1", "2", "live 2"]
    assert feed.system.run(b"SELECT connections FROM event_counters") == [{"connections": 2}]


def test_a_gone_connection_whose_counter_is_locked_is_not_waited_for(
    feed: Feed, gateway: FakeGateway, pump: Pump, database_url: str
) -> None:
    feed.append(1)
    feed.open("a", after=0)
    gateway.answers = answering({"a": GONE})
    with psycopg.connect(database_url) as writer:
        writer.execute("SELECT append_event('ada', 'test.thing', 'things/1', '{}')")
        run(pump)
    row = feed.row("a")
    assert row is not None
    assert row["delivered_seq"] is None
    assert RepairFeed(feed.system, feed.news).run(10) == FeedRepairReport(0, 1)
    assert feed.row("a") is None


def test_a_fault_keeps_the_place_and_is_tried_again_later(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(3)
    feed.open("a", after=0)
    gateway.answers = lambda connection_id: FAILED if len(gateway.frames["a"]) == 2 else SENT
    report = run(pump)
    assert (report.faults, report.told_again) == (1, 1)
    row = feed.row("a")
    assert row is not None
    assert (row["delivered_seq"], row["failures"], row["live"]) == (2, 1, False)
    [(user, delay)] = feed.news.reminders
    assert user == ADA
    assert delay == 1
    assert run(pump).connections == 0  # not yet
    gateway.answers = answering({})
    feed.change(b"UPDATE connections SET retry_at = now() WHERE id = 'a'")
    run(pump)
    assert gateway.told("a") == ["1", "2", "3", "live 3"]
    row = feed.row("a")
    assert row is not None
    assert (row["failures"], row["retry_at"]) == (0, None)


def test_a_fault_of_the_marker_keeps_what_was_sent(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(2)
    feed.open("a", after=0)
    gateway.answers = lambda connection_id: FAILED if len(gateway.frames["a"]) == 2 else SENT
    run(pump)
    row = feed.row("a")
    assert row is not None
    assert (row["delivered_seq"], row["live"]) == (2, False)
    gateway.answers = answering({})
    feed.change(b"UPDATE connections SET retry_at = now()")
    run(pump)
    assert gateway.told("a") == ["1", "2", "live 2"]


def test_the_quota_is_waited_for_in_place(
    feed: Feed, gateway: FakeGateway, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "FIRST_THROTTLE_SECONDS", 0.001)
    feed.append(1)
    feed.open("a", after=0)
    answers = [THROTTLED, THROTTLED, Posted(Delivery.THROTTLED, 0.01), SENT, SENT]
    gateway.answers = lambda connection_id: answers.pop(0)
    report = run(pump)
    assert (report.throttled, report.faults) == (3, 0)
    assert gateway.told("a") == ["1", "live 1"]


@pytest.mark.parametrize(("answer", "least"), [(THROTTLED, 1), (Posted(Delivery.THROTTLED, 30.0), 30)])
def test_a_quota_that_stays_used_up_is_tried_later_and_is_no_fault_of_the_connection(
    feed: Feed, gateway: FakeGateway, pump: Pump, monkeypatch: pytest.MonkeyPatch, answer: Posted, least: int
) -> None:
    monkeypatch.setattr(deliver, "FIRST_THROTTLE_SECONDS", 0.001)
    feed.append(1)
    feed.open("a", after=0)
    gateway.answers = lambda connection_id: answer
    run(pump)
    row = feed.row("a")
    assert row is not None
    assert row["failures"] == 0
    assert feed.news.reminders == [(ADA, least)]


@pytest.mark.parametrize(("failures", "behind"), [(deliver.MOST_FAILURES - 1, 1), (0, deliver.FAR_BEHIND_EVENTS + 1)])
def test_a_connection_that_cannot_follow_is_closed(
    feed: Feed, gateway: FakeGateway, pump: Pump, failures: int, behind: int
) -> None:
    feed.open("a", after=0)
    feed.change(b"UPDATE connections SET failures = %s", failures)
    with feed.app.transaction(ADA) as tx:
        tx.execute(b"SELECT append_event('ada', 'test.thing', 'things', '{}') FROM generate_series(1, %s)", [behind])
    gateway.answers = lambda connection_id: FAILED
    report = run(pump)
    assert report.closed == 1
    assert gateway.disconnected == ["a"]
    assert feed.row("a") is None
    assert feed.news.reminders == []


def test_a_client_that_is_slow_is_told_why_it_is_closed(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(1)
    feed.open("a", after=0)
    feed.change(b"UPDATE connections SET failures = %s", deliver.MOST_FAILURES)
    answers = [FAILED, SENT]
    gateway.answers = lambda connection_id: answers.pop(0)
    run(pump)
    assert [frame.get("code") for frame in gateway.frames["a"]] == ["closing"]


def test_one_that_hangs_delays_nobody(
    feed: Feed, gateway: FakeGateway, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are settled, and served again, while it still hangs."""
    monkeypatch.setattr(deliver, "POST_SECONDS", 1.0)
    feed.append(2)
    for name in "abc":
        feed.open(name, after=0)
    settled_at: dict[str, float] = {}

    def watch() -> None:
        database = feed.connect("spandrel_system")
        while len(settled_at) < 3:
            for row in database.run(b"SELECT id FROM connections WHERE lease_owner IS NULL AND (live OR failures > 0)"):
                settled_at.setdefault(row["id"], time.monotonic())
            time.sleep(0.01)
        database.close()

    gateway.answers = answering({"b": 60.0})
    watcher = threading.Thread(target=watch)
    watcher.start()
    report = run(pump)
    watcher.join(10)
    assert gateway.told("a") == gateway.told("c") == ["1", "2", "live 2"]
    assert max(settled_at["a"], settled_at["c"]) < settled_at["b"]
    assert report.faults == 1
    assert [user for user, _ in feed.news.reminders] == [ADA]


# -- time and the queue


def test_what_the_time_does_not_allow_is_told_again(
    feed: Feed, gateway: FakeGateway, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE_EVENTS", 5)
    feed.append(12)
    feed.open("a", after=0)
    left = iter([60.0, 60.0])  # the claim, the first page; then no more
    report = pump.run([ADA], lambda: next(left, 1.0))
    assert gateway.told("a") == seqs(1, 10)
    assert report.told_again == 1
    assert feed.news.reminders == [(ADA, 0)]
    row = feed.row("a")
    assert row is not None
    assert (row["delivered_seq"], row["lease_owner"]) == (10, None)
    run(pump)
    assert gateway.told("a") == [*seqs(1, 12), "live 12"]


def test_a_pass_without_time_hands_everything_on(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(1)
    feed.open("a", after=0)
    report = run(pump, ADA, BOB, seconds=1)
    assert (report.flights, report.told_again) == (0, 2)
    assert feed.news.reminders == [(ADA, 0), (BOB, 0)]


def test_a_page_has_its_time_and_goes_on_from_where_it_came(
    feed: Feed, gateway: FakeGateway, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "PAGE_SECONDS", 0.05)
    feed.append(6)
    feed.open("a", after=0)
    gateway.answers = lambda connection_id: 0.02
    report = run(pump)
    assert gateway.told("a") == [*seqs(1, 6), "live 6"]
    assert report.flights > 2


def test_a_queue_that_is_down_leaves_it_to_the_sweep(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.append(1)
    feed.open("a", after=0)
    gateway.answers = lambda connection_id: FAILED
    feed.news.broken = True
    assert run(pump).faults == 1


def test_a_connection_to_the_database_that_is_cut_while_it_sends_is_replaced(
    feed: Feed, gateway: FakeGateway, pump: Pump
) -> None:
    feed.append(1)
    feed.open("a", after=0)

    def answers(connection_id: str) -> Posted:
        with psycopg.connect(feed.url) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'spandrel_system'"
            )
        return SENT

    gateway.answers = answers
    run(pump)
    assert gateway.told("a") == ["1", "live 1"]
    row = feed.row("a")
    assert row is not None
    assert row["delivered_seq"] == 1


def test_without_a_database_the_word_must_come_again_and_nothing_goes_on(
    feed: Feed, gateway: FakeGateway, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.append(1)
    feed.open("a", after=0)
    feed.open("b", after=0)

    def settle(*_: object, **__: object) -> None:
        raise DatabaseUnavailableError

    monkeypatch.setattr(store.PumpStore, "settle", settle)
    gateway.answers = answering({"b": 4.0})
    with pytest.raises(DatabaseUnavailableError):
        run(pump)
    assert gateway.told("b") == []  # what was under way is called off


# -- repair


@pytest.fixture
def repair(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> RepairFeed:
    monkeypatch.setattr("spandrel.events.broadcast.repair.OVERLOOKED_SECONDS", 0.0)
    return RepairFeed(feed.system, feed.news)


def test_a_lost_message_is_repaired_by_the_next(feed: Feed, gateway: FakeGateway, pump: Pump) -> None:
    feed.open("a", after=0)
    feed.append(2)
    feed.news.told.clear()
    feed.append()
    run(pump, *feed.news.told)
    assert gateway.told("a") == ["1", "2", "3", "live 3"]


def test_a_lost_message_is_repaired_by_the_sweep(
    feed: Feed, gateway: FakeGateway, pump: Pump, repair: RepairFeed
) -> None:
    feed.open("a", ADA, after=0)
    feed.open("b", BOB, after=0)
    feed.open("c", "carol", after=0)
    run(pump, ADA, BOB, "carol")
    feed.append(2, ADA)
    feed.append(1, "carol")
    feed.news.told.clear()
    assert repair.run(10) == FeedRepairReport(2, 0)
    assert sorted(feed.news.told) == [ADA, "carol"]
    run(pump, *feed.news.told)
    assert gateway.told("a") == ["live 0", "1", "2"]
    assert repair.run(10) == FeedRepairReport(0, 0)


def test_the_sweep_tells_no_more_than_it_may_and_leaves_alone_who_is_served(
    feed: Feed, pump: Pump, repair: RepairFeed
) -> None:
    for name in "abc":
        feed.open(name, name, after=0)
    assert repair.run(2).users_told == 2
    store.PumpStore(feed.system, ["a"]).claim()
    feed.change(b"UPDATE connections SET retry_at = now() + interval '1 minute' WHERE id = 'b'")
    feed.news.told.clear()
    repair.run(10)
    assert list(feed.news.told) == ["c"]


def test_what_is_only_just_written_is_left_to_its_own_word(feed: Feed, pump: Pump) -> None:
    feed.open("a", after=0)
    run(pump)
    feed.append(1)
    assert RepairFeed(feed.system, feed.news).run(10).users_told == 0
    feed.change(b"UPDATE events SET created_at = now() - interval '6 seconds'")
    assert RepairFeed(feed.system, feed.news).run(10).users_told == 1


def test_expired_connections_are_removed_and_sent_nothing(
    feed: Feed, gateway: FakeGateway, pump: Pump, repair: RepairFeed
) -> None:
    feed.open("a", after=0)
    feed.open("b", after=0)
    feed.change(b"UPDATE connections SET expires_at = now() - interval '1 second' WHERE id = 'a'")
    run(pump)
    assert gateway.told("a") == []
    assert repair.run(10) == FeedRepairReport(0, 1)
    assert (feed.row("a"), feed.row("b") is None) == (None, False)
    assert feed.system.run(b"SELECT connections FROM event_counters") == [{"connections": 1}]


# -- flights


def test_a_pass_takes_two_flights_for_any_number_of_users(
    feed: Feed, gateway: FakeGateway, cluster: Cluster, database_name: str
) -> None:
    for number in range(20):
        feed.open(f"c{number}", f"user-{number}", after=0)
        feed.append(3, f"user-{number}")
    with FlightCounter(cluster.socket_directory) as counter:
        there = Feed(cluster.url(database_name, host=counter.directory))
        with pumping(there.system, gateway, there.news) as pump:
            run(pump, "nobody")
            for users in (["user-0"], [f"user-{number}" for number in range(1, 20)]):
                before = counter.flights
                report = run(pump, *users)
                assert counter.flights - before == report.flights == 2
        there.close()
    assert gateway.told("c7") == ["1", "2", "3", "live 3"]
