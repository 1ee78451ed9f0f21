"""Tools of real MCP servers, called."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from spandrel.adapters.mcp_client import McpClient
from spandrel.adapters.outbound_faults import Policy
from spandrel.errors import ToolCallError
from spandrel.integrations.models import BearerAuth, OAuthClientCredentials, Reason, Target
from tests.support.authorization_server import AuthorizationServer
from tests.support.http_server import HttpServer, Received, Reply
from tests.support.mcp_cases import REFUSED
from tests.support.mcp_servers import MODERN, RawServer, SdkServer, json_reply, modern, saying, silence

TIMEOUT = 10.0


@pytest.fixture
def client() -> McpClient:
    return McpClient(Policy(allow_loopback=True))


@pytest.mark.parametrize(
    "kind", [{"era": "modern"}, {"era": "legacy"}, {"transport": "sse"}, {"json_response": True}], ids=str
)
def test_results_of_every_kind_of_server(client: McpClient, kind: dict[str, Any]) -> None:
    with SdkServer(**kind) as server:
        target = Target(server.url, kind.get("transport", "streamable_http"))

        def call(tool: str, **arguments: Any) -> Any:
            return client.call(target, tool, arguments, timeout=TIMEOUT, idempotency_key="turn-1-call-2")

        assert call("echo", text="hello") == call("echo", text="hello")
        assert (call("echo", text="hello").text, call("echo", text="hello").is_error) == ("hello", False)
        assert call("key").text == "turn-1-call-2"
        weighed = call("weigh")
        assert (weighed.structured, json.loads(weighed.text)) == ({"tons": 100}, {"tons": 100})
        assert call("fails").is_error
        assert call("mixed").text == (
            "a whale\n\n[Image of type image/png, 6 bytes, not shown.]\n\n"
            "[Resource song at https://whales.example/song]"
        )
        big = call("big", characters=60_000)
        assert len(big.text) < 51_000
        assert big.text.endswith("[Cut here: the first 50,000 of 60,000 characters are shown.]")


def test_a_tool_that_takes_too_long(client: McpClient) -> None:
    with SdkServer() as server, pytest.raises(ToolCallError) as caught:
        client.call(Target(server.url), "slow", {"seconds": 30}, timeout=2.0, idempotency_key="k")
    assert (caught.value.reason, caught.value.detail) == (Reason.TIMEOUT, "The tool did not answer in time.")


def test_a_result_that_is_too_large(client: McpClient) -> None:
    with SdkServer() as server, pytest.raises(ToolCallError) as caught:
        client.call(Target(server.url), "big", {"characters": 5_000_000}, timeout=TIMEOUT, idempotency_key="k")
    assert caught.value.reason is Reason.TOO_LARGE


INPUT_REQUIRED = {"resultType": "input_required", "inputRequests": {}, "requestState": "x"}
ILL: dict[str, tuple[Any, Reason]] = {
    "an error": (REFUSED, Reason.PROTOCOL),
    "no result": ({"whale": True}, Reason.PROTOCOL),
    "more input": (INPUT_REQUIRED, Reason.PROTOCOL),
    "500": (Reply(500), Reason.SERVER_ERROR),
    "404": (Reply(404), Reason.NOT_FOUND),
    "a page": (Reply(200, b"<p>", {"content-type": "text/html"}), Reason.PROTOCOL),
    "401": (Reply(401), Reason.AUTH_REQUIRED),
    "429": (Reply(429, b"", {"retry-after": "3"}), Reason.RATE_LIMITED),
    "an empty stream": (Reply(200, b"", {"content-type": "text/event-stream"}), Reason.PROTOCOL),
    "a stream that breaks off": (
        Reply(200, b'data: {"jsonrpc": "2.0", "method": "notifications/x"}\n\n', {"content-type": "text/event-stream"}),
        Reason.CONNECTION,
    ),
    "away": (Reply(307, b"", {"location": "https://whales.example.org/"}), Reason.REDIRECT),
}


@pytest.mark.parametrize("case", ILL)
def test_a_call_that_has_no_result_says_why(client: McpClient, case: str) -> None:
    answer, reason = ILL[case]
    with (
        HttpServer(lambda request: modern(request, tools_call=answer)) as server,
        pytest.raises(ToolCallError) as caught,
    ):
        client.call(Target(server.url), "echo", {}, timeout=TIMEOUT, idempotency_key="k")
    assert caught.value.reason is reason, caught.value.detail
    assert caught.value.members["reason"] == reason.value
    assert caught.value.retry_after == (3.0 if case == "429" else None)


def test_servers_that_cannot_be_called_at_all(client: McpClient) -> None:
    for behave, reason in ((silence, Reason.TIMEOUT), (saying(then=0), Reason.CONNECTION)):
        with RawServer(behave) as server, pytest.raises(ToolCallError) as caught:
            client.call(Target(server.url), "echo", {}, timeout=0.6, idempotency_key="k")
        assert caught.value.reason is reason
    with HttpServer(lambda request: Reply(404)) as page, pytest.raises(ToolCallError) as caught:
        client.call(Target(page.url), "echo", {}, timeout=TIMEOUT, idempotency_key="k")
    assert caught.value.reason is Reason.NOT_FOUND


def test_arguments_that_go_into_headers(client: McpClient) -> None:
    """A tool's schema may ask for it (`x-mcp-header`); the server refuses the call where it is missing."""
    tool = {
        "name": "sing",
        "inputSchema": {"type": "object", "properties": {"sea": {"type": "string", "x-mcp-header": "Sea"}}},
    }

    def sing(asked: dict[str, Any]) -> Any:
        headers = server.received[-1].headers
        if headers.get("mcp-param-sea") != "north":
            return json_reply(
                {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32020, "message": "mismatch"}}, 400
            )
        return {"content": [{"type": "text", "text": "la"}]}

    with HttpServer(lambda request: modern(request, tools=[tool], tools_call=sing)) as server:
        found = client.call(Target(server.url), "sing", {"sea": "north"}, timeout=TIMEOUT, idempotency_key="k")
    assert found.text == "la"


