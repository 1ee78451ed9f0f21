"""/v1/templates"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from functions.api.dependencies import Cursor, IdempotencyHeader, Limit, UserId
from functions.api.schemas_templates import (
    CreateTemplate,
    LabelName,
    SaveVersion,
    SetLabel,
    UpdateTemplate,
    ValidateTemplate,
    VersionPath,
    VersionQuery,
)
from functions.api.structs import answers, respond
from spandrel import wiring
from spandrel.idempotency.key import IdempotencyKey
from spandrel.templates.models import (
    Kind,
    Saved,
    Template,
    TemplatePage,
    TemplateVersion,
    Validation,
    VersionDiff,
    VersionPage,
    Visibility,
)
from spandrel.templates.store import NewTemplate, Reference

router = APIRouter(prefix="/templates", tags=["templates"], default_response_class=Response)
checks = APIRouter(tags=["templates"], default_response_class=Response)


@router.post("", status_code=201, operation_id="create_template", responses=answers(Saved, 201))
async def create(body: CreateTemplate, user_id: UserId, idempotency_key: IdempotencyHeader = None) -> Response:
    """Saves a template with its first version, which `latest` and `production` name. Every fault of the source is
    told, with its line.
    """
    asked = body.model_dump()
    key = IdempotencyKey.of(user_id, idempotency_key, "create_template", asked) if idempotency_key else None
    return respond(wiring.templates().create(user_id, NewTemplate(**asked), key), 201)


@router.get("", operation_id="list_templates", responses=answers(TemplatePage))
async def list_(
    user_id: UserId,
    limit: Limit = 20,
    cursor: Cursor = None,
    kind: Kind | None = None,
    name_prefix: Annotated[str | None, Query(max_length=100, pattern=r"^[A-Za-z0-9_.-]*$")] = None,
    visibility: Visibility | None = None,
) -> Response:
    """Yours and those that are shared with you, newest first."""
    page = wiring.templates().page(user_id, limit, cursor, kind, name_prefix, visibility)
    return respond(TemplatePage(items=page.items, next_cursor=page.next_cursor))


@checks.post("/template-checks", operation_id="validate_template", responses=answers(Validation))
async def validate(body: ValidateTemplate, user_id: UserId) -> Response:
    """What saving the source would say: its structure or its faults. Nothing is saved."""
    return respond(wiring.templates().validate(user_id, body.source, body.kind, body.name))


@router.get("/{template_id}", operation_id="get_template", responses=answers(Template))
async def get(template_id: UUID, user_id: UserId) -> Response:
    return respond(wiring.templates().get(user_id, template_id))


@router.patch("/{template_id}", operation_id="update_template", responses=answers(Template))
async def update(template_id: UUID, body: UpdateTemplate, user_id: UserId) -> Response:
    """A shared template can be read and used by everybody of this deployment, and changed by you alone."""
    return respond(wiring.templates().update(user_id, template_id, body.description, body.visibility))


@router.delete("/{template_id}", status_code=204, operation_id="delete_template")
async def delete(template_id: UUID, user_id: UserId) -> None:
    """Sessions that were made from it keep what they have."""
    wiring.templates().delete(user_id, template_id)


@router.post(
    "/{template_id}/versions", status_code=201, operation_id="save_template_version", responses=answers(Saved, 200, 201)
)
async def save_version(
    template_id: UUID, body: SaveVersion, user_id: UserId, idempotency_key: IdempotencyHeader = None
) -> Response:
    """Saves the next version, which `latest` then names. 200 and `created` false: the newest is this one already."""
    asked = {"template_id": str(template_id)} | body.model_dump()
    key = IdempotencyKey.of(user_id, idempotency_key, "save_template_version", asked) if idempotency_key else None
    saved = wiring.templates().save_version(user_id, template_id, body.source, key)
    return respond(saved, 201 if saved.created else 200)


@router.get("/{template_id}/versions", operation_id="list_template_versions", responses=answers(VersionPage))
async def versions(template_id: UUID, user_id: UserId, limit: Limit = 20, cursor: Cursor = None) -> Response:
    """Newest first."""
    page = wiring.templates().versions(user_id, template_id, limit, cursor)
    return respond(VersionPage(items=page.items, next_cursor=page.next_cursor))


@router.get(
    "/{template_id}/versions/{version}", operation_id="get_template_version", responses=answers(TemplateVersion)
)
async def version_(template_id: UUID, version: VersionPath, user_id: UserId) -> Response:
    """Source and structure of one version."""
    return respond(wiring.templates().version(user_id, template_id, Reference.of(version)))


@router.get("/{template_id}/diff", operation_id="diff_template_versions", responses=answers(VersionDiff))
async def diff(
    template_id: UUID,
    user_id: UserId,
    before: Annotated[VersionQuery, Query(alias="from")],
    after: Annotated[VersionQuery, Query(alias="to")] = "latest",
) -> Response:
    """What changed between two versions: the sources' unified diff, and each part of the structure."""
    return respond(wiring.templates().diff(user_id, template_id, Reference.of(before), Reference.of(after)))


@router.put("/{template_id}/labels/{label}", operation_id="set_template_label", responses=answers(Template))
async def set_label(template_id: UUID, label: LabelName, body: SetLabel, user_id: UserId) -> Response:
    """Moves a label, or makes it. Rolling back is setting `production` to the version before."""
    return respond(wiring.templates().set_label(user_id, template_id, label, body.version))


@router.delete("/{template_id}/labels/{label}", status_code=204, operation_id="remove_template_label")
async def remove_label(template_id: UUID, label: LabelName, user_id: UserId) -> None:
    """Every label but `latest` and `production`."""
    wiring.templates().remove_label(user_id, template_id, label)
