"""Access tokens by OAuth client credentials (RFC 6749 section 4.4), for servers that ask for them.

The SDK's own provider keeps its tokens with one connection and is not told a token endpoint, so the flow stands here:
every URL in it, whether a user gave it or a server did, is vetted like any other. Where no token endpoint is given,
the server names its authorization server (RFC 9728), which names the endpoint (RFC 8414); the client's secret then
goes where the server says, so a token endpoint that is given is the safer choice.
"""

from __future__ import annotations

import json
import ssl
import time
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

from spandrel.adapters.outbound_faults import Fault, Policy
from spandrel.integrations.models import OAuthClientCredentials, Reason

EARLY_SECONDS = 30.0  # a token is renewed before it ends, so that none ends under way
UNSAID_SECONDS = 300.0  # RFC 6749 leaves expires_in to the server
MAX_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    until: float


@dataclass(frozen=True, slots=True)
class _Endpoint:
    url: str
    resource: str
    in_body: bool = False  # client_secret_post, where the server takes nothing else


class Tokens:
    """Tokens of this process. One a server and credentials, kept until it ends."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._kept: dict[bytes, _Token] = {}

    async def token(
        self, url: str, auth: OAuthClientCredentials, context: ssl.SSLContext, *, hint: str | None = None,
        refused: str | None = None,
    ) -> str | None:  # fmt: skip
        """A token for the server at `url`. None: none can be had before the server has named where (`hint`).

        `refused`: a token that the server did not take, which is not given again. Raises `Fault`.
        """
        key = _key(url, auth)
        kept = self._kept.get(key)
        if kept is not None and kept.value != refused and kept.until > time.monotonic():
            return kept.value
        endpoint = await self._endpoint(url, auth, context, hint)
        if endpoint is None:
            return None
        if len(self._kept) >= MAX_TOKENS:
            self._kept.clear()
        made = self._kept[key] = await self._ask(endpoint, auth, context)
        return made.value

    async def _ask(self, endpoint: _Endpoint, auth: OAuthClientCredentials, context: ssl.SSLContext) -> _Token:
        form = {"grant_type": "client_credentials", "resource": endpoint.resource}
        headers = {}
        if auth.scope:
            form["scope"] = auth.scope
        if endpoint.in_body:
            form |= {"client_id": auth.client_id, "client_secret": auth.client_secret}
        else:
            pair = f"{quote(auth.client_id, safe='')}:{quote(auth.client_secret, safe='')}"
            headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        answer = await self._fetch("POST", endpoint.url, context, headers, form)
        body = _object(answer[1])
        if answer[0] != 200:
            code = body.get("error")
            told = f" ({code})" if isinstance(code, str) and code.replace("_", "").isalnum() and len(code) < 40 else ""
            raise Fault(Reason.AUTH_SERVER, f"The token endpoint refused the credentials{told}.")
        value, kind, lasts = body.get("access_token"), body.get("token_type", "Bearer"), body.get("expires_in")
        if not isinstance(value, str) or not _sendable(value) or str(kind).lower() != "bearer":
            raise Fault(Reason.AUTH_SERVER, "The token endpoint sent no bearer token.")
        seconds = float(lasts) if isinstance(lasts, int | float) and lasts > 0 else UNSAID_SECONDS
        return _Token(value, time.monotonic() + max(1.0, seconds - EARLY_SECONDS))

    async def _endpoint(
        self, url: str, auth: OAuthClientCredentials, context: ssl.SSLContext, hint: str | None
    ) -> _Endpoint | None:
        if auth.token_url is not None:
            return _Endpoint(auth.token_url, _resource(url))
        protected = await self._protected_resource(url, context, hint)
        if protected is None:
            return None
        servers = protected.get("authorization_servers")
        issuer = servers[0] if isinstance(servers, list) and servers else None
        if not isinstance(issuer, str):
            raise Fault(Reason.AUTH_SERVER, "The server's metadata names no authorization server.")
        found = await self._authorization_server(issuer, context)
        methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        endpoint = found.get("token_endpoint")
        if not isinstance(endpoint, str) or not isinstance(methods, list):
            raise Fault(Reason.AUTH_SERVER, "The authorization server's metadata names no token endpoint.")
        in_body = "client_secret_basic" not in methods and "client_secret_post" in methods
        return _Endpoint(endpoint, str(protected.get("resource") or _resource(url)), in_body)

    async def _protected_resource(self, url: str, context: ssl.SSLContext, hint: str | None) -> dict[str, Any] | None:
        """RFC 9728 section 3: where the 401 said, or at the well-known places."""
        origin, path = _origin(url), urlsplit(url).path.rstrip("/")
        places = [f"{origin}/.well-known/oauth-protected-resource{tail}" for tail in dict.fromkeys((path, ""))]
        for place in [hint] if hint else places:
            status, body = await self._fetch("GET", place, context)
            found = _object(body) if status == 200 else {}
            if found:
                named = str(found.get("resource", ""))
                # Section 3.3: metadata of another resource must not be used.
                if _origin(named) != origin or not f"{path}/".startswith(urlsplit(named).path.rstrip("/") + "/"):
                    raise Fault(Reason.AUTH_SERVER, "The server's metadata is that of another resource.")
                return found
        if hint:
            raise Fault(Reason.AUTH_SERVER, "The server names its metadata, but not where it can be read.")
        return None

    async def _authorization_server(self, issuer: str, context: ssl.SSLContext) -> dict[str, Any]:
        """RFC 8414 section 3, and OpenID Connect Discovery's places."""
        origin, path = _origin(issuer), urlsplit(issuer).path.rstrip("/")
        for place in (
            f"{origin}/.well-known/oauth-authorization-server{path}",
            f"{origin}/.well-known/openid-configuration{path}",
            f"{origin}{path}/.well-known/openid-configuration",
        ):
            status, body = await self._fetch("GET", place, context)
            found = _object(body) if status == 200 else {}
            if found:
                if str(found.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):  # section 3.3
                    raise Fault(Reason.AUTH_SERVER, "The authorization server's metadata is that of another issuer.")
                return found
        raise Fault(Reason.AUTH_SERVER, "The authorization server has no metadata that can be read.")

    async def _fetch(
        self, method: str, url: str, context: ssl.SSLContext, headers: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:  # fmt: skip
        from spandrel.adapters.outbound_http import fetch

        try:
            answer = await fetch(self._policy, context, method, url, headers=headers, form=form)
        except Fault as fault:
            if fault.reason is Reason.ADDRESS_FORBIDDEN:
                raise Fault(fault.reason, f"The authorization server: {fault.detail}") from fault
            raise Fault(Reason.AUTH_SERVER, f"The authorization server: {fault.detail}") from fault
        return answer.status, answer.body


def _key(url: str, auth: OAuthClientCredentials) -> bytes:
    """Of the credentials without holding them."""
    return sha256(json.dumps([url, auth.client_id, auth.client_secret, auth.token_url, auth.scope]).encode()).digest()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _resource(url: str) -> str:
    """RFC 8707: the server's URL without query and fragment."""
    return url.partition("#")[0].partition("?")[0]


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _sendable(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable() and len(token) <= 16384 and " " not in token


def resource_metadata(www_authenticate: str) -> str | None:
    """The `resource_metadata` of a challenge (RFC 9728 section 5.1)."""
    from re import search

    found = search(r'resource_metadata="?([^",\s]+)', www_authenticate)
    return found[1] if found else None
