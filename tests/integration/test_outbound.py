"""Nothing that a user or a server says makes us call an address inside: a listener on loopback sees nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from spandrel.adapters import background
from spandrel.adapters.mcp_client import McpClient
from spandrel.adapters.outbound_faults import Fault, Policy
from spandrel.adapters.outbound_http import fetch, retry_after
from spandrel.adapters.outbound_network import resolve
from spandrel.adapters.outbound_tls import context
from spandrel.errors import ToolCallError
from spandrel.integrations.models import OAuthClientCredentials, Reason, Target
from tests.support.http_server import HttpServer, Received, Reply
from tests.support.mcp_servers import RawServer, json_reply, modern, silence
from tests.support.ssrf import ANSWERS, HOSTS, URLS

TIMEOUT = 5.0


@pytest.fixture(scope="module")
def canary() -> Iterator[RawServer]:
    """Listens where nobody may come."""
    with RawServer(silence) as server:
        yield server
        assert server.connections == 0


@pytest.fixture(scope="module")
def client() -> McpClient:
    """As it is deployed: this machine is not allowed, the system's resolver answers."""
    return McpClient(Policy())


@pytest.mark.parametrize("host", HOSTS)
def test_no_spelling_of_an_inside_address_is_called(client: McpClient, canary: RawServer, host: str) -> None:
    found = client.probe(Target(f"https://{host}:{canary.port}/mcp"), timeout=TIMEOUT)
    assert (found.reason, found.address) == (Reason.ADDRESS_FORBIDDEN, None), found.detail
    assert canary.connections == 0


@pytest.mark.parametrize("url", URLS)
def test_no_odd_url_is_called(client: McpClient, canary: RawServer, url: str) -> None:
    target = Target(url.format(port=canary.port))
    found = client.probe(target, timeout=TIMEOUT)
    assert (found.reason, found.address) == (Reason.ADDRESS_FORBIDDEN, None), found.detail
    with pytest.raises(ToolCallError) as caught:
        client.call(target, "echo", {}, timeout=TIMEOUT, idempotency_key="k")
    assert caught.value.reason is Reason.ADDRESS_FORBIDDEN
    assert canary.connections == 0


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
@pytest.mark.parametrize("allow_loopback", [False, True])
def test_one_bad_answer_of_dns_refuses_the_name(canary: RawServer, answer: list[str], allow_loopback: bool) -> None:
    async def dns(host: str, port: int) -> list[str]:
        return answer

    client = McpClient(Policy(allow_loopback=allow_loopback, resolve=dns))
    found = client.probe(Target(f"https://whales.example.org:{canary.port}/mcp"), timeout=TIMEOUT)
    assert (found.reason, found.address) == (Reason.ADDRESS_FORBIDDEN, None)
    assert canary.connections == 0


