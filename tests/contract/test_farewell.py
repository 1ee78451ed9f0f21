"""Closing a connection: what the real adapter sends is what botocore would, and no fault of it reaches the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import boto3
import pytest

from spandrel.adapters.farewell import ConnectionFarewell
from spandrel.settings import RealtimeSettings
from tests.support.http_server import HttpServer, Received, Reply
from tests.support.realtime import FakeFarewell

CONNECTION = "UEXAMPLEliAAbPQ="


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, name.lower())


def answering(*statuses: int) -> Callable[[Received], Reply]:
    left = list(statuses)
    return lambda request: Reply(left.pop(0))


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(answering(200, 204, 200, 204), keep_alive=True) as found:
        yield found


def farewell(url: str) -> ConnectionFarewell:
    return ConnectionFarewell(RealtimeSettings("", f"{url}/v1", "eu-central-1", None))


def test_the_last_word_is_sent_and_the_connection_deleted_as_botocore_would(server: HttpServer) -> None:
    farewell(server.url).close(CONNECTION, b'{"type":"error"}')
    client = boto3.client("apigatewaymanagementapi", region_name="eu-central-1", endpoint_url=f"{server.url}/v1")
    client.post_to_connection(ConnectionId=CONNECTION, Data=b'{"type":"error"}')
    client.delete_connection(ConnectionId=CONNECTION)
    client.close()
    ours, theirs = server.received[:2], server.received[2:]
    assert [(each.method, each.path, each.body) for each in ours] == [
        (each.method, each.path, each.body) for each in theirs
    ]
    for each in ours:
        assert each.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=aws_access_key_id/")
        assert each.headers["x-amz-security-token"] == "aws_session_token"


@pytest.mark.parametrize("statuses", [(410, 410), (403, 403), (500, 204), (200, 503)])
def test_a_refusal_is_nobody_s_fault(server: HttpServer, statuses: tuple[int, int]) -> None:
    server.answer = answering(*statuses)
    farewell(server.url).close(CONNECTION, b"{}")
    assert [each.method for each in server.received] == ["POST", "DELETE"]


def test_nobody_there_is_nobody_s_fault() -> None:
    farewell("http://127.0.0.1:9").close(CONNECTION, b"{}")


def test_the_fake_keeps_what_was_said() -> None:
    fake = FakeFarewell()
    fake.close(CONNECTION, b'{"type":"error"}')
    assert fake.closed == [(CONNECTION, {"type": "error"})]
