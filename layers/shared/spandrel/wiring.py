"""The composition root: the one module that knows features and adapters both. Everything is made at first use and
kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from spandrel.database import Database
from spandrel.settings import Settings, SettingsError, load

if TYPE_CHECKING:
    from spandrel.knowledge.collections import Collections
    from spandrel.knowledge.documents import Documents
    from spandrel.knowledge.ingest.ingest import Ingest
    from spandrel.knowledge.ports import Embedder, ObjectStore, Queue
    from spandrel.knowledge.purge import Purge
    from spandrel.knowledge.search.search import Search
    from spandrel.knowledge.upkeep import Upkeep
    from spandrel.schema import SchemaResource
    from spandrel.templates.templates import Templates

APP_ROLE = "spandrel_app"
SYSTEM_ROLE = "spandrel_system"


@lru_cache(maxsize=1)
def settings() -> Settings:
    return load()


@lru_cache(maxsize=2)
def database(role: str) -> Database:
    found = settings().database
    if found.url is not None:
        return Database(found, role)
    from spandrel.adapters.rds import iam_token

    return Database(found, role, lambda user: iam_token(found, user))


@lru_cache(maxsize=1)
def embedder() -> Embedder:
    from spandrel.adapters.openai_embeddings import OpenAIEmbedder

    return OpenAIEmbedder(settings().embedding, _openai_api_key)


def _openai_api_key() -> str:
    found = settings().embedding
    if found.api_key is None and found.api_key_secret_arn is not None:
        from spandrel.adapters.secrets import read_secret

        return read_secret(found.api_key_secret_arn, settings().database.region)
    return found.api_key or "none"  # a server of one's own may ask for no key, but the client insists


@lru_cache(maxsize=1)
def objects() -> ObjectStore:
    from spandrel.adapters.s3 import S3ObjectStore

    return S3ObjectStore(settings().storage)


@lru_cache(maxsize=1)
def queue() -> Queue:
    from spandrel.adapters.sqs import SqsQueue

    return SqsQueue(settings().storage.queue_url)


@lru_cache(maxsize=1)
def search() -> Search:
    from spandrel.knowledge.search.search import Search

    return Search(database(APP_ROLE), embedder)


@lru_cache(maxsize=1)
def collections() -> Collections:
    from spandrel.knowledge.collections import Collections

    return Collections(database(APP_ROLE), queue())


@lru_cache(maxsize=1)
def documents() -> Documents:
    from spandrel.knowledge.documents import Documents

    return Documents(database(APP_ROLE), objects(), queue())


@lru_cache(maxsize=1)
def ingest() -> Ingest:
    from spandrel.knowledge.ingest.ingest import Ingest

    return Ingest(database(SYSTEM_ROLE), objects(), embedder(), queue())


@lru_cache(maxsize=1)
def purge() -> Purge:
    from spandrel.knowledge.purge import Purge

    return Purge(database(SYSTEM_ROLE), objects())


@lru_cache(maxsize=1)
def upkeep() -> Upkeep:
    from spandrel.knowledge.upkeep import Upkeep

    return Upkeep(database(SYSTEM_ROLE), objects(), queue())


@lru_cache(maxsize=1)
def templates() -> Templates:
    from spandrel.templates.templates import Templates

    return Templates(database(APP_ROLE))


@lru_cache(maxsize=1)
def schema_resource() -> SchemaResource:
    from spandrel.schema import SchemaResource, ensure_embedding_space

    embedding = settings().embedding
    return SchemaResource(
        _admin_conninfo, lambda conninfo: ensure_embedding_space(conninfo, embedding.model, embedding.dimensions)
    )


def _admin_conninfo() -> str:
    """The administrator's connection: migrations go to the instance itself, not through a proxy."""
    found = settings().database
    if found.url is not None:
        return found.url
    import json

    from psycopg.conninfo import make_conninfo

    from spandrel.adapters.secrets import read_secret

    if found.admin_secret_arn is None:
        raise SettingsError("set SPANDREL_DATABASE_ADMIN_SECRET_ARN to the secret of the database's administrator")
    secret = json.loads(read_secret(found.admin_secret_arn, found.region))
    return make_conninfo(
        host=found.host,
        port=found.port,
        dbname=found.name,
        user=secret["username"],
        password=secret["password"],
        sslmode="verify-full",
        sslrootcert=found.ssl_root_cert,
        connect_timeout=10,
    )


def schema_version() -> int:
    """The database's schema version. Raises `SchemaVersionError` or `DatabaseUnavailableError`."""
    [row] = database(APP_ROLE).run(b"SELECT version FROM schema_version")
    return int(row["version"])
