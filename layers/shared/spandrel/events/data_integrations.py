"""What events of integrations and their tools tell in `data`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from spandrel.events.data import Data


class IntegrationCreated(Data, frozen=True, kw_only=True):
    slug: str
    name: str


class IntegrationUpdated(Data, frozen=True, kw_only=True):
    """`changed`: the names of what changed, no values. `status`: where it was set back by the change. `starts` and
    `until`: of a maintenance window that is to come.
    """

    changed: list[str] | UnsetType = UNSET
    status: str | UnsetType = UNSET
    starts: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    until: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET


class IntegrationDeleted(Data, frozen=True, kw_only=True):
    slug: str


class IntegrationStatusChanged(Data, frozen=True, kw_only=True):
    """`reason`: why it is not healthy, a stable code; null where it is."""

    from_status: str = msgspec.field(name="from")
    to_status: str = msgspec.field(name="to")
    reason: str | None = None
    previous_reason: str | None = None


class IntegrationFlapping(Data, frozen=True, kw_only=True):
    """`changes`: how often its status changed lately."""

    flapping: bool
    changes: int


class IntegrationTlsExpiring(Data, frozen=True, kw_only=True):
    """The certificate of the chain that ends first."""

    days_left: int
    not_after: Annotated[datetime, Meta(tz=True)]
    subject: str
    sha256: str


class IntegrationMaintenance(Data, frozen=True, kw_only=True):
    """`changed` and `starts`: where its owner has just set the window."""

    changed: list[str] | UnsetType = UNSET
    starts: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    until: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET


class ToolFound(Data, frozen=True, kw_only=True):
    """`status`: "active", "held" (no model may call it before it is reviewed) or "removed"."""

    integration_id: UUID
    name: str
    status: str
    schema_hash: str


class ToolReviewed(Data, frozen=True, kw_only=True):
    integration_id: UUID
    name: str
    schema_hash: str


class ToolUpdated(Data, frozen=True, kw_only=True):
    integration_id: UUID
    name: str
    capabilities: list[str]
    policy: Literal["always", "ask", "never"]
