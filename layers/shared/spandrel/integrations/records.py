"""An integration as it is saved, watched and answered. Times are aware datetimes, durations seconds unless named."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from spandrel.integrations.models import Auth, NoAuth, Status, Transport

AuthType = Literal["none", "bearer", "header", "oauth_client_credentials"]
ToolStatus = Literal["active", "held", "removed"]
ToolPolicy = Literal["always", "ask", "never"]
Decision = Literal["approve", "reject"]


@dataclass(frozen=True, slots=True)
class AuthSummary:
    """What is told of credentials: never the secret itself, but when it was set."""

    type: AuthType
    header_name: str | None = None
    client_id: str | None = None
    token_url: str | None = None
    scope: str | None = None
    secret_set_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """What the server said of itself at its last good check."""

    era: str | None
    protocol_version: str | None
    name: str | None
    version: str | None
    capabilities: dict[str, Any]
    tls_days_left: int | None
    tls_not_after: datetime | None


@dataclass(frozen=True, slots=True)
class Window:
    """Until `until` the status is held as it is; checks go on."""

    starts: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Integration:
    """`enabled` is its owner's wish, `status` what was found out. `failures`: checks in a row that failed, also while
    they are too few for the status to fall. `next_check_at` null: it is disabled.
    """

    id: UUID
    slug: str
    name: str
    url: str
    transport: Transport
    auth: AuthSummary
    ca_certificate: str | None
    capabilities: dict[str, list[str]]
    enabled: bool
    status: Status
    reason: str | None
    detail: str | None
    status_changed_at: datetime
    failures: int
    flapping: bool
    check_interval_seconds: int
    maintenance: Window | None
    server: Server | None
    checked_at: datetime | None
    next_check_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Check:
    """One look at a server. `reason` null: it negotiated and listed its tools. `status`: the integration's, after it.

    `asked`: by its owner, not the schedule. `evidence`: phase timings in milliseconds, the address, the TLS chain.
    """

    id: UUID
    reason: str | None
    detail: str
    status: Status
    asked: bool
    total_ms: float
    evidence: dict[str, Any]
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class TrustedTool:
    """A tool as it was when its owner last trusted it."""

    description: str
    input_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class IntegrationTool:
    """As its server lists it. `held`: it is not what its owner trusted, which stands in `approved`; no model may call
    it until it is approved. `rejected`: it was looked at and turned down. `schema_hash`: of name, description and input
    schema; a review names the one that it looked at.

    `policy`: whether its owner is asked before each call, or it is never offered to a model.
    """

    name: str
    title: str | None
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    annotations: dict[str, Any]
    schema_hash: str
    capabilities: list[str]
    status: ToolStatus
    policy: ToolPolicy
    rejected: bool
    approved: TrustedTool | None
    first_seen_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewIntegration:
    """`slug` None: made from the name. `capabilities`: by tool name, what each serves."""

    name: str
    url: str
    slug: str | None = None
    transport: Transport = "streamable_http"
    auth: Auth = field(default_factory=NoAuth, repr=False)
    ca_certificate: str | None = None
    capabilities: dict[str, list[str]] = field(default_factory=dict)
    check_interval_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Changes:
    """What is None stays as it is. `ca_certificate` "": the private CA is taken away."""

    name: str | None = None
    url: str | None = None
    transport: Transport | None = None
    auth: Auth | None = field(default=None, repr=False)
    ca_certificate: str | None = None
    check_interval_seconds: int | None = None

    @property
    def reach(self) -> bool:
        """Whether the server may be another after it: what was found out is void."""
        return not (self.url is None and self.transport is None and self.auth is None and self.ca_certificate is None)
