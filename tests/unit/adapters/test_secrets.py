from __future__ import annotations

import http.client
import json
from collections.abc import Callable

import pytest

from spandrel.adapters.secrets import SecretUnreadableError, read_secret
from tests.support.http_server import HttpServer, Received, Reply


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-key")


def read(answer: Callable[[Received], Reply]) -> tuple[str, Received]:
    with HttpServer(answer) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        return read_secret("arn:secret", "eu-central-1", connection), server.received[0]


def test_a_secret_is_read() -> None:
    value, request = read(lambda _: Reply(200, json.dumps({"SecretString": "sk-hush", "Name": "x"}).encode()))
    assert value == "sk-hush"
    assert json.loads(request.body) == {"SecretId": "arn:secret"}
    assert request.headers["x-amz-target"] == "secretsmanager.GetSecretValue"
    assert request.headers["host"] == "secretsmanager.eu-central-1.amazonaws.com"
    assert "hush-key" not in str(request.headers)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, b'{"__type": "AccessDeniedException", "SecretString": "sk-hush"}'),
        Reply(500, b"sk-hush"),
        Reply(200, b"sk-hush, but no JSON"),
        Reply(200, b'{"SecretBinary": "c2staHVzaA=="}'),
        Reply(200, b'["sk-hush"]'),
    ],
)
def test_a_secret_that_cannot_be_read_is_told_without_its_value(reply: Reply) -> None:
    with pytest.raises(SecretUnreadableError) as caught:
        read(lambda _: reply)
    assert "sk-hush" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_server_that_hangs_up_is_told() -> None:
    connection = http.client.HTTPConnection("127.0.0.1", 1, timeout=5)
    with pytest.raises(SecretUnreadableError):
        read_secret("arn:secret", "eu-central-1", connection)


def test_a_server_that_speaks_no_http_is_told() -> None:
    with pytest.raises(SecretUnreadableError):
        read(lambda _: Reply(200, b"short", {"content-length": "1000", "connection": "close"}))
