"""One suite a port, run against the real adapter and the fake alike: what holds for one holds for the other."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import boto3
import pytest
import requests
from moto import mock_aws

from spandrel.adapters.openai_embeddings import OpenAIEmbedder
from spandrel.adapters.s3 import DELETE_BATCH, S3ObjectStore
from spandrel.adapters.sqs import SqsQueue
from spandrel.errors import (
    DocumentTooLargeError,
    EmbeddingRejectedError,
    EmbeddingUnavailableError,
    NotFoundError,
    StorageUnavailableError,
)
from spandrel.knowledge.models import Link, UploadForm
from spandrel.knowledge.ports import Embedder, ObjectStore, Queue
from spandrel.settings import EmbeddingSettings, StorageSettings
from tests.support.fakes import FakeEmbedder, FakeObjectStore, FakeQueue, bag_of_words
from tests.support.http_server import HttpServer, Received, Reply

LIMIT = 1000


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


# -- ObjectStore


class Bucket(Protocol):
    """A store, and what its clients do with the forms and links that it gives."""

    store: ObjectStore

    def send(self, form: UploadForm, data: bytes) -> str:
        """The version that the upload made."""

    def fetch(self, link: Link) -> bytes: ...

    def break_down(self) -> None: ...


class RealBucket:
    def __init__(self) -> None:
        self._client = boto3.client("s3")
        self._client.create_bucket(Bucket="documents", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        self._client.put_bucket_versioning(Bucket="documents", VersioningConfiguration={"Status": "Enabled"})
        self.store: ObjectStore = S3ObjectStore(StorageSettings("documents", "", LIMIT, 900))

    def send(self, form: UploadForm, data: bytes) -> str:
        requests.post(form.url, data=form.fields, files={"file": data}, timeout=5).raise_for_status()
        return str(self._client.head_object(Bucket="documents", Key=form.fields["key"])["VersionId"])

    def fetch(self, link: Link) -> bytes:
        answer = requests.get(link.url, timeout=5)
        answer.raise_for_status()
        return answer.content

    def break_down(self) -> None:
        self.store = S3ObjectStore(StorageSettings("no-such-bucket", "", LIMIT, 900))


class FakeBucket:
    def __init__(self) -> None:
        self._fake = FakeObjectStore(LIMIT)
        self.store: ObjectStore = self._fake

    def send(self, form: UploadForm, data: bytes) -> str:
        return str(self._fake.put(form.fields["key"], data)["object"]["version-id"])

    def fetch(self, link: Link) -> bytes:
        return self._fake.read(link.url.removeprefix("https://memory.example/"), None)

    def break_down(self) -> None:
        self._fake.broken = True


@pytest.fixture(params=[RealBucket, FakeBucket])
def bucket(request: pytest.FixtureRequest, aws: None) -> Bucket:
    made: Bucket = request.param()
    return made


def upload(bucket: Bucket, key: str, data: bytes) -> str:
    return bucket.send(bucket.store.presign_upload(key, None), data)


def test_what_was_uploaded_is_read(bucket: Bucket) -> None:
    upload(bucket, "documents/a", b"whales")
    assert bucket.store.read("documents/a", None) == b"whales"


def test_a_version_is_read_though_a_newer_one_came(bucket: Bucket) -> None:
    old = upload(bucket, "documents/a", b"old")
    new = upload(bucket, "documents/a", b"new")
    assert [bucket.store.read("documents/a", version) for version in (old, new, None)] == [b"old", b"new", b"new"]


def test_what_is_not_there_is_not_found(bucket: Bucket) -> None:
    with pytest.raises(NotFoundError):
        bucket.store.read("documents/a", None)


def test_a_deleted_object_is_gone_in_every_version(bucket: Bucket) -> None:
    versions = [upload(bucket, "documents/a", data) for data in (b"one", b"two")]
    bucket.store.delete(["documents/a"])
    for version in (*versions, None):
        with pytest.raises(NotFoundError):
            bucket.store.read("documents/a", version)


def test_an_object_whose_key_begins_alike_stays(bucket: Bucket) -> None:
    upload(bucket, "documents/a", b"one")
    upload(bucket, "documents/ab", b"two")
    bucket.store.delete(["documents/a"])
    assert bucket.store.read("documents/ab", None) == b"two"


def test_deleting_what_is_not_there_is_no_error(bucket: Bucket) -> None:
    bucket.store.delete(["documents/a", "documents/b"])
    bucket.store.delete([])


def test_keys_are_listed_in_order_a_stretch_at_a_time(bucket: Bucket) -> None:
    for key in ("documents/b", "documents/a", "other/c", "documents/c"):
        upload(bucket, key, b"x")
    upload(bucket, "documents/a", b"again")
    assert bucket.store.keys("documents/", "", 2) == ["documents/a", "documents/b"]
    assert bucket.store.keys("documents/", "documents/b", 2) == ["documents/c"]
    assert bucket.store.keys("documents/", "documents/c", 2) == []


def test_keys_of_a_bucket_that_is_broken_are_not_to_be_had(bucket: Bucket) -> None:
    bucket.break_down()
    with pytest.raises(StorageUnavailableError):
        bucket.store.keys("documents/", "", 2)


def test_a_file_over_the_limit_is_refused(bucket: Bucket) -> None:
    upload(bucket, "documents/a", b"x" * (LIMIT + 1))
    with pytest.raises(DocumentTooLargeError):
        bucket.store.read("documents/a", None)


def test_a_form_names_its_key_limit_and_end(bucket: Bucket) -> None:
    form = bucket.store.presign_upload("documents/a", "text/markdown")
    assert form.fields["key"] == "documents/a"
    assert form.fields["Content-Type"] == "text/markdown"
    assert form.max_bytes == LIMIT
    assert timedelta(minutes=14) < form.expires_at - datetime.now(UTC) <= timedelta(minutes=15)


def test_a_link_gives_the_object(bucket: Bucket) -> None:
    upload(bucket, "documents/a", b"whales")
    assert bucket.fetch(bucket.store.presign_download("documents/a", 'ein "Wal".md')) == b"whales"


def test_a_store_that_is_away_says_so(bucket: Bucket) -> None:
    bucket.break_down()
    with pytest.raises(StorageUnavailableError):
        bucket.store.read("documents/a", None)
    with pytest.raises(StorageUnavailableError):
        bucket.store.delete(["documents/a"])


# -- of S3 alone


def policy(form: UploadForm) -> list[Any]:
    conditions: list[Any] = json.loads(base64.b64decode(form.fields["policy"]))["conditions"]
    return conditions


def test_the_policy_of_a_form_binds_key_type_and_size(aws: None) -> None:
    form = RealBucket().store.presign_upload("documents/a", "text/markdown")
    assert ["content-length-range", 1, LIMIT] in policy(form)
    assert {"Content-Type": "text/markdown"} in policy(form)
    assert {"key": "documents/a"} in policy(form)


def test_links_name_the_region_of_the_bucket(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """s3.amazonaws.com redirects in a new bucket's first hours, and no browser follows that with a form."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    store = S3ObjectStore(StorageSettings("documents", "", LIMIT, 900))
    for url in (store.presign_upload("documents/a", None).url, store.presign_download("documents/a", "a").url):
        assert url.startswith("https://documents.s3.eu-central-1.amazonaws.com/")


