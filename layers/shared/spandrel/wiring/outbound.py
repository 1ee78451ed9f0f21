"""What goes out to servers that users name, and what keeps their secrets."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from spandrel.settings import SettingsError
from spandrel.wiring.providers import settings

if TYPE_CHECKING:
    from spandrel.adapters.mcp_client import McpClient
    from spandrel.adapters.outbound_faults import Policy
    from spandrel.integrations.ports import McpCaller, McpProber, SecretBox, ServerRegistry


def _policy() -> Policy:
    from spandrel.adapters.outbound_faults import Policy

    return Policy(allow_loopback=settings().integrations.allow_loopback)


@lru_cache(maxsize=1)
def mcp_client() -> McpClient:
    from spandrel.adapters.mcp_client import McpClient

    return McpClient(_policy())


def prober() -> McpProber:
    return mcp_client()


def caller() -> McpCaller:
    return mcp_client()


@lru_cache(maxsize=1)
def registry() -> ServerRegistry:
    from spandrel.adapters.mcp_registry import McpRegistry

    return McpRegistry(settings().integrations.registry_url, _policy())


@lru_cache(maxsize=1)
def secret_box() -> SecretBox:
    from spandrel.adapters.secret_box import KmsSecretBox, LocalSecretBox

    found = settings().integrations
    if found.kms_key_id is not None:
        return KmsSecretBox(found.kms_key_id)
    if found.secret_key is not None:
        return LocalSecretBox(found.secret_key)
    raise SettingsError("set SPANDREL_KMS_KEY_ID, or SPANDREL_SECRET_KEY on a machine of one's own")
