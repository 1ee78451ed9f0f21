"""/v1/integrations, and what is found before one is saved. Routes that wait for a foreign server are not `async`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from functions.api.dependencies import Cursor, IdempotencyHeader, Limit, UserId
from functions.api.schemas_integrations import (
    ChangeIntegration,
    ChangeTool,
    CheckPage,
    CreateIntegration,
    DiscoverServer,
    IntegrationPage,
    Maintain,
    RegistryAnswer,
    RegistryEntry,
    RegistryRemote,
    ReviewTool,
    ToolName,
    ToolPage,
)
from spandrel.idempotency.key import IdempotencyKey
from spandrel.integrations.discover import Discovery
from spandrel.integrations.models import Status
from spandrel.integrations.records import Check, Integration, IntegrationTool, ToolStatus
from spandrel.wiring import integrations as make

router = APIRouter(prefix="/integrations", tags=["integrations"])
finding = APIRouter(tags=["integrations"])
ToolCursor = Annotated[
    str | None, Query(max_length=700, pattern="^[A-Za-z0-9_-]+$", description="`next_cursor` of the page before.")
]


@router.post("", status_code=201, operation_id="create_integration")
async def create(body: CreateIntegration, user_id: UserId, idempotency_key: IdempotencyHeader = None) -> Integration:
    """Saves an MCP server. Its first check, due within a minute, decides its status and lists its tools."""
    asked = body.revealed() if idempotency_key else None
    key = IdempotencyKey.of(user_id, idempotency_key, "create_integration", asked) if idempotency_key else None
    return make.saved().create(user_id, body.new(), key)


@router.get("", operation_id="list_integrations")
async def list_(
    user_id: UserId,
    limit: Limit = 20,
    cursor: Cursor = None,
    status: Annotated[list[Status] | None, Query(description="Repeat it for several.")] = None,
    enabled: bool | None = None,
) -> IntegrationPage:
    """Your integrations, newest first."""
    page = make.saved().page(user_id, limit, cursor, status, enabled)
    return IntegrationPage(items=page.items, next_cursor=page.next_cursor)


@router.get("/{integration_id}", operation_id="get_integration")
async def get(integration_id: UUID, user_id: UserId) -> Integration:
    """What you want of it, and what was found out. Of its credentials only their kind, and when they were set."""
    return make.saved().get(user_id, integration_id)


@router.patch("/{integration_id}", operation_id="change_integration")
async def change(integration_id: UUID, body: ChangeIntegration, user_id: UserId) -> Integration:
    """Another address, transport, CA or credentials make its status unknown until a check, which is due now."""
    return make.saved().change(user_id, integration_id, body.changes())


@router.delete("/{integration_id}", status_code=204, operation_id="delete_integration")
async def delete(integration_id: UUID, user_id: UserId) -> None:
    """Deletes it, its tools, its checks and its secret."""
    make.saved().delete(user_id, integration_id)


@router.post("/{integration_id}/enable", operation_id="enable_integration")
async def enable(integration_id: UUID, user_id: UserId) -> Integration:
    """Its status is unknown until its first check, which is due now."""
    return make.saved().enable(user_id, integration_id)


@router.post("/{integration_id}/disable", operation_id="disable_integration")
async def disable(integration_id: UUID, user_id: UserId) -> Integration:
    """It is no longer checked, and none of its tools is offered."""
    return make.saved().disable(user_id, integration_id)


@router.put("/{integration_id}/maintenance", operation_id="maintain_integration")
async def maintain(integration_id: UUID, body: Maintain, user_id: UserId) -> Integration:
    """Checks go on, but until the window's end the status is held as it is, and nothing is told of it."""
    return make.saved().maintain(user_id, integration_id, body.starts or datetime.now(UTC), body.until)


@router.delete("/{integration_id}/maintenance", operation_id="end_integration_maintenance")
async def end_maintenance(integration_id: UUID, user_id: UserId) -> Integration:
    return make.saved().end_maintenance(user_id, integration_id)


@router.post("/{integration_id}/checks", operation_id="check_integration")
def check(integration_id: UUID, user_id: UserId) -> Check:
    """Looks now, within about twenty seconds, and decides the status at once. Once in ten seconds at most."""
    return make.checks().run(user_id, integration_id)


@router.get("/{integration_id}/checks", operation_id="list_integration_checks")
async def checks(integration_id: UUID, user_id: UserId, limit: Limit = 20, cursor: Cursor = None) -> CheckPage:
    """What was found, newest first; seven days and 500 checks are kept."""
    page = make.checks().page(user_id, integration_id, limit, cursor)
    return CheckPage(items=page.items, next_cursor=page.next_cursor)


@router.get("/{integration_id}/tools", operation_id="list_integration_tools")
async def tools(
    integration_id: UUID,
    user_id: UserId,
    limit: Limit = 20,
    cursor: ToolCursor = None,
    status: Annotated[list[ToolStatus] | None, Query(description="Repeat it for several.")] = None,
) -> ToolPage:
    """By name. A `held` one is not what you trusted before: no model may call it until you approve it."""
    page = make.tool_review().page(user_id, integration_id, limit, cursor, status)
    return ToolPage(items=page.items, next_cursor=page.next_cursor)


@router.post("/{integration_id}/tool-reviews/{name:path}", operation_id="review_integration_tool")
async def review(integration_id: UUID, name: ToolName, body: ReviewTool, user_id: UserId) -> IntegrationTool:
    """Approves or turns down a held tool, as it was when you looked at it."""
    return make.tool_review().review(user_id, integration_id, name, body.decision, body.schema_hash)


@router.patch("/{integration_id}/tools/{name:path}", operation_id="change_integration_tool")
async def change_tool(integration_id: UUID, name: ToolName, body: ChangeTool, user_id: UserId) -> IntegrationTool:
    """Sets what it serves, as templates ask for it, and whether you are asked before a model's call of it is made."""
    change = make.tool_review().change
    return change(user_id, integration_id, name, capabilities=body.capabilities, policy=body.policy)


@finding.post("/integration-discoveries", operation_id="discover_integration")
def discover(body: DiscoverServer, user_id: UserId) -> Discovery:
    """What is at an address, before it is saved: protocol, server, tools, TLS, timings, or the reason why not."""
    return make.discover().server(user_id, body.target())


@finding.get("/integration-registry", operation_id="search_integration_registry")
def search_registry(
    user_id: UserId,
    query: Annotated[str, Query(max_length=200, pattern=r"^[^\u0000]*$")] = "",
    limit: Limit = 20,
    cursor: Annotated[str | None, Query(max_length=500, pattern="^[!-~]+$")] = None,
) -> RegistryAnswer:
    """Searches the MCP registry that the deployment names."""
    page = make.discover().search(user_id, query, limit, cursor)
    entries = [
        RegistryEntry(
            name=each.name,
            title=each.title,
            description=each.description,
            version=each.version,
            website=each.website,
            remotes=[RegistryRemote(transport=transport, url=url) for transport, url in each.remotes],
        )
        for each in page.servers
    ]
    return RegistryAnswer(items=entries, next_cursor=page.next_cursor)
