"""What is known of an MCP server, and what is needed to reach one. Durations in milliseconds, times aware datetimes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import msgspec

Transport = Literal["streamable_http", "sse"]
Era = Literal["modern", "legacy"]
"""modern: protocol 2026-07-28 and later, stateless. legacy: those that begin with `initialize`."""
Status = Literal["unknown", "healthy", "degraded", "unreachable", "auth_required", "misconfigured"]


class Reason(StrEnum):
    """Why a check did not find a healthy server. The values are a contract: they stand in rows, events and answers."""

    DNS = "dns"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    CONNECTION = "connection"  # reset, closed early, no route
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_EXPIRED = "tls_expired"
    TLS_NAME = "tls_name"
    TLS = "tls"  # any other fault of the handshake
    ADDRESS_FORBIDDEN = "address_forbidden"  # not an address that a user may have us call
    REDIRECT = "redirect"  # to another origin, or too often
    AUTH_REQUIRED = "auth_required"
    AUTH_SERVER = "auth_server"  # the token endpoint refused, or could not be reached
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    NOT_MCP = "not_mcp"
    PROTOCOL = "protocol"
    TOOLS_ERROR = "tools_error"
    TOO_LARGE = "too_large"
    SECRET_UNREADABLE = "secret_unreadable"  # noqa: S105 - kept, but the box does not open: it must be given anew


class NoAuth(msgspec.Struct, frozen=True, tag="none", tag_field="type"):
    """The server asks for nothing."""


class BearerAuth(msgspec.Struct, frozen=True, tag="bearer", tag_field="type"):
    token: str


class HeaderAuth(msgspec.Struct, frozen=True, tag="header", tag_field="type"):
    name: str
    value: str


class OAuthClientCredentials(msgspec.Struct, frozen=True, tag="oauth_client_credentials", tag_field="type"):
    """RFC 6749 section 4.4. `token_url` None: found by the server's protected resource metadata (RFC 9728, 8414)."""

    client_id: str
    client_secret: str
    token_url: str | None = None
    scope: str | None = None


Auth = NoAuth | BearerAuth | HeaderAuth | OAuthClientCredentials


@dataclass(frozen=True, slots=True)
class Target:
    """A server to be called. `ca_certificate`: PEM of a private CA that is trusted beside the public ones."""

    url: str
    transport: Transport = "streamable_http"
    auth: Auth = field(default_factory=NoAuth, repr=False)
    ca_certificate: str | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each phase took; None: it was not reached."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    negotiate: float | None = None
    tools: float | None = None
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """One of the chain, the server's own first."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    sha256: str


@dataclass(frozen=True, slots=True)
class TlsEvidence:
    """`days_left` of the certificate in the chain that ends first; negative once it has."""

    chain: tuple[Certificate, ...]
    days_left: int
    version: str | None = None


@dataclass(frozen=True, slots=True)
class DiscoveredTool:
    """As the server lists it."""

    name: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None = None
    annotations: dict[str, Any] = field(default_factory=dict)
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What one look at a server found. `reason` None: it negotiated and listed its tools.

    `detail` is a sentence for its owner and holds no secret. `retry_after`: seconds, where the server said so.
    """

    reason: Reason | None
    detail: str
    timings: Timings
    address: str | None = None
    tls: TlsEvidence | None = None
    era: Era | None = None
    protocol_version: str | None = None
    server_name: str | None = None
    server_version: str | None = None
    capabilities: dict[str, Any] = field(default_factory=dict)
    tools: tuple[DiscoveredTool, ...] = ()
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool said, as text for the model. `structured`: the result's structured content, where it has some."""

    text: str
    is_error: bool
    structured: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RegistryServer:
    """An entry of an MCP registry. `remotes`: (transport, URL) of what can be connected to."""

    name: str
    title: str | None
    description: str
    version: str
    remotes: tuple[tuple[Transport, str], ...]
    website: str | None = None


@dataclass(frozen=True, slots=True)
class RegistryPage:
    servers: tuple[RegistryServer, ...]
    next_cursor: str | None
