"""What foreign servers, the registry and the secret box promise: the real adapters and their fakes, one suite."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from spandrel.adapters.mcp_client import McpClient
from spandrel.adapters.mcp_registry import McpRegistry
from spandrel.adapters.outbound_faults import Policy
from spandrel.adapters.secret_box import KmsSecretBox, LocalSecretBox
from spandrel.errors import RegistryUnavailableError, SecretsUnavailableError, SecretUnreadableError, ToolCallError
from spandrel.integrations.models import Probe, Reason, RegistryPage, RegistryServer, Target, ToolResult
from spandrel.integrations.ports import McpCaller, McpProber, SecretBox, ServerRegistry
from tests.support.http_server import HttpServer, Received, Reply
from tests.support.mcp_fakes import FakeCaller, FakeProber, FakeRegistry, FakeSecretBox, failing, healthy, tool
from tests.support.mcp_servers import json_reply, modern

TIMEOUT = 10.0


@dataclass
class World:
    """A server that is well with a tool `echo`, one that fails, and a way to look at and call them."""

    prober: McpProber
    caller: McpCaller
    well: Target
    ill: Target


def _called(asked: dict[str, Any]) -> dict[str, Any]:
    if asked["params"]["name"] != "echo":
        return {"error": {"code": -32602, "message": "unknown tool"}}
    return {"content": [{"type": "text", "text": asked["params"]["arguments"]["text"]}]}


@pytest.fixture(params=["real", "fake"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "fake":
        well, ill = Target("https://well.example/mcp"), Target("https://ill.example/mcp")
        prober = FakeProber({well.url: healthy(tool("echo")), ill.url: failing(Reason.SERVER_ERROR)})
        yield World(prober, FakeCaller({"echo": lambda given: ToolResult(given["text"], False)}), well, ill)
        return
    client = McpClient(Policy(allow_loopback=True))
    with (
        HttpServer(lambda asked: modern(asked, tools_call=_called)) as good,
        HttpServer(lambda asked: Reply(500)) as bad,
    ):
        yield World(client, client, Target(good.url), Target(bad.url))


def test_a_probe_of_a_server_that_is_well(world: World) -> None:
    found = world.prober.probe(world.well, timeout=TIMEOUT)
    assert found.reason is None
    assert [each.name for each in found.tools] == ["echo"]
    assert (found.era, found.address, found.retry_after) == ("modern", "127.0.0.1", None)
    assert found.detail
    assert found.timings.total > 0


def test_a_probe_of_one_that_is_not(world: World) -> None:
    found = world.prober.probe(world.ill, timeout=TIMEOUT)
    assert (found.reason, found.tools) == (Reason.SERVER_ERROR, ())
    assert found.detail.endswith(".")


def test_a_probe_of_many_gives_each_once(world: World) -> None:
    async def all_of(**more: Any) -> list[tuple[int, Probe]]:
        targets = [(number, world.ill if number % 3 == 0 else world.well) for number in range(10)]
        return [each async for each in world.prober.probe_many(targets, timeout=TIMEOUT, concurrency=3, **more)]

    found = asyncio.run(all_of(deadline=time.monotonic() + 60))
    assert sorted(key for key, _ in found) == list(range(10))
    assert {key for key, probe in found if probe.reason} == {0, 3, 6, 9}
    assert asyncio.run(all_of(deadline=time.monotonic() + TIMEOUT / 2)) == []


def test_a_call(world: World) -> None:
    def call(name: str) -> ToolResult:
        return world.caller.call(world.well, name, {"text": "hello"}, timeout=TIMEOUT, idempotency_key="k")

    assert call("echo") == ToolResult("hello", False)
    with pytest.raises(ToolCallError) as caught:
        call("whale")
    assert caught.value.reason is Reason.PROTOCOL


SERVERS = [
    RegistryServer("org.example/whales", "Whales", "Sings.", "1.2.0", (("streamable_http", "https://a.example/mcp"),)),
    RegistryServer(
        "org.example/whale-watch", None, "", "0.1.0", (("sse", "https://b.example/sse"),), "https://b.example"
    ),
    RegistryServer("org.example/other", None, "No remote.", "2.0.0", ()),
]


def _entry(server: RegistryServer) -> dict[str, Any]:
    """As the official registry gives it."""
    kinds = {"streamable_http": "streamable-http", "sse": "sse"}
    body = {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": server.name,
        "description": server.description,
        "version": server.version,
        "remotes": [{"type": kinds[kind], "url": url} for kind, url in server.remotes],
        "packages": [{"registryType": "npm", "identifier": "@example/x", "transport": {"type": "stdio"}}],
    }
    body |= {"title": server.title} if server.title else {}
    body |= {"websiteUrl": server.website} if server.website else {}
    official = {"status": "active", "isLatest": True, "publishedAt": "2026-01-01T00:00:00Z"}
    return {"server": body, "_meta": {"io.modelcontextprotocol.registry/official": official}}


def registry_answer(request: Received) -> Reply:
    asked = dict(parse_qsl(urlsplit(request.path).query))
    assert urlsplit(request.path).path == "/v0.1/servers"
    assert asked["version"] == "latest"
    found = [each for each in SERVERS if asked.get("search", "") in each.name]
    begin, limit = int(asked.get("cursor", 0)), int(asked["limit"])
    page = found[begin : begin + limit]
    metadata: dict[str, Any] = {"count": len(page)}
    if len(found) > begin + limit:
        metadata["nextCursor"] = str(begin + limit)
    return json_reply({"servers": [_entry(each) for each in page], "metadata": metadata})


@pytest.fixture(params=["real", "fake"])
def registry(request: pytest.FixtureRequest) -> Iterator[ServerRegistry]:
    if request.param == "fake":
        yield FakeRegistry(SERVERS)
        return
    with HttpServer(registry_answer) as server:
        yield McpRegistry(server.url + "/", Policy(allow_loopback=True))


def test_the_registry_is_searched_page_by_page(registry: ServerRegistry) -> None:
    assert registry.search("whale", limit=10, cursor=None) == RegistryPage(tuple(SERVERS[:2]), None)
    first = registry.search("", limit=2, cursor=None)
    assert first.servers == tuple(SERVERS[:2])
    assert first.next_cursor
    assert registry.search("", limit=2, cursor=first.next_cursor) == RegistryPage((SERVERS[2],), None)
    assert registry.search("shark", limit=2, cursor=None) == RegistryPage((), None)


@pytest.mark.parametrize(
    "answer",
    [Reply(500), Reply(200, b"<p>"), Reply(200, b"[]"), json_reply({"servers": 1}), Reply(302, b"", {"location": "/"})],
)
def test_a_registry_that_is_not_well(answer: Reply) -> None:
    with HttpServer(lambda request: answer) as server, pytest.raises(RegistryUnavailableError):
        McpRegistry(server.url, Policy(allow_loopback=True)).search("", limit=5, cursor=None)
    with pytest.raises(RegistryUnavailableError):
        McpRegistry(server.url, Policy(allow_loopback=True)).search("", limit=5, cursor=None)
    with pytest.raises(RegistryUnavailableError):
        McpRegistry(server.url, Policy()).search("", limit=5, cursor=None)


def test_a_registry_s_odd_entries_are_left_out() -> None:
    deleted = _entry(SERVERS[0]) | {"_meta": {"io.modelcontextprotocol.registry/official": {"status": "deleted"}}}
    remotes = [
        {"type": "streamable-http", "url": "https://{tenant}.example/mcp"}, {"type": "websocket", "url": "wss://x"},
        {"type": ["sse"]}, "whale", {"type": "sse"},
    ]  # fmt: skip
    plain = {"server": {"name": "plain", "remotes": remotes}, "_meta": 7}
    unlisted = {"server": {"name": "unlisted", "remotes": 7}}
    body = {"servers": [deleted, plain, unlisted, 7, {"server": {"version": "1"}}, {"whale": 1}], "metadata": []}
    with HttpServer(lambda request: json_reply(body)) as server:
        found = McpRegistry(server.url, Policy(allow_loopback=True)).search("", limit=500, cursor=None)
        assert "limit=100&" in server.received[0].path
    assert found == RegistryPage(
        (RegistryServer("plain", None, "", "", ()), RegistryServer("unlisted", None, "", "", ())), None
    )


CONTEXT = {"user_id": "u1", "integration_id": "i1"}
SECRET = b"s3cret whale song"


def _kms() -> Iterator[SecretBox]:
    import boto3
    from moto import mock_aws

    with mock_aws():
        key = boto3.client("kms", region_name="us-east-1").create_key()["KeyMetadata"]["KeyId"]
        yield KmsSecretBox(key)


def _local() -> Iterator[SecretBox]:
    yield LocalSecretBox(base64.b64encode(os.urandom(32)).decode())


def _fake() -> Iterator[SecretBox]:
    yield FakeSecretBox()


@pytest.fixture(params=[_kms, _local, _fake], ids=["kms", "local", "fake"])
def box(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretBox]:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    make: Callable[[], Iterator[SecretBox]] = request.param
    yield from make()


def test_a_secret_comes_back(box: SecretBox, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for secret in (SECRET, "ü{}".encode() * 300):
            sealed = box.seal(secret, CONTEXT)
            assert secret not in sealed
            assert box.open(sealed, dict(reversed(CONTEXT.items()))) == secret
    assert SECRET.decode() not in f"{caplog.text} {box!r} {box.__dict__!r}"


def test_it_opens_in_its_own_place_alone(box: SecretBox) -> None:
    sealed = box.seal(SECRET, CONTEXT)
    for context in ({}, CONTEXT | {"integration_id": "i2"}, {"user_id": "u1"}, CONTEXT | {"more": "x"}):
        with pytest.raises(SecretUnreadableError) as caught:
            box.open(sealed, context)
        assert SECRET.decode() not in repr(caught.value)


def test_what_was_changed_does_not_open(box: SecretBox) -> None:
    sealed = box.seal(SECRET, CONTEXT)
    for bad in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:-5], b""):
        with pytest.raises(SecretUnreadableError):
            box.open(bad, CONTEXT)


def test_what_another_version_sealed_does_not_open_on_one_machine() -> None:
    box = LocalSecretBox(base64.b64encode(b"k" * 32).decode())
    sealed = box.seal(SECRET, CONTEXT)
    for bad in (b"\x02" + sealed[1:], b"\x01whale", sealed[:13], sealed[:14]):
        with pytest.raises(SecretUnreadableError):
            box.open(bad, CONTEXT)


def test_one_secret_sealed_twice_does_not_look_the_same() -> None:
    box = LocalSecretBox(base64.b64encode(b"k" * 32).decode())
    assert box.seal(SECRET, CONTEXT) != box.seal(SECRET, CONTEXT)


@pytest.mark.parametrize("key", ["", "whale", base64.b64encode(b"k" * 16).decode()])
def test_a_key_of_another_length_is_no_key(key: str) -> None:
    with pytest.raises(SecretsUnavailableError):
        LocalSecretBox(key)


def test_kms_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError, EndpointConnectionError

    class Away:
        error: Exception = EndpointConnectionError(endpoint_url="kms")

        def encrypt(self, **asked: Any) -> Any:
            raise self.error

        decrypt = encrypt

    box, away = KmsSecretBox("key"), Away()
    monkeypatch.setattr(KmsSecretBox, "_client", away)
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, "Encrypt")
    for error in (away.error, denied):
        away.error = error
        for use in (lambda: box.seal(SECRET, CONTEXT), lambda: box.open(b"x", CONTEXT)):
            with pytest.raises(SecretsUnavailableError) as caught:
                use()
            assert caught.value.__cause__ is None
