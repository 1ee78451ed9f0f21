"""The feed as it is fetched: pages, filters, waiting, and what is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from spandrel.database import Database
from spandrel.errors import EventsExpiredError, NotFoundError, SeqAheadError
from spandrel.events import history as module
from spandrel.events.history import FIRST_PAUSE, LONGEST_PAUSE, FeedPage, History
from spandrel.events.retention import Retention
from tests.support.flights import FlightCounter
from tests.support.knowledge import ADA, BOB, KnowledgeBase
from tests.support.postgres import Cluster, settings_for, until_waiting


class Time:
    """Passes only when somebody sleeps; what happens meanwhile is the test's choice."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []
        self.during: dict[int, Any] = {}

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds
        self.during.pop(len(self.naps), lambda: None)()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def feed(kb: KnowledgeBase, time: Time) -> History:
    return History(kb.app, lambda: time.now, time.sleep)


def tell(kb: KnowledgeBase, *types: str, user: str = ADA) -> None:
    for type_ in types:
        kb.rows("SELECT append_event(%s, %s, 'things/1', '{}')", user, type_)


def seqs(page: FeedPage) -> list[int]:
    return [event.seq for event in page.items]


def test_pages_follow_each_other_without_gap_or_repetition(kb: KnowledgeBase, feed: History) -> None:
    tell(kb, *(f"a.{number}" for number in range(7)))
    found, after_seq = [], 0
    for _ in range(3):
        page = feed.page(ADA, after_seq, None, 3)
        found += seqs(page)
        after_seq = page.next_after_seq
        assert (page.head_seq, page.oldest_seq) == (7, 1)
    assert found == [1, 2, 3, 4, 5, 6, 7]
    assert feed.page(ADA, 7, None, 3) == FeedPage([], 7, 7, 1)


def test_an_empty_feed_has_a_beginning(feed: History) -> None:
    assert feed.page(ADA, 0, None, 10) == FeedPage([], 0, 0, 1)


def test_types_are_names_or_beginnings(kb: KnowledgeBase, feed: History) -> None:
    tell(kb, "document.ready", "document.failed", "turn.queued", "turn_like.queued", "document.ready")
    assert seqs(feed.page(ADA, 0, ["document.ready"], 10)) == [1, 5]
    assert seqs(feed.page(ADA, 0, ["document.*"], 10)) == [1, 2, 5]
    assert seqs(feed.page(ADA, 0, ["turn.*", "document.failed"], 10)) == [2, 3]
    assert feed.page(ADA, 0, ["tool.*"], 10) == FeedPage([], 5, 5, 1)
    assert feed.page(ADA, 0, ["document.*"], 2).next_after_seq == 2


def test_a_rare_type_costs_a_window_a_look(kb: KnowledgeBase, feed: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 4)
    tell(kb, *["common.thing"] * 9, "rare.thing")
    page = feed.page(ADA, 0, ["rare.thing"], 10)
    assert (page.items, page.next_after_seq, page.head_seq) == ([], 4, 10)
    assert seqs(feed.page(ADA, page.next_after_seq, ["rare.thing"], 10, wait=1)) == [10]


def test_who_waits_is_answered_when_something_happens(kb: KnowledgeBase, feed: History, time: Time) -> None:
    tell(kb, "a.b")
    time.during = {2: lambda: tell(kb, "c.d", "a.b"), 1: lambda: tell(kb, "a.b", user=BOB)}
    page = feed.page(ADA, 1, None, 10, wait=20)
    assert (seqs(page), page.next_after_seq, len(time.naps)) == ([2, 3], 3, 2)


def test_who_waits_for_a_type_is_not_answered_with_others(kb: KnowledgeBase, feed: History, time: Time) -> None:
    time.during = {1: lambda: tell(kb, "a.b"), 3: lambda: tell(kb, "a.b", "c.d")}
    page = feed.page(ADA, 0, ["c.*"], 10, wait=20)
    assert (seqs(page), page.head_seq) == ([3], 3)


def test_who_waits_in_vain_is_told_where_to_go_on(kb: KnowledgeBase, feed: History, time: Time) -> None:
    tell(kb, "a.b")
    assert feed.page(ADA, 1, None, 10, wait=20) == FeedPage([], 1, 1, 1)
    assert time.now == pytest.approx(20)
    assert time.naps[0] == FIRST_PAUSE
    assert max(time.naps) == LONGEST_PAUSE
    assert len(time.naps) < 30
    time.naps.clear()
    feed.page(ADA, 1, None, 10)
    assert time.naps == []


def test_a_page_is_one_flight_and_so_is_a_look_while_waiting(
    cluster: Cluster, database_name: str, kb: KnowledgeBase, time: Time
) -> None:
    tell(kb, "a.b")
    with FlightCounter(cluster.socket_directory) as counter:
        database = Database(settings_for(f"postgresql:///{database_name}?host={counter.directory}"), "spandrel_app")
        feed = History(database, lambda: time.now, time.sleep)
        feed.page(ADA, 0, None, 10)
        before = counter.flights
        feed.page(ADA, 0, None, 10)
        assert counter.flights - before == 1
        feed.page(ADA, 1, None, 10, wait=1)
        assert counter.flights - before == 2 + len(time.naps)
        database.close()