def test_the_address_that_was_vetted_is_the_one_that_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that would lead inside at its second look-up is looked up once, and not by whoever dials."""
    from spandrel.adapters import outbound_network

    asked, dialled = [], []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["1.1.1.1"] if len(asked) == 1 else ["127.0.0.1"]

    async def dial(address: str, port: int, timeout: float | None) -> Any:
        dialled.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(outbound_network, "_dial", dial)
    client = McpClient(Policy(resolve=rebinding))
    target = Target("https://whales.example.org/mcp")
    assert client.probe(target, timeout=TIMEOUT).reason is Reason.REFUSED
    assert client.probe(target, timeout=TIMEOUT).reason is Reason.ADDRESS_FORBIDDEN
    assert dialled == ["1.1.1.1"]


def test_of_several_addresses_the_next_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    from spandrel.adapters import outbound_network

    dialled = []

    async def three(host: str, port: int) -> list[str]:
        return ["1.1.1.1", "1.0.0.1", "2606:4700::1111"]

    async def dial(address: str, port: int, timeout: float | None) -> Any:
        dialled.append((address, timeout))
        raise {1: TimeoutError, 2: ConnectionRefusedError, 3: OSError}[len(dialled)]

    monkeypatch.setattr(outbound_network, "_dial", dial)
    found = McpClient(Policy(resolve=three)).probe(Target("https://whales.example.org/"), timeout=TIMEOUT)
    assert found.reason is Reason.CONNECTION
    assert dialled == [("1.1.1.1", 3.0), ("1.0.0.1", 3.0), ("2606:4700::1111", None)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("inside", ["https://127.0.0.2:{port}/", "http://10.0.0.1/", "//[::ffff:127.0.0.1]:{port}/"])
def test_no_redirect_leads_inside(canary: RawServer, status: int, inside: str) -> None:
    location = inside.format(port=canary.port)
    with HttpServer(lambda request: Reply(status, b"", {"location": location})) as server:
        found = McpClient(Policy(allow_loopback=True)).probe(Target(server.url), timeout=TIMEOUT)
    assert found.reason is Reason.ADDRESS_FORBIDDEN
    assert canary.connections == 0


@pytest.mark.parametrize("status", [301, 303, 307, 308])
def test_no_redirect_leads_to_another_port_of_this_machine(canary: RawServer, status: int) -> None:
    location = f"http://127.0.0.1:{canary.port}/"
    with HttpServer(lambda request: Reply(status, b"", {"location": location})) as server:
        found = McpClient(Policy(allow_loopback=True)).probe(Target(server.url), timeout=TIMEOUT)
    assert found.reason is Reason.REDIRECT
    assert canary.connections == 0


def oauth(**more: Any) -> OAuthClientCredentials:
    return OAuthClientCredentials("id", "the-client-secret", **more)


def test_no_token_url_leads_inside(client: McpClient, canary: RawServer) -> None:
    async def public(host: str, port: int) -> list[str]:
        return ["1.1.1.1"]

    outside = McpClient(Policy(resolve=public))
    for host in HOSTS:
        auth = oauth(token_url=f"https://{host}:{canary.port}/token")
        found = outside.probe(Target("https://whales.example.org/", auth=auth), timeout=TIMEOUT)
        assert found.reason is Reason.ADDRESS_FORBIDDEN, (host, found.detail)
    assert canary.connections == 0


@pytest.mark.parametrize("inside", ["https://127.0.0.2:{port}", "https://10.0.0.1", "https://metadata.google.internal"])
@pytest.mark.parametrize("where", ["hint", "issuer", "token_endpoint"])
def test_no_metadata_leads_inside(canary: RawServer, where: str, inside: str) -> None:
    place = inside.format(port=canary.port)
    server: HttpServer

    def answer(request: Received) -> Reply:
        here = server.url
        if request.path.startswith("/.well-known/oauth-protected-resource"):
            issuer = place if where == "issuer" else here
            found = {"resource": f"{here}/mcp", "authorization_servers": [issuer]}
            return Reply(404) if where == "hint" else json_reply(found)
        if request.path.startswith("/.well-known/oauth-authorization-server"):
            return json_reply({"issuer": here, "token_endpoint": f"{place}/token"})
        challenge = f'Bearer resource_metadata="{place}/metadata"'
        return Reply(401, b"", {"www-authenticate": challenge} if where == "hint" else {})

    with HttpServer(answer) as server:
        target = Target(f"{server.url}/mcp", auth=oauth())
        found = McpClient(Policy(allow_loopback=True)).probe(target, timeout=TIMEOUT)
    assert found.reason is Reason.ADDRESS_FORBIDDEN, found.detail
    assert canary.connections == 0


def test_an_endpoint_of_sse_on_another_origin_gets_no_message(canary: RawServer) -> None:
    body = f"event: endpoint\ndata: http://127.0.0.1:{canary.port}/messages\n\n".encode()
    with HttpServer(lambda request: Reply(200, body, {"content-type": "text/event-stream"})) as server:
        target = Target(server.url, transport="sse")
        assert McpClient(Policy(allow_loopback=True)).probe(target, timeout=1.0).reason is not None
    assert canary.connections == 0


def test_no_proxy_of_the_environment_is_used(canary: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    with HttpServer(modern) as server:
        assert McpClient(Policy(allow_loopback=True)).probe(Target(server.url), timeout=TIMEOUT).reason is None
    assert canary.connections == 0


def test_the_host_is_told_by_its_name() -> None:
    with HttpServer(modern) as server:
        target = Target(f"http://localhost:{server.port}/mcp")
        assert McpClient(Policy(allow_loopback=True)).probe(target, timeout=TIMEOUT).reason is None
    assert {each.headers["host"] for each in server.received} == {f"localhost:{server.port}"}
    assert {each.headers["accept-encoding"] for each in server.received} == {"identity"}


def test_the_system_s_resolver() -> None:
    assert "127.0.0.1" in asyncio.run(resolve("localhost", 80))
    with pytest.raises(UnicodeError):
        asyncio.run(resolve("whales..invalid", 80))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), ("", None), ("17", 17.0), ("0", 0.0), ("-1", None), ("inf", None), ("nan", None), ("whale", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 2015 07:28:00", None),
    ],
)  # fmt: skip
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_one_request_outside_of_mcp_follows_no_redirect() -> None:
    with HttpServer(lambda request: Reply(302, json.dumps({}).encode(), {"location": "/there"})) as server:
        found = background.run(fetch(Policy(allow_loopback=True), context(), "GET", server.url))
        assert (found.status, len(server.received)) == (302, 1)
    with pytest.raises(Fault) as caught:
        background.run(fetch(Policy(), context(), "GET", "https://exa mple.org"))
    assert caught.value.reason is Reason.ADDRESS_FORBIDDEN
