"""What cannot be done with an integration as it is."""

from __future__ import annotations

from typing import Any

from spandrel.errors.base import SpandrelError


class TooManyIntegrationsError(SpandrelError):
    """You have as many integrations as are allowed. Delete one that you no longer need."""

    code = "too_many_integrations"
    status = 409


class IntegrationDisabledError(SpandrelError):
    """The integration is disabled. Enable it first."""

    code = "integration_disabled"
    status = 409


class TooOftenError(SpandrelError):
    """This was asked for a moment ago. Try again a little later."""

    code = "too_often"
    status = 429

    def __init__(self, detail: str | None = None, *, retry_after: float = 10.0, **members: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **members)


class ToolChangedError(SpandrelError):
    """The tool is not held for review, or it is no longer as you saw it. Look at it again."""

    code = "tool_changed"
    status = 409
