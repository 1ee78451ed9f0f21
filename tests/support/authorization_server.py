"""An MCP server behind OAuth, and its authorization server, on one port."""

from __future__ import annotations

import base64
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, unquote

from spandrel.integrations.models import OAuthClientCredentials
from tests.support.http_server import HttpServer, Received, Reply
from tests.support.mcp_servers import json_reply, modern

Metadata = Literal["path", "root", "challenge", "openid"]


class AuthorizationServer:
    """`asked`: the forms that came to the token endpoint. `valid`: tokens that open the server.

    `answers` by the end of a path stand in the place of the right ones. `stubborn`: no token is good enough.
    """

    secret = "a secret: with % signs"

    def __init__(
        self, *, metadata: Metadata = "path", methods: list[str] | None = None, expires_in: int = 3600
    ) -> None:
        self._metadata, self._methods, self._expires_in = metadata, methods, expires_in
        self.asked: list[dict[str, str]] = []
        self.valid: set[str] = set()
        self.answers: dict[str, Any] = {}
        self.stubborn = False
        self._server = HttpServer(self._answer)
        self.origin = self._server.url
        self.url = f"{self.origin}/mcp"

    def credentials(self, **more: Any) -> OAuthClientCredentials:
        return OAuthClientCredentials("the client", self.secret, **more)

    def _answer(self, request: Received) -> Reply:
        replaced = next((reply for end, reply in self.answers.items() if end in request.path), None)
        if isinstance(replaced, Reply):
            return replaced
        resource = {"resource": self.url, "authorization_servers": [] if replaced == "no servers" else [self.origin]}
        issuer = {"issuer": self.origin}
        if replaced != "no endpoint":
            issuer["token_endpoint"] = f"{self.origin}/token"
        if self._methods:
            issuer["token_endpoint_auth_methods_supported"] = self._methods  # type: ignore[assignment]
        places = {
            "path": "/.well-known/oauth-protected-resource/mcp",
            "root": "/.well-known/oauth-protected-resource",
            "openid": "/.well-known/oauth-protected-resource",
            "challenge": "/elsewhere",
        }
        openid = self._metadata == "openid"
        server = "openid-configuration" if openid else "oauth-authorization-server"
        if request.path == places[self._metadata]:
            return json_reply(resource)
        if request.path == f"/.well-known/{server}":
            return json_reply(issuer)
        if request.path == "/token":
            return self._token(request)
        if request.path != "/mcp":
            return Reply(404)
        if request.headers.get("authorization", "").removeprefix("Bearer ") in self.valid and not self.stubborn:
            return modern(request)
        challenge = f'Bearer realm="x", resource_metadata="{self.origin}/elsewhere"'
        return Reply(401, b"", {"www-authenticate": challenge if self._metadata == "challenge" else "Bearer"})

    def _token(self, request: Received) -> Reply:
        form = dict(parse_qsl(request.body.decode()))
        self.asked.append(form)
        pair = base64.b64decode(request.headers.get("authorization", "").removeprefix("Basic ")).decode()
        client, _, secret = pair.partition(":")
        found = (unquote(client), unquote(secret)) if pair else (form.get("client_id"), form.get("client_secret"))
        if found != ("the client", self.secret):
            return json_reply({"error": "invalid_client"}, 401)
        token = f"token-{len(self.asked)}"
        self.valid.add(token)
        return json_reply({"access_token": token, "token_type": "bearer", "expires_in": self._expires_in})

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, traceback)
