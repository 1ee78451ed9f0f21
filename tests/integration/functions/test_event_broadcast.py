"""The function as it is deployed: a batch of words in, frames at a real gateway server out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from functions.event_broadcast.handler import handler
from spandrel import wiring
from spandrel.errors import DatabaseUnavailableError
from tests.support.events import Context, sqs_event
from tests.support.feed import Feed
from tests.support.gateway import GatewayServer
from tests.support.http_server import HttpServer, Reply
from tests.support.knowledge import ADA, BOB, KnowledgeBase


@pytest.fixture
def feed(kb: KnowledgeBase) -> Iterator[Feed]:
    found = Feed(kb.url)
    yield found
    found.close()


@pytest.fixture
def server() -> Iterator[GatewayServer]:
    with GatewayServer() as found:
        yield found


@pytest.fixture
def queue() -> Iterator[HttpServer]:
    with HttpServer(lambda request: Reply(200, b"{}"), keep_alive=True) as found:
        yield found


@pytest.fixture
def deployed(
    wired: KnowledgeBase, server: GatewayServer, queue: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("SPANDREL_CONNECTIONS_URL", server.url)
    monkeypatch.setenv("SPANDREL_BROADCAST_QUEUE_URL", f"{queue.url}/news")
    yield
    pump: Any = wiring.pump()
    pump.gateway.close()
    pump.runner.run(_settle())
    pump.runner.close()
    wiring.news().close()


async def _settle() -> None:
    import asyncio

    await asyncio.sleep(0.01)


def word(user: str) -> str:
    return json.dumps({"user_id": user})


@pytest.mark.usefixtures("deployed")
def test_a_batch_is_one_pump_for_each_user_once(feed: Feed, server: GatewayServer) -> None:
    for user in (ADA, BOB):
        feed.open(user, user, after=0)
        feed.append(2, user)
    assert handler(sqs_event(word(ADA), word(BOB), word(ADA)), Context()) == {"batchItemFailures": []}
    assert server.told(ADA) == server.told(BOB) == ["1", "2", "live 2"]
    feed.append(1)
    handler(sqs_event(word(ADA)), Context())
    assert server.told(ADA) == ["1", "2", "live 2", "3"]
    assert server.sockets <= 2  # kept from one invocation to the next


@pytest.mark.usefixtures("deployed")
def test_what_names_nobody_comes_back_alone(feed: Feed, server: GatewayServer) -> None:
    feed.open("a", after=0)
    event = sqs_event(word(ADA), "nonsense", "{}")
    failed = [{"itemIdentifier": record["messageId"]} for record in event["Records"][1:]]
    assert handler(event, Context()) == {"batchItemFailures": failed}
    assert server.told("a") == ["live 0"]


@pytest.mark.usefixtures("deployed")
def test_without_a_database_all_of_it_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def run(self, *_: object) -> None:
            raise DatabaseUnavailableError

    pump = wiring.pump
    monkeypatch.setattr(wiring, "pump", Broken)
    event = sqs_event(word(ADA), word(BOB))
    expected = [{"itemIdentifier": record["messageId"]} for record in event["Records"]]
    assert handler(event, Context()) == {"batchItemFailures": expected}
    monkeypatch.setattr(wiring, "pump", pump)


@pytest.mark.usefixtures("deployed")
def test_what_there_was_no_time_for_goes_back_to_the_queue(feed: Feed, queue: HttpServer) -> None:
    handler(sqs_event(word(ADA)), Context(seconds=2))
    [request] = queue.received
    [entry] = json.loads(request.body)["Entries"]
    assert json.loads(entry["MessageBody"]) == {"user_id": ADA}


@pytest.mark.usefixtures("deployed")
def test_every_function_tells_by_the_same_queue(feed: Feed, queue: HttpServer) -> None:
    feed.open("a")
    wiring.database(wiring.APP_ROLE).run(b"SELECT append_event('ada', 'test.thing', 'things/1', '{}')", user_id=ADA)
    [request] = queue.received
    assert request.headers["x-amz-target"] == "AmazonSQS.SendMessageBatch"


def test_without_a_queue_nobody_is_told(feed: Feed, wired: KnowledgeBase) -> None:
    feed.open("a")
    assert wiring.database(wiring.APP_ROLE)._heard is None
