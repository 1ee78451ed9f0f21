"""What stands outside, made from the settings: the database, models, the bucket and the queues."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from spandrel.database import Database
from spandrel.settings import Settings, load

if TYPE_CHECKING:
    from spandrel.adapters.sqs_news import SqsNews
    from spandrel.chat.ports import ChatModel
    from spandrel.knowledge.ports import Embedder, ObjectStore, Queue
    from spandrel.sessions.ports import TurnQueue


@lru_cache(maxsize=1)
def settings() -> Settings:
    return load()


@lru_cache(maxsize=2)
def database(role: str) -> Database:
    found, told = settings().database, news if settings().realtime.queue_url else None
    if found.url is not None:
        return Database(found, role, news=told)
    from spandrel.adapters.rds import iam_token

    return Database(found, role, lambda user: iam_token(found, user), told)


@lru_cache(maxsize=1)
def news() -> SqsNews:
    from spandrel.adapters.sqs_news import SqsNews

    return SqsNews(settings().realtime)


@lru_cache(maxsize=1)
def embedder() -> Embedder:
    from spandrel.adapters.openai_embeddings import OpenAIEmbedder

    return OpenAIEmbedder(settings().embedding, _openai_api_key)


def _openai_api_key() -> str:
    found = settings().embedding
    if found.api_key is None and found.api_key_secret_arn is not None:
        from spandrel.adapters.secrets import read_secret

        return _api_key_in(read_secret(found.api_key_secret_arn, settings().database.region))
    return found.api_key or "none"  # a server of one's own may ask for no key, but the client insists


def _api_key_in(secret: str) -> str:
    """The secret itself, or what it names `api_key`: Secrets Manager's console makes JSON of what is typed there."""
    import msgspec

    try:
        named = msgspec.json.decode(secret)
    except msgspec.DecodeError:
        return secret.strip()
    return str(named["api_key"]) if isinstance(named, dict) and "api_key" in named else secret.strip()


@lru_cache(maxsize=1)
def chat_model() -> ChatModel:
    from spandrel.adapters.openai_chat import OpenAIChatModel

    return OpenAIChatModel(settings().chat, _openai_api_key, _count_tokens)


def _count_tokens(text: str) -> int:
    from spandrel.knowledge.ingest.tokens import count

    return count(text)


@lru_cache(maxsize=1)
def objects() -> ObjectStore:
    from spandrel.adapters.s3 import S3ObjectStore

    return S3ObjectStore(settings().storage)


@lru_cache(maxsize=1)
def queue() -> Queue:
    from spandrel.adapters.sqs import SqsQueue

    return SqsQueue(settings().storage.queue_url)


@lru_cache(maxsize=1)
def turn_queue() -> TurnQueue:
    from spandrel.adapters.sqs_fifo import SqsFifoQueue

    return SqsFifoQueue(settings().turn_queue)