def test_a_link_saves_the_file_under_its_own_name(aws: None) -> None:
    url = RealBucket().store.presign_download("documents/a", 'ein "Wal"/ü.md').url
    assert "attachment%3B%20filename%2A%3DUTF-8%27%27ein%2520%2522Wal%2522%252F%25C3%25BC.md" in url


def test_more_versions_than_one_request_takes_are_all_deleted(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from spandrel.adapters import s3

    assert DELETE_BATCH == 1000
    monkeypatch.setattr(s3, "DELETE_BATCH", 2)
    bucket = RealBucket()
    for n in range(5):
        upload(bucket, "documents/a", str(n).encode())
    bucket.store.delete(["documents/a"])
    assert boto3.client("s3").list_object_versions(Bucket="documents").get("Versions", []) == []


def test_an_unreachable_s3_is_told(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = S3ObjectStore(StorageSettings("documents", "", LIMIT, 900))
    with pytest.raises(StorageUnavailableError):
        store.read("documents/a", None)
    with pytest.raises(StorageUnavailableError):
        store.delete(["documents/a"])


# -- Queue


class Messages(Protocol):
    queue: Queue

    def received(self) -> list[Any]: ...

    def break_down(self) -> None: ...


class RealMessages:
    def __init__(self) -> None:
        self._client = boto3.client("sqs")
        self._url = self._client.create_queue(QueueName="documents")["QueueUrl"]
        self.queue: Queue = SqsQueue(self._url)

    def received(self) -> list[Any]:
        found = self._client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]

    def break_down(self) -> None:
        self.queue = SqsQueue(f"{self._url}-gone")


class FakeMessages:
    def __init__(self) -> None:
        self._fake = FakeQueue()
        self.queue: Queue = self._fake

    def received(self) -> list[Any]:
        return [body for body, delay in zip(self._fake.messages, self._fake.delays, strict=True) if not delay]

    def break_down(self) -> None:
        self._fake.broken = True


@pytest.fixture(params=[RealMessages, FakeMessages])
def messages(request: pytest.FixtureRequest, aws: None) -> Messages:
    made: Messages = request.param()
    return made


def test_a_message_arrives_as_it_was_sent(messages: Messages) -> None:
    messages.queue.send({"source": "spandrel", "detail": {"word": "Wörter", "n": 1}})
    assert messages.received() == [{"source": "spandrel", "detail": {"word": "Wörter", "n": 1}}]


@pytest.mark.parametrize("delay", [1, 900, 100_000, 30.7])
def test_a_delayed_message_does_not_arrive_at_once(messages: Messages, delay: float) -> None:
    messages.queue.send({"n": 1}, delay)
    assert messages.received() == []


def test_a_delay_of_less_than_a_second_is_none(messages: Messages) -> None:
    messages.queue.send({"n": 1}, 0.5)
    assert messages.received() == [{"n": 1}]


def test_a_queue_that_is_away_says_so(messages: Messages) -> None:
    messages.break_down()
    with pytest.raises(StorageUnavailableError):
        messages.queue.send({"n": 1})


# -- Embedder


def encoded(texts: list[str], dimensions: int = 64) -> Reply:
    """As OpenAI answers a request for base64."""
    vectors = [base64.b64encode(struct.pack(f"<{dimensions}f", *bag_of_words(text, dimensions))) for text in texts]
    data = [{"object": "embedding", "index": n, "embedding": vector.decode()} for n, vector in enumerate(vectors)]
    tokens = sum(len(text.split()) for text in texts)
    body = {"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return Reply(200, json.dumps(body).encode(), {"content-type": "application/json"})


def failed(status: int, headers: dict[str, str] | None = None, code: str | None = None) -> Reply:
    body = {"error": {"message": "no", "type": "error", "code": code}}
    return Reply(status, json.dumps(body).encode(), {"content-type": "application/json"} | (headers or {}))


class Provider(Protocol):
    embedder: Embedder

    def fail(self, error: EmbeddingUnavailableError | EmbeddingRejectedError) -> None:
        """Makes the next request end so."""


class RealProvider:
    def __init__(self, server: HttpServer, **settings: Any) -> None:
        self.server = server
        self._replies: list[Reply] = []
        server.answer = self._answer
        made = {"model": "m", "dimensions": 64, "base_url": f"{server.url}/v1", "api_key": None}
        made |= {"api_key_secret_arn": None, "timeout": 0.5}
        self.embedder: Embedder = OpenAIEmbedder(EmbeddingSettings(**made | settings), lambda: "sk-hush")

    def _answer(self, request: Received) -> Reply:
        return self._replies.pop(0) if self._replies else encoded(json.loads(request.body)["input"])

    def reply(self, reply: Reply) -> None:
        self._replies.append(reply)

    def fail(self, error: EmbeddingUnavailableError | EmbeddingRejectedError) -> None:
        if isinstance(error, EmbeddingRejectedError):
            self.reply(failed(401))
        else:
            self.reply(failed(429, {"retry-after": str(error.retry_after)} if error.retry_after else None))


class FakeProvider:
    def __init__(self, server: HttpServer) -> None:
        self._fake = FakeEmbedder("m")
        self.embedder: Embedder = self._fake

    def fail(self, error: EmbeddingUnavailableError | EmbeddingRejectedError) -> None:
        self._fake.failures.append(error)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(lambda request: Reply(404)) as found:
        yield found


@pytest.fixture(params=[RealProvider, FakeProvider])
def provider(request: pytest.FixtureRequest, server: HttpServer) -> Provider:
    made: Provider = request.param(server)
    return made


def test_a_vector_a_text_in_order(provider: Provider) -> None:
    texts = ["whales sing", "sharks", "", "whales sing"]
    vectors, tokens = provider.embedder.embed(texts)
    assert tokens == 5  # both count words
    assert [vector.dimensions for vector in vectors] == [provider.embedder.dimensions] * 4
    for text, vector in zip(texts, vectors, strict=True):
        assert vector.to_list() == pytest.approx(bag_of_words(text), abs=1e-3)


def test_a_provider_over_its_limits_is_unavailable_for_as_long_as_it_says(provider: Provider) -> None:
    provider.fail(EmbeddingUnavailableError(retry_after=7))
    with pytest.raises(EmbeddingUnavailableError) as caught:
        provider.embedder.embed(["a"])
    assert caught.value.retry_after == 7
    assert len(provider.embedder.embed(["a"]).vectors) == 1


def test_a_provider_that_refuses_is_not_asked_again(provider: Provider) -> None:
    provider.fail(EmbeddingRejectedError())
    with pytest.raises(EmbeddingRejectedError):
        provider.embedder.embed(["a"])


# -- of OpenAI's API alone


@pytest.fixture
def openai(server: HttpServer) -> RealProvider:
    return RealProvider(server)


@pytest.mark.parametrize("status", [500, 502, 503, 408, 409, 429])
def test_what_may_pass_is_unavailable(openai: RealProvider, status: int) -> None:
    openai.reply(failed(status))
    with pytest.raises(EmbeddingUnavailableError) as caught:
        openai.embedder.embed(["a"])
    assert caught.value.retry_after is None
    assert len(openai.server.received) == 1  # waiting is the caller's, who knows for how long


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_will_not_pass_is_rejected(openai: RealProvider, status: int) -> None:
    openai.reply(failed(status))
    with pytest.raises(EmbeddingRejectedError):
        openai.embedder.embed(["a"])


def test_a_used_up_quota_is_not_waited_for(openai: RealProvider) -> None:
    openai.reply(failed(429, {"retry-after": "1"}, code="insufficient_quota"))
    with pytest.raises(EmbeddingRejectedError, match="quota"):
        openai.embedder.embed(["a"])


@pytest.mark.parametrize("value", ["soon", "nan", "inf", "-5", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_retry_after_that_is_no_time_is_ignored(openai: RealProvider, value: str) -> None:
    openai.reply(failed(429, {"retry-after": value}))
    with pytest.raises(EmbeddingUnavailableError) as caught:
        openai.embedder.embed(["a"])
    assert caught.value.retry_after is None


def test_a_provider_that_hangs_is_unavailable(openai: RealProvider) -> None:
    import threading

    release = threading.Event()

    def hang(request: Received) -> Reply:
        release.wait(5)
        return Reply(500)

    openai.server.answer = hang
    with pytest.raises(EmbeddingUnavailableError):
        openai.embedder.embed(["a"])
    release.set()


def test_a_provider_that_is_not_there_is_unavailable(server: HttpServer) -> None:
    provider = RealProvider(server, base_url="http://127.0.0.1:1/v1")
    with pytest.raises(EmbeddingUnavailableError):
        provider.embedder.embed(["a"])


def test_too_few_vectors_are_refused(openai: RealProvider) -> None:
    openai.reply(encoded(["a"]))
    with pytest.raises(EmbeddingRejectedError, match="1 vectors for 2 texts"):
        openai.embedder.embed(["a", "b"])


def test_vectors_of_other_dimensions_are_refused(openai: RealProvider) -> None:
    openai.reply(encoded(["a"], dimensions=32))
    with pytest.raises(EmbeddingRejectedError, match="gives 32 dimensions; this deployment is set to 64"):
        openai.embedder.embed(["a"])


JSON = {"content-type": "application/json"}
NAN = base64.b64encode(struct.pack("<64f", *[float("nan")] * 64)).decode()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>hello</html>", {"content-type": "text/html"}),
        Reply(200, b"{not json", JSON),
        Reply(200, b"[]", JSON),
        Reply(200, b"{}", JSON),
        Reply(200, b'{"data": null}', JSON),
        Reply(200, b'{"data": [{"embedding": "?"}]}', JSON),
        Reply(200, b'{"data": [{"embedding": "AAA="}]}', JSON),
        Reply(200, b'{"data": [{"embedding": null}]}', JSON),
        Reply(200, f'{{"data": [{{"embedding": "{NAN}"}}]}}'.encode(), JSON),
    ],
)
def test_garbage_is_refused(openai: RealProvider, reply: Reply) -> None:
    openai.reply(reply)
    with pytest.raises(EmbeddingRejectedError):
        openai.embedder.embed(["a"])


def test_vectors_as_plain_numbers_are_taken_too(openai: RealProvider) -> None:
    body = {"data": [{"object": "embedding", "index": 0, "embedding": bag_of_words("a")}]}
    openai.reply(Reply(200, json.dumps(body).encode(), JSON))
    [vector], tokens = openai.embedder.embed(["a"])
    assert tokens == 0  # not every server says
    assert vector.to_list() == pytest.approx(bag_of_words("a"), abs=1e-3)


@pytest.mark.parametrize(("model", "dimensions"), [("text-embedding-3-small", 64), ("nomic-embed-text", None)])
def test_shorter_vectors_are_asked_of_models_that_can(server: HttpServer, model: str, dimensions: int | None) -> None:
    provider = RealProvider(server, model=model)
    provider.embedder.embed(["a"])
    [request] = server.received
    asked = json.loads(request.body)
    assert request.path == "/v1/embeddings"
    assert (asked["model"], asked["encoding_format"], asked.get("dimensions")) == (model, "base64", dimensions)
    assert request.headers["authorization"] == "Bearer sk-hush"


def test_the_key_is_in_no_error(openai: RealProvider) -> None:
    for status in (401, 429):
        openai.reply(failed(status))
        with pytest.raises((EmbeddingRejectedError, EmbeddingUnavailableError)) as caught:
            openai.embedder.embed(["a"])
        assert "sk-hush" not in f"{caught.value!r} {caught.value.__cause__!r}"