def test_no_secret_is_told(client: McpClient, caplog: pytest.LogCaptureFixture) -> None:
    secret = "s3cret-whale-song"

    def parrot(request: Received) -> Reply:
        return modern(request, tools_call={"error": {"code": 1, "message": request.headers["authorization"]}})

    with caplog.at_level(logging.DEBUG), HttpServer(parrot) as server, pytest.raises(ToolCallError) as caught:
        client.call(Target(server.url, auth=BearerAuth(secret)), "echo", {}, timeout=TIMEOUT, idempotency_key="k")
    assert caught.value.detail.endswith("It said: Bearer ***")
    assert secret not in f"{caught.value!r} {caught.value.__context__!r} {caplog.text}"


class TestOAuth:
    def test_a_token_is_got_once_and_used_by_probe_and_call(
        self, client: McpClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG), AuthorizationServer() as server:
            target = Target(server.url, auth=server.credentials(token_url=f"{server.origin}/token", scope="sing"))
            assert client.probe(target, timeout=TIMEOUT).reason is None
            assert client.call(target, "echo", {}, timeout=TIMEOUT, idempotency_key="k").text == "done"
            [asked] = server.asked
        assert asked == {"grant_type": "client_credentials", "resource": server.url, "scope": "sing"}
        assert server.secret not in caplog.text
        assert "token-1" not in caplog.text
        assert server.secret not in repr(target)

    @pytest.mark.parametrize("metadata", ["path", "root", "challenge", "openid"])
    def test_the_server_says_where_tokens_are_to_be_had(self, client: McpClient, metadata: Any) -> None:
        with AuthorizationServer(metadata=metadata) as server:
            found = client.probe(Target(server.url, auth=server.credentials()), timeout=TIMEOUT)
        assert found.reason is None, found.detail
        assert len(server.asked) == 1

    def test_a_server_that_takes_the_secret_in_the_body_alone(self, client: McpClient) -> None:
        with AuthorizationServer(methods=["client_secret_post"]) as server:
            assert client.probe(Target(server.url, auth=server.credentials()), timeout=TIMEOUT).reason is None
        assert server.asked[0]["client_secret"] == server.secret

    def test_a_token_that_ended_early_is_renewed_once(self, client: McpClient) -> None:
        with AuthorizationServer() as server:
            target = Target(server.url, auth=server.credentials())
            assert client.probe(target, timeout=TIMEOUT).reason is None
            server.valid.clear()
            assert client.probe(target, timeout=TIMEOUT).reason is None
            assert len(server.asked) == 2
            server.stubborn = True
            server.valid.clear()
            assert client.probe(target, timeout=TIMEOUT).reason is Reason.AUTH_REQUIRED
            assert len(server.asked) == 3

    def test_a_token_that_lasts_shorter_than_a_moment_is_not_kept_for_long(self, client: McpClient) -> None:
        with AuthorizationServer(expires_in=0) as server:
            target = Target(server.url, auth=server.credentials())
            assert client.probe(target, timeout=TIMEOUT).reason is None

    @pytest.mark.parametrize(
        ("answers", "told"),
        [
            ({"/token": Reply(401, b'{"error": "invalid_client"}')}, "(invalid_client)"),
            ({"/token": Reply(400, b"<p>")}, "refused the credentials."),
            ({"/token": Reply(200, b"{}")}, "no bearer token"),
            ({"/token": json_reply({"access_token": "a b", "token_type": "Bearer"})}, "no bearer token"),
            ({"/token": json_reply({"access_token": "ab", "token_type": "mac"})}, "no bearer token"),
            ({"/token": Reply(307, b"", {"location": "https://whales.example.org/"})}, "redirects"),
            ({"authorization-server": Reply(404)}, "no metadata"),
            ({"authorization-server": json_reply({"issuer": "https://other.example"})}, "another issuer"),
            ({"authorization-server": "no endpoint"}, "no token endpoint"),
            ({"protected-resource": json_reply({"resource": "https://other.example"})}, "another resource"),
            ({"protected-resource": "no servers"}, "names no authorization server"),
            ({"protected-resource": Reply(404)}, "does not say where"),
        ],
    )
    def test_what_goes_wrong_there_is_the_authorization_server_s(
        self, client: McpClient, answers: dict[str, Any], told: str
    ) -> None:
        with AuthorizationServer() as server:
            server.answers = answers
            found = client.probe(Target(server.url, auth=server.credentials()), timeout=TIMEOUT)
        assert (found.reason, told in found.detail) == (Reason.AUTH_SERVER, True), found.detail
        assert server.secret not in found.detail

    def test_a_challenge_that_names_what_is_not_there(self, client: McpClient) -> None:
        with AuthorizationServer(metadata="challenge") as server:
            server.answers = {"/elsewhere": Reply(404)}
            found = client.probe(Target(server.url, auth=server.credentials()), timeout=TIMEOUT)
        assert found.reason is Reason.AUTH_SERVER

    def test_an_authorization_server_that_is_away(self, client: McpClient) -> None:
        auth = OAuthClientCredentials("id", "the-client-secret", token_url="http://127.0.0.1:1/token")
        with HttpServer(modern) as server:
            found = client.probe(Target(server.url, auth=auth), timeout=TIMEOUT)
            assert server.received == []
        assert found.reason is Reason.AUTH_SERVER

    def test_a_server_that_asks_for_no_token_gets_none(self, client: McpClient) -> None:
        with HttpServer(lambda request: modern(request) if request.method == "POST" else Reply(404)) as server:
            target = Target(server.url, auth=OAuthClientCredentials("id", "the-client-secret"))
            assert client.probe(target, timeout=TIMEOUT).reason is None

    def test_so_many_tokens_that_the_oldest_go(self, client: McpClient, monkeypatch: pytest.MonkeyPatch) -> None:
        from spandrel.adapters import oauth

        monkeypatch.setattr(oauth, "MAX_TOKENS", 1)
        with AuthorizationServer() as server:
            for scope in "abc":
                auth = server.credentials(scope=scope)
                assert client.probe(Target(server.url, auth=auth), timeout=TIMEOUT).reason is None
        assert len(client._tokens._kept) == 1


def test_the_protocol_of_the_lean_server_is_the_sdk_s() -> None:
    from mcp_types.version import LATEST_MODERN_VERSION

    assert LATEST_MODERN_VERSION == MODERN
