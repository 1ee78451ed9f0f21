"""Signatures made without botocore are botocore's own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import botocore.auth
import botocore.session
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from botocore.signers import generate_db_auth_token

from spandrel.adapters import rds, secrets
from spandrel.adapters.request_signer import RequestSigner
from spandrel.adapters.signature import Credentials, post_headers
from spandrel.settings import DatabaseSettings

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
SETTINGS = DatabaseSettings(
    url=None,
    host="db.abc.eu-central-1.rds.amazonaws.com",
    port=5432,
    name="spandrel",
    region="eu-central-1",
    proxy=False,
    ssl_root_cert="rds.pem",
)


@pytest.fixture(params=[None, "token/with+odd=chars"])
def session_token(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    if request.param is None:
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    else:
        monkeypatch.setenv("AWS_SESSION_TOKEN", request.param)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: NOW.replace(tzinfo=None))
    for module in (rds, secrets):
        monkeypatch.setattr(module, "utc_now", lambda: NOW)
    found: str | None = request.param
    return found


def boto_credentials(session_token: str | None) -> BotoCredentials:
    own = Credentials.of_function()
    return BotoCredentials(own.access_key, own.secret_key, session_token)


@pytest.mark.parametrize("user", ["spandrel_app", "odd user+&="])
def test_a_database_token_is_botocore_s(session_token: str | None, user: str) -> None:
    session = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", session_token)
    client = session.create_client("rds", region_name="eu-central-1")
    theirs = urlsplit("https://" + generate_db_auth_token(client, SETTINGS.host, 5432, user))
    ours = urlsplit("https://" + rds.iam_token(SETTINGS, user))
    assert (ours.netloc, ours.path) == (theirs.netloc, theirs.path)
    assert parse_qs(ours.query) == parse_qs(theirs.query)
    assert parse_qs(ours.query)["X-Amz-Date"] == ["20261123T010203Z"]


def test_a_signed_post_is_botocore_s(session_token: str | None) -> None:
    host, body = "secretsmanager.eu-central-1.amazonaws.com", b'{"SecretId": "arn"}'
    ours: dict[str, Any] = post_headers(
        Credentials.of_function(), "secretsmanager", "eu-central-1", host, "secretsmanager.GetSecretValue", body, NOW
    )
    names = ("content-type", "x-amz-target")
    request = AWSRequest("POST", f"https://{host}/", data=body, headers={name: ours[name] for name in names})
    botocore.auth.SigV4Auth(boto_credentials(session_token), "secretsmanager", "eu-central-1").add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")


@pytest.mark.parametrize("connection", ["L0SM9cOFvHcCIhw=", "odd/id+with ~%:@ü"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_post_to_a_connection_is_signed_as_botocore_does(
    session_token: str | None, connection: str, method: str
) -> None:
    host, body = "abc.execute-api.eu-central-1.amazonaws.com", "grüße".encode() if method == "POST" else b""
    path = f"/live/@connections/{quote(connection, safe='')}"
    signer = RequestSigner("execute-api", "eu-central-1", host)
    lines = signer.headers(method, path, body, NOW.timestamp()).split("\r\n")
    ours = dict(line.split(": ", 1) for line in lines if line)
    request = AWSRequest(method, f"https://{host}{path}", data=body)
    botocore.auth.SigV4Auth(boto_credentials(session_token), "execute-api", "eu-central-1").add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")


def test_the_signing_key_is_kept_for_a_day_and_credentials_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "first")
    signer, now = RequestSigner("execute-api", "eu-central-1", "h"), NOW.timestamp()
    first = signer.headers("POST", "/", b"", now)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "second")
    assert signer.headers("POST", "/", b"", now + 0.5) == first
    rotated = signer.headers("POST", "/", b"", now + 1)
    assert rotated == RequestSigner("execute-api", "eu-central-1", "h").headers("POST", "/", b"", now + 1)
    key = signer._key
    signer.headers("POST", "/", b"", now + 2)
    assert signer._key is key
    signer.headers("POST", "/", b"", now + 86_400)
    assert signer._key != key
