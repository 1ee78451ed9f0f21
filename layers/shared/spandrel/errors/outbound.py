"""What goes wrong between us and the servers that users name, and with the secrets that open them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spandrel.errors.base import SpandrelError

if TYPE_CHECKING:
    from spandrel.integrations.models import Reason


class AddressForbiddenError(SpandrelError):
    """This address cannot be used. Give an https URL of a server on the public internet."""

    code = "address_forbidden"
    status = 422


class ToolCallError(SpandrelError):
    """The tool could not be called, or its server sent no result. `reason` says why."""

    code = "tool_call_failed"
    status = 502

    def __init__(
        self,
        reason: Reason | None = None,
        detail: str | None = None,
        *,
        retry_after: float | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail, **({"reason": str(reason)} if reason else {}), **members)
        self.reason, self.retry_after = reason, retry_after


class RegistryUnavailableError(SpandrelError):
    """The registry of MCP servers cannot be searched at the moment. Try again shortly, or give the server's URL."""

    code = "registry_unavailable"
    status = 503


class SecretUnreadableError(SpandrelError):
    """The stored secret cannot be opened. Enter it again."""

    code = "stored_secret_unreadable"
    status = 422


class SecretsUnavailableError(SpandrelError):
    """The key that seals secrets cannot be used at the moment. Try again shortly."""

    code = "secrets_unavailable"
    status = 503
