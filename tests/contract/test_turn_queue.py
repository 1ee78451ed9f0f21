"""The queue of turns: what the real adapter sends, and that the fake refuses and keeps what the real one does."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

import boto3
import pytest

from spandrel.adapters.sqs_fifo import SqsFifoQueue
from spandrel.errors import QueueUnavailableError
from spandrel.settings import TurnQueueSettings
from tests.support.http_server import HttpServer, Received, Reply
from tests.support.turn_queue import FakeTurnQueue

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/turns.fifo"
BODY = {"turn_id": "t", "text": "grüße"}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, name.lower())


def answering(status: int) -> Callable[[Received], Reply]:
    return lambda request: Reply(status, b'{"MessageId": "m"}')


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(answering(200), keep_alive=True) as found:
        yield found


@pytest.fixture
def queue(server: HttpServer) -> Iterator[SqsFifoQueue]:
    found = SqsFifoQueue(TurnQueueSettings(URL, "eu-central-1", server.url))
    yield found
    found.close()


def test_a_message_is_what_botocore_would_send(server: HttpServer, queue: SqsFifoQueue) -> None:
    queue.send(BODY, group="session", deduplication_id="turn:0:")
    client = boto3.client("sqs", region_name="eu-central-1", endpoint_url=server.url)
    client.send_message(
        QueueUrl=URL, MessageBody=json.dumps(BODY), MessageGroupId="session", MessageDeduplicationId="turn:0:"
    )
    client.close()
    ours, theirs = server.received
    assert json.loads(ours.body) == json.loads(theirs.body)
    for name in ("x-amz-target", "content-type"):
        assert ours.headers[name] == theirs.headers[name]
    assert ours.headers["authorization"].split("Signature=")[0].startswith("AWS4-HMAC-SHA256 Credential=")
    assert ours.headers["x-amz-security-token"] == "aws_session_token"


def test_the_connection_is_kept_and_made_anew_where_it_was_dropped(server: HttpServer, queue: SqsFifoQueue) -> None:
    queue.send(BODY, group="g", deduplication_id="1")
    connection = queue._messages._connection
    assert connection is not None
    assert connection.sock is not None
    connection.sock.shutdown(socket.SHUT_RDWR)  # as a load balancer hangs up on an idle client
    queue.send(BODY, group="g", deduplication_id="2")
    assert [json.loads(each.body)["MessageDeduplicationId"] for each in server.received] == ["1", "2"]


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_a_refusal_is_typed(server: HttpServer, queue: SqsFifoQueue, status: int) -> None:
    server.answer = answering(status)
    with pytest.raises(QueueUnavailableError):
        queue.send(BODY, group="g", deduplication_id="1")


def test_nobody_there_is_typed() -> None:
    queue = SqsFifoQueue(TurnQueueSettings("http://127.0.0.1:9/queue", "eu-central-1", None))
    with pytest.raises(QueueUnavailableError):
        queue.send(BODY, group="g", deduplication_id="1")


def test_the_fake_keeps_one_message_a_deduplication_id_and_can_be_broken() -> None:
    queue = FakeTurnQueue()
    for number in ("1", "1", "2"):
        queue.send({"n": number}, group="g", deduplication_id=number)
    assert queue.messages == [{"n": "1"}, {"n": "2"}]
    queue.broken = True
    with pytest.raises(QueueUnavailableError):
        queue.send({}, group="g", deduplication_id="3")
