"""A turn that somebody watches, through a real gateway server: pieces, then the event; and no flight more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from spandrel.adapters.connections import ApiGatewayConnections
from spandrel.chat import progress
from spandrel.errors import ModelUnavailableError
from spandrel.events.broadcast import stream as stream_module
from spandrel.events.broadcast.stream import DeltaStream
from spandrel.settings import RealtimeSettings
from tests.support.chat_fakes import BrokenOff
from tests.support.feed import Feed, pumping, run
from tests.support.flights import FlightCounter
from tests.support.gateway import GatewayServer
from tests.support.knowledge import ADA, BOB, KnowledgeBase
from tests.support.postgres import Cluster
from tests.support.studio import Studio
from tests.unit.events.broadcast.test_stream import screen, until

ANSWER = "Whales sing long songs to each other across whole oceans."


@pytest.fixture
def feed(kb: KnowledgeBase) -> Iterator[Feed]:
    found = Feed(kb.url)
    yield found
    found.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayServer]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    with GatewayServer() as found:
        yield found


def settings(server: GatewayServer) -> RealtimeSettings:
    return RealtimeSettings("unused", server.url, "eu-central-1", None)


@pytest.fixture
def stream(server: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeltaStream]:
    monkeypatch.setattr(stream_module, "FLUSH_SECONDS", 0.002)
    monkeypatch.setattr(progress, "SAVE_SECONDS", 0)  # it learns of listeners at once
    found = DeltaStream(lambda: ApiGatewayConnections(settings(server)))
    yield found
    found.close()


def go_live(feed: Feed, server: GatewayServer, connection: str, user: str = ADA) -> None:
    [row] = feed.system.run(b"SELECT coalesce(max(seq), 0) AS seq FROM events WHERE user_id = %s", [user])
    feed.open(connection, user, after=row["seq"])
    with pumping(feed.system, ApiGatewayConnections(settings(server)), feed.news) as pump:
        run(pump, user)
        pump.gateway.close()
        pump.runner.run(asyncio.sleep(0.01))
    server.frames.clear()


def test_whoever_is_live_sees_the_answer_being_made(
    studio: Studio, feed: Feed, server: GatewayServer, stream: DeltaStream
) -> None:
    session = studio.begin().id
    go_live(feed, server, "a")
    go_live(feed, server, "b", BOB)
    feed.open("waiting", ADA, after=0)  # not live yet: its turn's end will tell it
    studio.model.then(ANSWER)
    studio.ask(session, "What do whales do?")
    studio.work(sink=stream)
    assert screen(server.frames["a"]) == ANSWER
    assert set(server.frames) == {"a"}


def test_whoever_comes_back_in_the_middle_gets_the_text_so_far(
    studio: Studio, feed: Feed, server: GatewayServer, stream: DeltaStream
) -> None:
    session = studio.begin().id
    studio.model.then(ANSWER)
    studio.ask(session, "What do whales do?")

    def during(word: str) -> None:
        if word == " songs":
            go_live(feed, server, "late")
        if word == " oceans.":
            until(lambda: bool(server.frames["late"]))

    studio.model.during = during
    studio.work(sink=stream)
    assert server.frames["late"][0]["type"] == "text"
    assert screen(server.frames["late"]) == ANSWER


def test_a_model_call_that_is_made_again_begins_the_text_anew(
    studio: Studio, feed: Feed, server: GatewayServer, stream: DeltaStream
) -> None:
    session = studio.begin().id
    go_live(feed, server, "a")
    studio.model.then(BrokenOff("Fish sing very", ModelUnavailableError()), ANSWER)
    studio.ask(session, "What do whales do?")
    studio.work(sink=stream)
    assert screen(server.frames["a"]) == ANSWER


def test_a_gateway_that_is_down_fails_no_turn(
    studio: Studio, feed: Feed, server: GatewayServer, stream: DeltaStream
) -> None:
    session = studio.begin().id
    go_live(feed, server, "a")
    server.behave = lambda connection_id: b""
    turn = studio.say(session, "What do whales do?", ANSWER)
    assert turn.status == "completed"
    studio.model.then(ANSWER)
    again = studio.ask(session, "Again?")
    assert [outcome.value for outcome in studio.work(sink=stream)] == ["completed"]
    assert studio.turns.get(ADA, again.id).text == ANSWER


def test_finding_the_listeners_takes_no_flight(
    studio: Studio, feed: Feed, server: GatewayServer, stream: DeltaStream, cluster: Cluster, database_name: str
) -> None:
    progress.SAVE_SECONDS = 60
    session = studio.begin().id
    with FlightCounter(cluster.socket_directory) as counter:
        through = Feed(cluster.url(database_name, host=counter.directory))
        through.app.run(b"SELECT 1")

        def flights_of_a_turn() -> int:
            studio.model.then(ANSWER)
            studio.ask(session, "What do whales do?")
            before = counter.flights
            studio.work(sink=stream, database=through.app)
            return counter.flights - before

        flights_of_a_turn()
        alone = flights_of_a_turn()
        go_live(feed, server, "a")
        assert flights_of_a_turn() == alone
        through.close()
    assert screen(server.frames["a"]) == ANSWER
