"""Credentials taken apart for keeping: what may be shown in the open, the secret sealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from spandrel.errors import SecretUnreadableError
from spandrel.integrations.models import Auth, BearerAuth, HeaderAuth, NoAuth, OAuthClientCredentials
from spandrel.integrations.ports import SecretBox

_KEPT_OPEN = 4000
"""Opened credentials that a warm function remembers, so that a check a minute is no request to KMS a minute."""


def summary(auth: Auth) -> dict[str, Any]:
    """All of it but the secret, as it is kept in the open."""
    match auth:
        case NoAuth():
            return {"type": "none"}
        case BearerAuth():
            return {"type": "bearer"}
        case HeaderAuth():
            return {"type": "header", "header_name": auth.name}
        case OAuthClientCredentials():
            given = {"client_id": auth.client_id, "token_url": auth.token_url, "scope": auth.scope}
            return {"type": "oauth_client_credentials", **{key: value for key, value in given.items() if value}}


def secret_of(auth: Auth) -> bytes | None:
    match auth:
        case BearerAuth():
            return auth.token.encode()
        case HeaderAuth():
            return auth.value.encode()
        case OAuthClientCredentials():
            return auth.client_secret.encode()
    return None


def joined(summary: Mapping[str, Any], secret: bytes) -> Auth:
    """The other way of `summary` and `secret_of`."""
    text = secret.decode()
    match summary["type"]:
        case "bearer":
            return BearerAuth(text)
        case "header":
            return HeaderAuth(summary["header_name"], text)
        case "oauth_client_credentials":
            return OAuthClientCredentials(
                summary["client_id"], text, token_url=summary.get("token_url"), scope=summary.get("scope")
            )
    return NoAuth()


@dataclass(slots=True)
class Credentials:
    """Seals and opens. A sealed secret belongs to its user and integration: in another row it does not open."""

    box: SecretBox
    _open: dict[tuple[str, UUID, bytes], bytes] = field(default_factory=dict, repr=False)

    def seal(self, user_id: str, integration_id: UUID, auth: Auth) -> bytes | None:
        """None: there is nothing to hide. Raises `SecretsUnavailableError`."""
        secret = secret_of(auth)
        return None if secret is None else self.box.seal(secret, _context(user_id, integration_id))

    def open(self, user_id: str, integration_id: UUID, summary: Mapping[str, Any], sealed: bytes | None) -> Auth:
        """Raises `SecretUnreadableError`, `SecretsUnavailableError`."""
        if sealed is None:
            return NoAuth()
        key = (user_id, integration_id, bytes(sealed))
        if (secret := self._open.get(key)) is None:
            secret = self.box.open(key[2], _context(user_id, integration_id))
            if len(self._open) >= _KEPT_OPEN:
                self._open.clear()
            self._open[key] = secret
        try:
            return joined(summary, secret)
        except (UnicodeDecodeError, KeyError):
            raise SecretUnreadableError from None


def _context(user_id: str, integration_id: UUID) -> dict[str, str]:
    return {"user_id": user_id, "integration_id": str(integration_id)}
