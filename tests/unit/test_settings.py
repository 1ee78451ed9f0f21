from __future__ import annotations

import pytest

from spandrel.settings import ChatSettings, SettingsError, load

URL = {"SPANDREL_DATABASE_URL": "postgresql:///spandrel"}


def test_a_database_address_is_all_that_must_be_given() -> None:
    found = load(URL)
    assert found.database.url == URL["SPANDREL_DATABASE_URL"]
    assert (found.embedding.model, found.embedding.dimensions) == ("text-embedding-3-small", 1536)
    assert (found.embedding.base_url, found.embedding.api_key, found.embedding.timeout) == (None, None, 20.0)
    assert (found.storage.max_upload_bytes, found.storage.link_seconds) == (50 * 2**20, 900)
    assert (found.chat.model, found.chat.timeout, found.chat.context_tokens) == ("gpt-5.6-luna", 60.0, 128_000)
    assert (found.chat.base_url, found.chat.api_key, found.chat.api_key_secret_arn) == (None, None, None)
    assert found.prices is None
    assert (found.realtime.websocket_url, found.realtime.event_days) == ("", 30)


@pytest.mark.parametrize("env", [{}, {"SPANDREL_DATABASE_URL": ""}, {"SPANDREL_DATABASE_HOST": ""}])
def test_without_a_database_it_says_what_to_set(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="SPANDREL_DATABASE_URL, or SPANDREL_DATABASE_HOST"):
        load(env)


def test_a_host_means_iam_authentication_at_rds() -> None:
    found = load({"SPANDREL_DATABASE_HOST": "db.example.com"}).database
    assert (found.url, found.host, found.port, found.name) == (None, "db.example.com", 5432, "spandrel")
    assert found.ssl_root_cert == "/opt/certs/rds.pem"


@pytest.mark.parametrize(
    ("host", "told", "proxy"),
    [
        ("spandrel.abc123.eu-central-1.rds.amazonaws.com", "false", False),
        ("spandrel.abc123.eu-central-1.rds.amazonaws.com", "true", True),
        ("shared.proxy-abc123.eu-central-1.rds.amazonaws.com", "false", True),
        ("Shared.Proxy-abc123.eu-central-1.rds.amazonaws.com", "", True),
        ("team.endpoint.proxy-abc123.cn-north-1.rds.amazonaws.com.cn", "false", True),
        ("my.proxy-db.abc123.eu-central-1.rds.amazonaws.com", "false", False),
        ("pooler.example.com", "true", True),
    ],
)
def test_a_proxy_of_rds_is_known_by_its_host(host: str, told: str, proxy: bool) -> None:
    env = {"SPANDREL_DATABASE_HOST": host, "SPANDREL_DATABASE_PROXY": told}
    assert load(env).database.proxy is proxy


@pytest.mark.parametrize(
    "name",
    [
        "SPANDREL_DATABASE_PORT",
        "SPANDREL_EMBEDDING_DIMENSIONS",
        "SPANDREL_EMBEDDING_TIMEOUT_SECONDS",
        "SPANDREL_MAX_UPLOAD_BYTES",
        "SPANDREL_LINK_SECONDS",
        "SPANDREL_CHAT_TIMEOUT_SECONDS",
        "SPANDREL_CHAT_CONTEXT_TOKENS",
        "SPANDREL_EVENT_DAYS",
    ],
)
def test_a_number_that_is_none_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be a whole number, not 'many'"):
        load(URL | {name: "many"})


def test_every_variable_arrives_where_it_belongs() -> None:
    found = load(
        {
            "SPANDREL_DATABASE_HOST": "host",
            "SPANDREL_DATABASE_PORT": "5433",
            "SPANDREL_DATABASE_NAME": "name",
            "SPANDREL_DATABASE_PROXY": "True",
            "SPANDREL_DATABASE_SSL_ROOT_CERT": "roots.pem",
            "SPANDREL_DATABASE_ADMIN_SECRET_ARN": "admin",
            "AWS_REGION": "eu-central-1",
            "SPANDREL_EMBEDDING_MODEL": "model",
            "SPANDREL_EMBEDDING_DIMENSIONS": "64",
            "SPANDREL_EMBEDDING_TIMEOUT_SECONDS": "5",
            "OPENAI_BASE_URL": "http://localhost",
            "OPENAI_API_KEY": "key",
            "SPANDREL_OPENAI_SECRET_ARN": "secret",
            "SPANDREL_BUCKET": "bucket",
            "SPANDREL_DOCUMENT_QUEUE_URL": "queue",
            "SPANDREL_MAX_UPLOAD_BYTES": "7",
            "SPANDREL_LINK_SECONDS": "8",
            "SPANDREL_CHAT_MODEL": "talker",
            "SPANDREL_CHAT_TIMEOUT_SECONDS": "9",
            "SPANDREL_CHAT_CONTEXT_TOKENS": "10",
            "SPANDREL_PRICES": "{}",
        }
    )
    assert found.chat == ChatSettings("talker", "http://localhost", "key", "secret", 9.0, 10)
    assert found.prices == "{}"
    database, embedding, storage = found.database, found.embedding, found.storage
    assert (database.host, database.port, database.name, database.region) == ("host", 5433, "name", "eu-central-1")
    assert (database.proxy, database.ssl_root_cert, database.admin_secret_arn) == (True, "roots.pem", "admin")
    assert (embedding.model, embedding.dimensions, embedding.timeout) == ("model", 64, 5.0)
    assert (embedding.base_url, embedding.api_key, embedding.api_key_secret_arn) == (
        "http://localhost",
        "key",
        "secret",
    )
    assert (storage.bucket, storage.queue_url, storage.max_upload_bytes, storage.link_seconds) == (
        "bucket",
        "queue",
        7,
        8,
    )


@pytest.mark.parametrize(
    ("env", "region"),
    [({}, "us-east-1"), ({"AWS_DEFAULT_REGION": "b"}, "b"), ({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, "a")],
)
def test_the_region_is_the_function_s_own(env: dict[str, str], region: str) -> None:
    assert load(URL | env).database.region == region


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANDREL_DATABASE_URL", "postgresql:///here")
    assert load().database.url == "postgresql:///here"