def test_a_user_sees_his_own_feed_alone(kb: KnowledgeBase, feed: History) -> None:
    tell(kb, "a.b", "a.b")
    tell(kb, "c.d", user=BOB)
    assert [event.type for event in feed.page(BOB, 0, None, 10).items] == ["c.d"]
    assert [event.user_id for event in feed.page(ADA, 0, None, 10).items] == [ADA, ADA]
    with pytest.raises(NotFoundError):
        feed.get(BOB, 2)
    with pytest.raises(SeqAheadError):
        feed.page(BOB, 2, None, 10)


def test_one_event_is_found_by_its_number(kb: KnowledgeBase, feed: History) -> None:
    tell(kb, "a.b", "c.d")
    assert feed.get(ADA, 2).type == "c.d"
    for seq in (0, 3, 2**53 - 1):
        with pytest.raises(NotFoundError):
            feed.get(ADA, seq)
    kb.rows("DELETE FROM events WHERE seq = 1")
    with pytest.raises(EventsExpiredError):
        feed.get(ADA, 1)


# -- what is kept


def age(kb: KnowledgeBase, days: int, *numbers: int, user: str = ADA) -> None:
    kb.rows(
        "UPDATE events SET created_at = now() - make_interval(days => %s) WHERE user_id = %s AND seq = ANY (%s)",
        days, user, list(numbers),
    )  # fmt: skip


def kept(kb: KnowledgeBase, user: str = ADA) -> list[int]:
    return [row["seq"] for row in kb.rows("SELECT seq FROM events WHERE user_id = %s ORDER BY seq", user)]


def test_old_events_go_and_who_asks_for_them_is_told(kb: KnowledgeBase, feed: History) -> None:
    tell(kb, *["a.b"] * 5)
    tell(kb, *["a.b"] * 2, user=BOB)
    age(kb, 31, 1, 2, 3)
    assert Retention(kb.system, 30).run().events_forgotten == 3
    assert (kept(kb), kept(kb, BOB)) == ([4, 5], [1, 2])
    with pytest.raises(EventsExpiredError) as caught:
        feed.page(ADA, 2, None, 10)
    assert caught.value.members == {"head_seq": 5, "oldest_seq": 4}
    assert seqs(feed.page(ADA, 3, None, 10)) == [4, 5]
    assert Retention(kb.system, 30).run().events_forgotten == 0


def test_what_is_kept_has_no_gap_though_clocks_disagree(kb: KnowledgeBase) -> None:
    """An event's time is its transaction's beginning: a later one may bear an earlier time."""
    tell(kb, *["a.b"] * 5)
    age(kb, 31, 1, 2, 4)
    assert Retention(kb.system, 30).run().events_forgotten == 2
    assert kept(kb) == [3, 4, 5]


def test_a_run_is_bounded_and_the_next_goes_on(kb: KnowledgeBase) -> None:
    tell(kb, *["a.b"] * 4)
    tell(kb, *["a.b"] * 4, user=BOB)
    for user in (ADA, BOB):
        age(kb, 31, 1, 2, 3, 4, user=user)
    retention = Retention(kb.system, 30)
    assert [retention.run(limit=3).events_forgotten for _ in range(4)] == [3, 3, 2, 0]


def test_runs_at_once_do_not_wait_for_each_other_for_ever(kb: KnowledgeBase) -> None:
    """The second finds the counters in another order, for one of them was written to."""
    tell(kb, "a.b", user=BOB)
    tell(kb, "a.b")
    for user in (ADA, BOB):
        age(kb, 31, 1, user=user)
    others = [kb.connect("spandrel_system") for _ in range(2)]
    with ThreadPoolExecutor() as pool, psycopg.connect(kb.url) as holder:
        holder.execute("SELECT seq FROM events WHERE user_id = %s FOR UPDATE", [BOB])
        first = pool.submit(Retention(others[0], 30).run)
        until_waiting(kb.url)
        tell(kb, "a.b", user=BOB)
        second = pool.submit(Retention(others[1], 30).run)
        until_waiting(kb.url, 2)
        holder.commit()
        forgotten = [run.result().events_forgotten for run in (first, second)]
    for other in others:
        other.close()
    assert sum(forgotten) == 2


def test_a_feed_of_which_nothing_is_kept_goes_on(kb: KnowledgeBase, feed: History) -> None:
    tell(kb, "a.b", "a.b")
    age(kb, 31, 1, 2)
    Retention(kb.system, 30).run()
    assert feed.page(ADA, 2, None, 10) == FeedPage([], 2, 2, 3)
    with pytest.raises(EventsExpiredError):
        feed.page(ADA, 1, None, 10)
    tell(kb, "a.b")
    assert kept(kb) == [3]
