"""The queue that says who has news: what the real adapter sends, and what it makes of refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest

from spandrel.adapters.sqs_news import SqsNews
from spandrel.errors import QueueUnavailableError
from spandrel.settings import RealtimeSettings
from tests.support.feed import FakeNews
from tests.support.http_server import HttpServer, Received, Reply

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/news"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, name.lower())


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(lambda request: Reply(200, b'{"Successful": []}'), keep_alive=True) as found:
        yield found


@pytest.fixture
def news(server: HttpServer) -> Iterator[SqsNews]:
    found = SqsNews(RealtimeSettings(URL, "unused", "eu-central-1", server.url))
    yield found
    found.close()


def entries(request: Received) -> list[tuple[str, int]]:
    return [
        (json.loads(entry["MessageBody"])["user_id"], entry["DelaySeconds"])
        for entry in json.loads(request.body)["Entries"]
    ]


def test_a_message_is_what_botocore_would_send(server: HttpServer, news: SqsNews) -> None:
    news.tell(["ada"])
    client = boto3.client("sqs", region_name="eu-central-1", endpoint_url=server.url)
    body = json.dumps({"user_id": "ada"})
    client.send_message_batch(QueueUrl=URL, Entries=[{"Id": "0", "MessageBody": body, "DelaySeconds": 0}])
    client.close()
    ours, theirs = server.received
    assert json.loads(ours.body) == json.loads(theirs.body)
    for name in ("x-amz-target", "content-type"):
        assert ours.headers[name] == theirs.headers[name]


def test_many_go_ten_at_a_time(server: HttpServer, news: SqsNews) -> None:
    users = [f"user-{number}" for number in range(23)]
    news.tell(users)
    assert [len(entries(each)) for each in server.received] == [10, 10, 3]
    assert [user for each in server.received for user, _ in entries(each)] == users


@pytest.mark.parametrize(("seconds", "sent"), [(0, 0), (0.2, 1), (7, 7), (5000, 900)])
def test_a_reminder_comes_later(server: HttpServer, news: SqsNews, seconds: float, sent: int) -> None:
    news.remind(["ada"], seconds)
    assert entries(server.received[0]) == [("ada", sent)]


def test_nobody_is_told_of_nothing(server: HttpServer, news: SqsNews) -> None:
    news.tell([])
    assert server.received == []


@pytest.mark.parametrize(
    "reply",
    [Reply(500), Reply(403), Reply(200, b'{"Failed": [{"Id": "0"}]}'), Reply(200, b"<html>"), Reply(200, b"[]")],
)
def test_a_refusal_is_typed(server: HttpServer, news: SqsNews, reply: Reply) -> None:
    server.answer = lambda request: reply
    with pytest.raises(QueueUnavailableError):
        news.tell(["ada"])


def test_the_fake_keeps_what_it_is_told_and_can_be_broken() -> None:
    fake = FakeNews()
    fake.tell(["ada"])
    fake.remind(["bob"], 2)
    assert (list(fake.told), fake.reminders) == (["ada"], [("bob", 2)])
    fake.broken = True
    for call in (lambda: fake.tell(["ada"]), lambda: fake.remind(["ada"], 1)):
        with pytest.raises(QueueUnavailableError):
            call()
