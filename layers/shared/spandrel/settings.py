"""The environment, read once into typed values. Nothing else in the layer looks at `os.environ`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import msgspec

# An instance's host has its account's mark where a proxy's has "proxy-" before it.
_RDS_PROXY = re.compile(r".+\.proxy-[a-z0-9]+\.[a-z0-9-]+\.rds\.amazonaws\.com(\.cn)?", re.IGNORECASE)


class SettingsError(Exception):
    """An environment variable is missing or has a value that cannot be used."""


class DatabaseSettings(msgspec.Struct, frozen=True):
    """Where Postgres is. Either `url` (local run, a database with its own passwords) or host, port and name with
    IAM. `proxy`: what answers there hands each transaction to any of its connections.
    """

    url: str | None
    host: str | None
    port: int
    name: str
    region: str
    proxy: bool
    ssl_root_cert: str
    admin_secret_arn: str | None = None


class EmbeddingSettings(msgspec.Struct, frozen=True):
    """The embedding model and the provider's address (`base_url` None: the provider's own)."""

    model: str
    dimensions: int
    base_url: str | None
    api_key: str | None
    api_key_secret_arn: str | None
    timeout: float


class ChatSettings(msgspec.Struct, frozen=True):
    """The language model that answers where nothing else is named, at the same provider as the embeddings.

    `timeout`: seconds without a byte after which a request is given up. `context_tokens`: what a request may hold.
    """

    model: str
    base_url: str | None
    api_key: str | None
    api_key_secret_arn: str | None
    timeout: float
    context_tokens: int


class StorageSettings(msgspec.Struct, frozen=True):
    """The bucket of documents, the queue of the ingest function, and what a browser may upload (bytes).

    `endpoint_url`: where S3 is emulated.
    """

    bucket: str
    queue_url: str
    max_upload_bytes: int
    link_seconds: int
    endpoint_url: str | None = None


class TurnQueueSettings(msgspec.Struct, frozen=True):
    """The FIFO queue of turns; `endpoint_url` where it is not the one that its own URL names."""

    url: str
    region: str
    endpoint_url: str | None


class RealtimeSettings(msgspec.Struct, frozen=True):
    """The live feed: the queue that says who has news, and the gateway's management API of connections.

    `websocket_url`: where clients connect. `event_days`: how long events are kept.
    `rate` (messages a second) and `burst` are the account's quota there, which one process must not go beyond.
    """

    queue_url: str
    connections_url: str
    region: str
    endpoint_url: str | None
    websocket_url: str = ""
    event_days: int = 30
    rate: int = 10_000
    burst: int = 5_000


class IntegrationSettings(msgspec.Struct, frozen=True):
    """Servers that users name. `kms_key_id` seals their secrets, or on one machine `secret_key` (base64, 32 bytes).

    `allow_loopback` is for the one-machine run alone. `registry_url`: the MCP registry that is searched.
    `check_concurrency`: servers looked at at once.
    """

    kms_key_id: str | None
    secret_key: str | None
    allow_loopback: bool
    registry_url: str
    check_concurrency: int = 100


class Settings(msgspec.Struct, frozen=True):
    database: DatabaseSettings
    embedding: EmbeddingSettings
    storage: StorageSettings
    chat: ChatSettings
    turn_queue: TurnQueueSettings
    realtime: RealtimeSettings
    integrations: IntegrationSettings
    prices: str | None  # a price table in JSON, put over our own (usage/prices.py)


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    raw = env.get(name, "")
    try:
        return int(raw) if raw else default
    except ValueError:
        raise SettingsError(f"{name} must be a whole number, not {raw!r}") from None


def load(env: Mapping[str, str] | None = None) -> Settings:
    """Reads `env` (the process environment by default). Raises `SettingsError` naming the variable at fault."""
    env = os.environ if env is None else env
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    return Settings(
        database=_database(env, region),
        embedding=_embedding(env),
        storage=StorageSettings(
            bucket=env.get("SPANDREL_BUCKET", ""),
            queue_url=env.get("SPANDREL_DOCUMENT_QUEUE_URL", ""),
            max_upload_bytes=_number(env, "SPANDREL_MAX_UPLOAD_BYTES", 50 * 1024 * 1024),
            link_seconds=_number(env, "SPANDREL_LINK_SECONDS", 900),
            endpoint_url=env.get("AWS_ENDPOINT_URL") or None,
        ),
        chat=_chat(env),
        turn_queue=TurnQueueSettings(
            url=env.get("SPANDREL_TURN_QUEUE_URL", ""),
            region=region,
            endpoint_url=env.get("AWS_ENDPOINT_URL") or None,
        ),
        realtime=RealtimeSettings(
            queue_url=env.get("SPANDREL_BROADCAST_QUEUE_URL", ""),
            connections_url=env.get("SPANDREL_CONNECTIONS_URL", ""),
            region=region,
            endpoint_url=env.get("AWS_ENDPOINT_URL") or None,
            websocket_url=env.get("SPANDREL_WEBSOCKET_URL", ""),
            event_days=_number(env, "SPANDREL_EVENT_DAYS", 30),
            rate=_number(env, "SPANDREL_CONNECTIONS_RATE", 10_000),
            burst=_number(env, "SPANDREL_CONNECTIONS_BURST", 5_000),
        ),
        integrations=IntegrationSettings(
            kms_key_id=env.get("SPANDREL_KMS_KEY_ID") or None,
            secret_key=env.get("SPANDREL_SECRET_KEY") or None,
            allow_loopback=env.get("SPANDREL_ALLOW_LOOPBACK", "").lower() == "true",
            registry_url=env.get("SPANDREL_REGISTRY_URL") or "https://registry.modelcontextprotocol.io",
            check_concurrency=_number(env, "SPANDREL_HEALTH_CHECK_CONCURRENCY", 100),
        ),
        prices=env.get("SPANDREL_PRICES") or None,
    )


def _database(env: Mapping[str, str], region: str) -> DatabaseSettings:
    url, host = env.get("SPANDREL_DATABASE_URL") or None, env.get("SPANDREL_DATABASE_HOST") or None
    if url is None and host is None:
        raise SettingsError("set SPANDREL_DATABASE_URL, or SPANDREL_DATABASE_HOST for IAM authentication")
    return DatabaseSettings(
        url=url,
        host=host,
        port=_number(env, "SPANDREL_DATABASE_PORT", 5432),
        name=env.get("SPANDREL_DATABASE_NAME") or "spandrel",
        region=region,
        proxy=env.get("SPANDREL_DATABASE_PROXY", "").lower() == "true" or bool(_RDS_PROXY.fullmatch(host or "")),
        ssl_root_cert=env.get("SPANDREL_DATABASE_SSL_ROOT_CERT") or "/opt/certs/rds.pem",
        admin_secret_arn=env.get("SPANDREL_DATABASE_ADMIN_SECRET_ARN") or None,
    )


def _embedding(env: Mapping[str, str]) -> EmbeddingSettings:
    return EmbeddingSettings(
        model=env.get("SPANDREL_EMBEDDING_MODEL") or "text-embedding-3-small",
        dimensions=_number(env, "SPANDREL_EMBEDDING_DIMENSIONS", 1536),
        base_url=env.get("OPENAI_BASE_URL") or None,
        api_key=env.get("OPENAI_API_KEY") or None,
        api_key_secret_arn=env.get("SPANDREL_OPENAI_SECRET_ARN") or None,
        timeout=float(_number(env, "SPANDREL_EMBEDDING_TIMEOUT_SECONDS", 20)),
    )


def _chat(env: Mapping[str, str]) -> ChatSettings:
    return ChatSettings(
        model=env.get("SPANDREL_CHAT_MODEL") or "gpt-5.6-luna",
        base_url=env.get("OPENAI_BASE_URL") or None,
        api_key=env.get("OPENAI_API_KEY") or None,
        api_key_secret_arn=env.get("SPANDREL_OPENAI_SECRET_ARN") or None,
        timeout=float(_number(env, "SPANDREL_CHAT_TIMEOUT_SECONDS", 60)),
        context_tokens=_number(env, "SPANDREL_CHAT_CONTEXT_TOKENS", 128_000),
    )
