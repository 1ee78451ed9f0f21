"""Request bodies and pages of integrations. Secrets come in here and go out nowhere."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field, SecretStr

from functions.api.schemas import Body, Name
from spandrel.integrations.models import Auth, BearerAuth, HeaderAuth, NoAuth, OAuthClientCredentials, Target, Transport
from spandrel.integrations.records import Changes, Check, Integration, IntegrationTool, NewIntegration, ToolPolicy

MAX_SECRET, MAX_PEM = 4096, 65_536  # what KMS seals; a chain or two
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, 5.6.2
_OWN_HEADERS = {
    "host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer", "accept",
    "accept-encoding", "expect", "mcp-protocol-version", "mcp-session-id", "last-event-id",
}  # fmt: skip


def _secret(value: SecretStr) -> SecretStr:
    """What an HTTP field can carry (RFC 9110, 5.5): no control characters, nothing outside ASCII."""
    text = value.get_secret_value()
    if not text or len(text) > MAX_SECRET or not all(" " <= char <= "~" for char in text) or text != text.strip():
        raise ValueError(f"must be 1 to {MAX_SECRET} visible ASCII characters")
    return value


def _header(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value) or value.lower() in _OWN_HEADERS:
        raise ValueError("must be the name of a header that is not the protocol's own")
    return value


def _written_out(value: object) -> object:
    """A number is no time here, though pydantic would take it for seconds since 1970."""
    if isinstance(value, str) and not value[4:5] == "-":
        raise ValueError("must be a date and time as RFC 3339 writes them")
    return value


_SECRET = {"minLength": 1, "maxLength": MAX_SECRET, "pattern": "^[!-~]([ -~]*[!-~])?$", "writeOnly": True}
Secret = Annotated[SecretStr, Field(json_schema_extra=_SECRET), AfterValidator(_secret)]
_TCHAR = {"pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"}
HeaderName = Annotated[str, Field(json_schema_extra=_TCHAR), AfterValidator(_header)]
Url = Annotated[
    str, Field(min_length=8, max_length=2048, pattern="^https?://[!-~]+$", examples=["https://example.com/mcp"])
]
Slug = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,49}$")]
Pem = Annotated[str, Field(max_length=MAX_PEM, pattern=r"^[^\u0000]*$")]
Interval = Annotated[int, Field(ge=60, le=900)]
Visible = Annotated[str, Field(min_length=1, max_length=500, pattern="^[!-~]([ -~]*[!-~])?$")]
Capability = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$")]
Capabilities = Annotated[list[Capability], Field(max_length=50)]
ToolName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\u0000]+$")]
Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]


class NoAuthIn(Body):
    type: Literal["none"]


class BearerAuthIn(Body):
    """Sent as `Authorization: Bearer …`."""

    type: Literal["bearer"]
    token: Secret


class HeaderAuthIn(Body):
    type: Literal["header"]
    name: HeaderName
    value: Secret


class OAuthIn(Body):
    """RFC 6749, section 4.4. Without `token_url` it is found by the server's metadata (RFC 9728, RFC 8414)."""

    type: Literal["oauth_client_credentials"]
    client_id: Visible
    client_secret: Secret
    token_url: Url | None = None
    scope: Visible | None = None


AuthIn = Annotated[NoAuthIn | BearerAuthIn | HeaderAuthIn | OAuthIn, Field(discriminator="type")]


def auth_of(given: NoAuthIn | BearerAuthIn | HeaderAuthIn | OAuthIn) -> Auth:
    match given:
        case BearerAuthIn():
            return BearerAuth(given.token.get_secret_value())
        case HeaderAuthIn():
            return HeaderAuth(given.name, given.value.get_secret_value())
        case OAuthIn():
            secret = given.client_secret.get_secret_value()
            return OAuthClientCredentials(given.client_id, secret, given.token_url, given.scope)
    return NoAuth()


class _Reached(Body):
    url: Url
    transport: Transport = "streamable_http"
    auth: AuthIn = Field(default_factory=lambda: NoAuthIn(type="none"))
    ca_certificate: Pem | None = None

    def target(self) -> Target:
        return Target(self.url, self.transport, auth_of(self.auth), self.ca_certificate or None)


class DiscoverServer(_Reached):
    """What is at this address? Nothing is kept."""


class CreateIntegration(_Reached):
    """`slug` names it in capabilities and tool names; left out, it is made from the name. `ca_certificate`: PEM of a
    private CA, trusted beside the public ones. `capabilities`: by tool name, what each serves (`calendar.read`).
    """

    name: Name
    slug: Slug | None = None
    capabilities: Annotated[dict[ToolName, Capabilities], Field(max_length=1000)] = Field(default_factory=dict)
    check_interval_seconds: Interval = 60

    def new(self) -> NewIntegration:
        target = self.target()
        return NewIntegration(
            name=self.name,
            url=target.url,
            slug=self.slug,
            transport=target.transport,
            auth=target.auth,
            ca_certificate=target.ca_certificate,
            capabilities=self.capabilities,
            check_interval_seconds=self.check_interval_seconds,
        )

    def revealed(self) -> dict[str, Any]:
        """All of it, the secret too, for the hash that an idempotency key stands for."""
        import msgspec

        return self.model_dump(mode="json") | {"auth": msgspec.to_builtins(auth_of(self.auth))}


class ChangeIntegration(Body):
    """What is left out stays. `ca_certificate` null takes the private CA away. An address of another origin needs
    `auth` anew.
    """

    name: Name | None = None
    url: Url | None = None
    transport: Transport | None = None
    auth: AuthIn | None = None
    ca_certificate: Pem | None = None
    check_interval_seconds: Interval | None = None

    def changes(self) -> Changes:
        taken = "ca_certificate" in self.model_fields_set
        return Changes(
            name=self.name,
            url=self.url,
            transport=self.transport,
            auth=None if self.auth is None else auth_of(self.auth),
            ca_certificate=(self.ca_certificate or "") if taken else None,
            check_interval_seconds=self.check_interval_seconds,
        )


class Maintain(Body):
    """`starts` left out: now."""

    starts: Moment | None = None
    until: Moment


class ReviewTool(Body):
    """`schema_hash`: of the tool as you looked at it, so that nothing is approved which nobody saw."""

    decision: Literal["approve", "reject"]
    schema_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ChangeTool(Body):
    """What is left out stays. `policy`: every tool begins with `ask`; `never` is not offered to a model at all."""

    capabilities: Capabilities | None = None
    policy: ToolPolicy | None = None


class IntegrationPage(BaseModel):
    items: list[Integration]
    next_cursor: str | None


class CheckPage(BaseModel):
    items: list[Check]
    next_cursor: str | None


class ToolPage(BaseModel):
    items: list[IntegrationTool]
    next_cursor: str | None


class RegistryRemote(BaseModel):
    transport: Transport
    url: str


class RegistryEntry(BaseModel):
    """`remotes`: where it can be connected to."""

    name: str
    title: str | None
    description: str
    version: str
    website: str | None
    remotes: list[RegistryRemote]


class RegistryAnswer(BaseModel):
    items: list[RegistryEntry]
    next_cursor: str | None
