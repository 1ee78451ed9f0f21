"""Real MCP servers, well and ill: each is found to be what it is."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from spandrel.adapters import outbound_tls
from spandrel.adapters.mcp_client import McpClient
from spandrel.adapters.outbound_faults import Policy
from spandrel.integrations.models import BearerAuth, HeaderAuth, Probe, Reason, Target
from tests.support.certificates import DAY, Issued, issue
from tests.support.http_server import HttpServer, Received, Reply
from tests.support.mcp_cases import ILL, paged, squeezed
from tests.support.mcp_servers import RawServer, SdkServer, modern, reference_server, saying, silence

TIMEOUT = 10.0
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n"


@pytest.fixture(scope="module")
def client() -> McpClient:
    return McpClient(Policy(allow_loopback=True))


@pytest.fixture(scope="module")
def root() -> Issued:
    return issue("Whale Root", authority=True)


def probe_of(client: McpClient, answer: Any, **more: Any) -> Probe:
    with HttpServer(answer) as server:
        return client.probe(Target(f"{server.url}/mcp", **more), timeout=more.pop("timeout", TIMEOUT))


@pytest.mark.parametrize("json_response", [False, True])
def test_a_modern_server_of_the_sdk(client: McpClient, json_response: bool) -> None:
    with SdkServer(json_response=json_response) as server:
        found = client.probe(Target(server.url), timeout=TIMEOUT)
    assert found.reason is None, found.detail
    assert (found.era, found.protocol_version) == ("modern", "2026-07-28")
    assert (found.server_name, found.server_version, found.address) == ("whales", "1.2.3", "127.0.0.1")
    assert "tools" in found.capabilities
    tools = {tool.name: tool for tool in found.tools}
    assert set(tools) == {"echo", "fails", "slow", "big", "mixed", "weigh", "key"}
    assert tools["echo"].description == "Says it back."
    assert tools["echo"].input_schema["required"] == ["text"]
    assert tools["weigh"].output_schema is not None
    assert [method for method, _ in server.requests] == ["POST", "POST"]
    timings = found.timings
    assert None not in (timings.dns, timings.connect, timings.negotiate, timings.tools)
    assert timings.tls is None


def test_a_legacy_server_of_the_sdk(client: McpClient) -> None:
    with SdkServer(era="legacy") as server:
        found = client.probe(Target(server.url), timeout=TIMEOUT)
    assert found.reason is None, found.detail
    assert (found.era, found.protocol_version, found.server_name) == ("legacy", "2025-11-25", "whales")
    assert len(found.tools) == 7
    assert [method for method, _ in server.requests][-1] == "DELETE"  # the session that it opened is closed


def test_an_old_server_over_sse(client: McpClient) -> None:
    with SdkServer(transport="sse") as server:
        found = client.probe(Target(server.url, transport="sse"), timeout=TIMEOUT)
    assert found.reason is None, found.detail
    assert (found.era, found.server_name, len(found.tools)) == ("legacy", "whales", 7)


def test_the_reference_server_of_npm(client: McpClient) -> None:
    with reference_server() as url:
        found = client.probe(Target(url), timeout=30)
        called = client.call(Target(url), "echo", {"message": "hello"}, timeout=30, idempotency_key="k")
    assert found.reason is None, found.detail
    assert found.era == "legacy"
    assert "echo" in {tool.name for tool in found.tools}
    assert called.text == "Echo: hello"
    address = urlsplit(url)
    with pytest.raises(ConnectionRefusedError):  # it has ended, and not only what started it
        socket.create_connection((address.hostname, address.port), 1)


def test_tools_that_change_as_the_server_runs(client: McpClient) -> None:
    with SdkServer() as server:
        before = client.probe(Target(server.url), timeout=TIMEOUT)
        server.server.remove_tool("echo")

        def echo(words: str, loud: bool) -> str:
            return words

        server.server.add_tool(echo)
        after = client.probe(Target(server.url), timeout=TIMEOUT)
    [old], [new] = ([each for each in found.tools if each.name == "echo"] for found in (before, after))
    assert old.input_schema != new.input_schema


@pytest.mark.parametrize("case", ILL)
def test_an_ill_server_is_told_by_its_reason(client: McpClient, case: str) -> None:
    answer, reason = ILL[case]
    patience = 2.0 if reason is Reason.TIMEOUT else TIMEOUT
    with HttpServer(answer) as server:
        found = client.probe(Target(f"{server.url}/mcp"), timeout=patience)
    assert found.reason is reason, found.detail
    assert found.detail.endswith((".", "empty"))
    assert found.tools == ()
    if "in the place of tools" in case:  # what was known by then is kept
        assert (found.era, found.protocol_version) == ("modern", "2026-07-28")


def test_a_server_that_says_when_to_come_back(client: McpClient) -> None:
    found = probe_of(client, lambda request: Reply(429, b"", {"retry-after": "17"}))
    assert found.retry_after == 17.0


def test_healthy_servers_of_odd_kinds(client: McpClient) -> None:
    assert probe_of(client, squeezed).reason is None
    assert len(probe_of(client, paged).tools) == 1000
    without = {"supportedVersions": ["2026-07-28"], "capabilities": {}}
    unknown = {"error": {"code": -32601, "message": "Method not found"}}
    none = probe_of(client, lambda request: modern(request, server_discover=without, tools_list=unknown))
    assert (none.reason, none.tools, none.server_name) == (None, (), None)
    twice = {"name": "a", "inputSchema": {"type": "object"}, "annotations": {"title": "A", "readOnlyHint": True}}
    [tool] = probe_of(client, lambda request: modern(request, tools=[twice, twice])).tools
    assert (tool.title, tool.annotations) == ("A", {"title": "A", "readOnlyHint": True})


def test_a_redirect_within_the_origin_is_followed(client: McpClient) -> None:
    def answer(request: Received) -> Reply:
        return modern(request) if request.path == "/mcp/" else Reply(308, b"", {"location": "/mcp/"})

    assert probe_of(client, answer).reason is None


def test_nobody_listens(client: McpClient) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/mcp"
    found = client.probe(Target(url), timeout=TIMEOUT)
    assert (found.reason, found.timings.connect) == (Reason.REFUSED, None)


def test_a_name_that_is_not_known() -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    async def nothing(host: str, port: int) -> list[str]:
        return []

    for resolve in (unknown, nothing):
        found = McpClient(Policy(resolve=resolve)).probe(Target("https://whales.example.org/mcp"), timeout=TIMEOUT)
        assert (found.reason, found.address) == (Reason.DNS, None)


def test_dns_that_does_not_answer() -> None:
    async def slow(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    found = McpClient(Policy(resolve=slow)).probe(Target("https://whales.example.org/mcp"), timeout=0.3)
    assert (found.reason, found.detail) == (Reason.TIMEOUT, "DNS did not answer in time.")


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (silence, "did not answer"),
        (saying(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"), "did not answer"),
        (saying(JSON_HEAD), "did not answer"),
        (saying(JSON_HEAD, *[b" "] * 50, every=0.05), "did not answer"),
        (saying(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", *[b": ping\n\n"] * 50, every=0.05), ""),
    ],
    ids=["accepts only", "half a head", "head only", "drips", "pings only"],
)
def test_a_server_that_hangs_is_given_up_in_time(client: McpClient, behave: Any, said: str) -> None:
    with RawServer(behave) as server:
        found = client.probe(Target(server.url), timeout=0.6)
    assert found.reason is Reason.TIMEOUT
    assert said in found.detail


def test_a_server_that_hangs_in_the_handshake(client: McpClient) -> None:
    with RawServer(silence) as server:
        found = client.probe(Target(server.url.replace("http:", "https:")), timeout=1.0)
    assert (found.reason, found.detail) == (Reason.TIMEOUT, "The TLS handshake did not end in time.")


def test_a_server_that_hangs_after_the_handshake(client: McpClient, root: Issued, tmp_path: Path) -> None:
    context = issue("whales", ("127.0.0.1",), by=root).context(tmp_path)
    with RawServer(silence, context) as server:
        found = client.probe(Target(server.url, ca_certificate=root.pem), timeout=2.0)
    assert found.reason is Reason.TIMEOUT
    assert found.tls is not None  # what was seen by then is kept
    assert found.timings.tls is not None


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (saying(then=0), Reason.CONNECTION),
        (saying(b"HTTP/1.1 200 OK\r\ncontent-le", then=0), Reason.CONNECTION),
        (saying(JSON_HEAD, b"{", then=0), Reason.CONNECTION),
        (saying(b"SSH-2.0-OpenSSH_9\r\n", then=0.2), Reason.NOT_MCP),
        (saying(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"w" * 200_000 + b"\r\n\r\n"), Reason.NOT_MCP),
    ],
    ids=["closes", "closes in the head", "closes in the body", "another protocol", "headers without end"],
)
def test_a_connection_that_ends_badly(client: McpClient, behave: Any, reason: Reason) -> None:
    with RawServer(behave) as server:
        assert client.probe(Target(server.url), timeout=5).reason is reason


class TestTls:
    @pytest.fixture
    def serve(self, tmp_path: Path) -> Iterator[Any]:
        servers = []

        def begin(issued: Issued) -> str:
            server = HttpServer(modern, context=issued.context(tmp_path))
            server.__enter__()
            servers.append(server)
            return f"{server.url}/mcp"

        yield begin
        for server in servers:
            server.__exit__(None, None, None)

    def test_a_private_authority_that_is_known(self, client: McpClient, root: Issued, tmp_path: Path) -> None:
        files = issue("whales", ("127.0.0.1",), by=root).write(tmp_path)
        with SdkServer(chain=files) as server:
            found = client.probe(Target(server.url, ca_certificate=root.pem), timeout=TIMEOUT)
        assert found.reason is None, found.detail
        assert found.tls is not None
        assert [each.subject for each in found.tls.chain] == ["CN=whales", "CN=Whale Root"]
        assert found.tls.days_left == 89
        assert found.tls.version == "TLSv1.3"
        assert found.timings.tls is not None
        assert len(found.tls.chain[0].sha256) == 64

    def test_the_certificate_of_the_chain_that_ends_first_counts(
        self, client: McpClient, root: Issued, serve: Any
    ) -> None:
        between = issue("Between", by=root, authority=True, ends=5 * DAY)
        url = serve(issue("whales", ("127.0.0.1",), by=between))
        found = client.probe(Target(url, ca_certificate=root.pem), timeout=TIMEOUT)
        assert found.reason is None, found.detail
        assert found.tls is not None
        assert (len(found.tls.chain), found.tls.days_left) == (3, 4)

    @pytest.mark.parametrize("case", ["self-signed", "unknown authority", "expired", "not yet", "wrong name"])
    def test_a_certificate_that_is_refused_is_shown_all_the_same(
        self, client: McpClient, root: Issued, serve: Any, case: str
    ) -> None:
        names = ("127.0.0.1",)
        issued, known, reason = {
            "self-signed": (issue("whales", names), None, Reason.TLS_UNTRUSTED),
            "unknown authority": (issue("whales", names, by=root), None, Reason.TLS_UNTRUSTED),
            "expired": (
                issue("whales", names, by=root, begins=-9 * DAY, ends=-2 * DAY), root.pem, Reason.TLS_EXPIRED,
            ),
            "not yet": (issue("whales", names, by=root, begins=DAY), root.pem, Reason.TLS_EXPIRED),
            "wrong name": (issue("whales", ("whales.example",), by=root), root.pem, Reason.TLS_NAME),
        }[case]  # fmt: skip
        found = client.probe(Target(serve(issued), ca_certificate=known), timeout=TIMEOUT)
        assert found.reason is reason, found.detail
        assert found.tls is not None
        assert found.tls.chain[0].subject == "CN=whales"
        assert found.tls.days_left < 0 if case == "expired" else found.tls.days_left > 80

    def test_a_private_authority_stands_beside_the_public_ones(
        self, client: McpClient, root: Issued, serve: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        private, public = issue("Other Root", authority=True), outbound_tls.context(root.pem)
        contexts = {None: public, private.pem: outbound_tls.context(private.pem)}
        monkeypatch.setattr(outbound_tls, "context", lambda ca_certificate=None: contexts[ca_certificate])
        for by in (root, private):
            url = serve(issue("whales", ("127.0.0.1",), by=by))
            assert client.probe(Target(url, ca_certificate=private.pem), timeout=TIMEOUT).reason is None
        url = serve(issue("whales", ("127.0.0.1",)))
        found = client.probe(Target(url, ca_certificate=private.pem), timeout=TIMEOUT)
        assert found.reason is Reason.TLS_UNTRUSTED

    def test_what_does_not_speak_tls(self, client: McpClient) -> None:
        with HttpServer(modern) as server:
            found = client.probe(Target(server.url.replace("http:", "https:")), timeout=TIMEOUT)
        assert found.reason is Reason.TLS

    def test_a_server_that_closes_in_the_handshake(self, client: McpClient) -> None:
        async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)

        with RawServer(closes) as server:
            assert client.probe(Target(server.url.replace("http:", "https:")), timeout=5).reason is Reason.TLS

    def test_a_private_authority_that_is_no_certificate(self, client: McpClient) -> None:
        for text in ("whale", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "ü"):
            found = client.probe(Target("https://127.0.0.1:1/mcp", ca_certificate=text), timeout=TIMEOUT)
            assert (found.reason, found.tls) == (Reason.TLS, None)


class TestCredentials:
    SECRET = "s3cret-whale-song"

    @pytest.mark.parametrize(
        ("auth", "headers"),
        [
            (BearerAuth(SECRET), {"authorization": f"Bearer {SECRET}"}),
            (HeaderAuth("X-Api-Key", SECRET), {"x-api-key": SECRET}),
        ],
    )
    @pytest.mark.parametrize("transport", ["streamable_http", "sse"])
    def test_they_open_the_server_and_appear_nowhere(
        self, client: McpClient, caplog: pytest.LogCaptureFixture, auth: Any, headers: dict[str, str], transport: Any
    ) -> None:
        with caplog.at_level(logging.DEBUG), SdkServer(headers=headers, transport=transport) as server:
            target = Target(server.url, auth=auth, transport=transport)
            well = client.probe(target, timeout=TIMEOUT)
            ill = client.probe(Target(server.url, transport=transport), timeout=TIMEOUT)
        assert well.reason is None, well.detail
        assert ill.reason is Reason.AUTH_REQUIRED
        assert self.SECRET not in f"{well} {ill} {target!r} {caplog.text}"

    def test_a_server_that_says_them_back(self, client: McpClient, caplog: pytest.LogCaptureFixture) -> None:
        def parrot(request: Received) -> Reply:
            said = {"error": {"code": 1, "message": f"bad {request.headers['authorization']}"}}
            return modern(request, tools_list=said)

        with caplog.at_level(logging.DEBUG):
            found = probe_of(client, parrot, auth=BearerAuth(self.SECRET))
        assert found.reason is Reason.TOOLS_ERROR
        assert found.detail.endswith("It said: bad Bearer ***")
        assert self.SECRET not in caplog.text

    @pytest.mark.parametrize(
        "auth",
        [BearerAuth("a\r\nhost: b"), BearerAuth("ü"), BearerAuth(" "), HeaderAuth("host", "b"), HeaderAuth("a b", "c")],
    )
    def test_what_cannot_be_sent_is_not(self, client: McpClient, auth: Any) -> None:
        with HttpServer(modern) as server:
            found = client.probe(Target(server.url, auth=auth), timeout=TIMEOUT)
            assert found.reason is Reason.AUTH_REQUIRED
            assert server.received == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda request: Reply(200, b"<p>", {"content-type": "text/html"}), Reason.NOT_MCP),
        (lambda request: Reply(404), Reason.NOT_FOUND),
        (lambda request: Reply(200, b"", {"content-type": "text/event-stream"}), Reason.NOT_MCP),
    ],
    ids=["page", "404", "empty"],
)
def test_ill_servers_over_sse(client: McpClient, answer: Any, reason: Reason) -> None:
    with HttpServer(answer) as server:
        assert client.probe(Target(server.url, transport="sse"), timeout=3).reason is reason


def answering_over_sse(answer: str) -> Any:
    """A server whose stream says `answer` once a message has come."""
    came = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST"):
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            came.set()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: endpoint\ndata: /m\n\n")
            await came.wait()
            writer.write(f"event: message\ndata: {answer}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(3600)

    return behave


def test_a_server_over_sse_that_does_not_agree(client: McpClient) -> None:
    refused = '{"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "too young"}}'
    with RawServer(answering_over_sse(refused)) as server:
        found = client.probe(Target(server.url, transport="sse"), timeout=5)
    assert (found.reason, found.detail) == (Reason.PROTOCOL, "The server did not agree to begin. It said: too young")


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def test_a_connection_that_is_reset(client: McpClient) -> None:
    with RawServer(reset) as server:
        assert client.probe(Target(server.url), timeout=5).reason is Reason.CONNECTION


def test_a_fault_of_our_own_is_said_in_the_log_by_its_kind_alone(
    client: McpClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from spandrel.adapters import mcp_session

    def broken(*given: Any) -> Any:
        raise LookupError("s3cret")

    monkeypatch.setattr(mcp_session, "connected", broken)
    found = client.probe(Target("https://whales.example.org/"), timeout=5)
    assert found.reason is Reason.CONNECTION
    assert caplog.messages == ["a look at a server ended in LookupError"]


async def refuses_messages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if head.startswith(b"POST"):
        writer.write(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n")
    else:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: endpoint\ndata: /there\n\n")
    await writer.drain()
    await asyncio.sleep(3600)


def test_a_server_over_sse_that_takes_no_message(client: McpClient) -> None:
    with RawServer(refuses_messages) as server:
        found = client.probe(Target(server.url, transport="sse"), timeout=5)
    assert found.reason is Reason.SERVER_ERROR, found.detail


async def _all(client: McpClient, targets: Any, **more: Any) -> dict[Any, Probe]:
    options = {"timeout": 5.0, "deadline": time.monotonic() + 60, "concurrency": 8} | more
    return {key: found async for key, found in client.probe_many(targets, **options)}


def test_many_at_once_each_with_its_own_fate(client: McpClient) -> None:
    with HttpServer(modern) as well, RawServer(silence) as hangs, HttpServer(lambda request: Reply(500)) as ill:
        targets = [(n, Target(f"{well.url}/{n}")) for n in range(30)]
        targets.insert(0, ("hangs", Target(hangs.url)))
        targets.insert(9, ("ill", Target(ill.url)))
        found = asyncio.run(_all(client, targets, timeout=1.5, concurrency=4))
    assert found.pop("hangs").reason is Reason.TIMEOUT
    assert found.pop("ill").reason is Reason.SERVER_ERROR
    assert {probe.reason for probe in found.values()} == {None}
    assert set(found) == set(range(30))


def test_none_is_begun_that_could_not_end(client: McpClient) -> None:
    begun = []

    def targets() -> Iterator[tuple[int, Target]]:
        for number in range(5):
            begun.append(number)
            yield number, Target("http://127.0.0.1:1/")

    assert asyncio.run(_all(client, targets(), timeout=5, deadline=time.monotonic() + 1)) == {}
    assert begun == []


def test_a_reader_that_leaves_early_leaves_nothing_running(client: McpClient) -> None:
    async def first() -> int:
        with RawServer(silence) as hangs, HttpServer(modern) as well:
            targets = [(0, Target(hangs.url)), (1, Target(well.url))]
            many = client.probe_many(targets, timeout=30, deadline=time.monotonic() + 60, concurrency=2)
            async for key, _ in many:
                await many.aclose()  # type: ignore[attr-defined]
                await asyncio.sleep(0.1)
                assert len(asyncio.all_tasks()) == 1
                return int(key)
        return -1

    assert asyncio.run(first()) == 1


def test_work_that_does_not_stop_when_told_is_left_behind() -> None:
    from spandrel.adapters.mcp_session import bounded
    from spandrel.adapters.outbound_faults import Fault, Journal

    async def run() -> tuple[BaseException | None, bool]:
        told, let, ended = 0, asyncio.Event(), asyncio.Event()

        async def stubborn() -> None:
            nonlocal told
            while not let.is_set():
                try:
                    await let.wait()
                except asyncio.CancelledError:
                    told += 1
            ended.set()
            raise ValueError("too late")

        error = await bounded(Journal(), stubborn(), 0.2)
        left = told > 0 and not ended.is_set()
        let.set()
        await ended.wait()
        await asyncio.sleep(0)
        return error, left

    error, left = asyncio.run(run())
    assert left
    assert isinstance(error, Fault)
    assert error.reason is Reason.TIMEOUT
