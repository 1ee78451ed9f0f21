"""Word of news: told after the commit, to those who may be waiting, at no flight."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import psycopg
import pytest

from spandrel.observability import metrics
from tests.support.feed import APPEND, Feed
from tests.support.flights import FlightCounter
from tests.support.knowledge import ADA, BOB
from tests.support.postgres import Cluster


@pytest.fixture
def feed(database_url: str) -> Iterator[Feed]:
    found = Feed(database_url)
    yield found
    found.close()


def test_who_has_no_connection_is_not_told_of(feed: Feed) -> None:
    feed.append(2)
    assert list(feed.news.told) == []


def test_who_has_one_is_told_of_once_a_transaction(feed: Feed) -> None:
    feed.open("a")
    with feed.app.transaction(ADA) as tx:
        for _ in range(3):
            tx.execute(APPEND, {"user_id": ADA})
        assert list(feed.news.told) == []
    assert list(feed.news.told) == [ADA]
    feed.append()
    assert list(feed.news.told) == [ADA, ADA]
    feed.shut("a")
    feed.append()
    assert list(feed.news.told) == [ADA, ADA]


def test_a_job_tells_of_everybody_that_it_changed_something_for(feed: Feed) -> None:
    for user in (ADA, BOB):
        feed.open(user, user)
    with feed.system.transaction() as tx:
        for user in (BOB, "carol", ADA):
            tx.execute(APPEND, {"user_id": user})
    assert list(feed.news.told) == [ADA, BOB]


def test_what_is_rolled_back_was_never_news(feed: Feed) -> None:
    feed.open("a")

    def changes_its_mind() -> None:
        with feed.app.transaction(ADA) as tx:
            tx.execute(APPEND, {"user_id": ADA}).fetchone()
            raise ZeroDivisionError

    def fails() -> None:
        with feed.app.transaction(ADA) as tx:
            tx.execute(APPEND, {"user_id": ADA})
            tx.execute(b"SELECT 1 / 0")

    with pytest.raises(ZeroDivisionError):
        changes_its_mind()
    with pytest.raises(psycopg.errors.DivisionByZero):
        fails()
    feed.app.run(b"SELECT 1")
    assert list(feed.news.told) == []


def test_other_notices_are_no_news(feed: Feed) -> None:
    with feed.app.transaction(ADA) as tx:
        tx.execute(b"DO $$BEGIN RAISE NOTICE 'something' USING DETAIL = 'ada'; RAISE NOTICE 'news'; END$$")
    assert list(feed.news.told) == []


def test_a_queue_that_is_down_fails_nobody_and_is_counted(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    feed.open("a")
    feed.news.broken = True
    metrics.clear_metrics()
    logger = logging.getLogger("service_undefined")
    logger.propagate = True
    try:
        assert feed.append() == 1
    finally:
        logger.propagate = False
    assert "News.untold" in metrics.provider.metric_set
    metrics.clear_metrics()
    feed.news.broken = False
    feed.append()
    assert list(feed.news.told) == [ADA]


def test_listening_takes_no_flight(cluster: Cluster, database_name: str) -> None:
    with FlightCounter(cluster.socket_directory) as counter:
        feed = Feed(cluster.url(database_name, host=counter.directory))
        feed.append()

        def flights_of_an_event() -> int:
            before = counter.flights
            feed.append()
            return counter.flights - before

        assert flights_of_an_event() == 1
        feed.open("a")
        assert flights_of_an_event() == 1
        assert list(feed.news.told) == [ADA]
        feed.close()


def test_whoever_connects_while_an_event_is_written_gets_it_by_replay_or_by_word(feed: Feed, database_url: str) -> None:
    """The writer holds the counter: who connects waits for it, and so reads a feed in which the event stands."""
    feed.append()
    with psycopg.connect(database_url) as writer:
        writer.execute(APPEND, {"user_id": ADA})
        other = feed.connect("spandrel_app")
        thread = threading.Thread(target=feed.open, args=("a", ADA, None, other))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        writer.commit()
        thread.join(10)
        other.close()
    assert feed.system.run(b"SELECT seq FROM event_counters") == [{"seq": 2}]


def test_whoever_writes_while_somebody_connects_tells_of_it(feed: Feed, database_url: str) -> None:
    feed.append()
    with psycopg.connect(database_url) as door:
        door.execute("INSERT INTO connections (id, user_id) VALUES ('a', 'ada')")
        thread = threading.Thread(target=feed.append)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        door.commit()
        thread.join(10)
    assert list(feed.news.told) == [ADA]
