"""/v1/health and /v1/health/details"""

from __future__ import annotations

from fastapi import APIRouter

from functions.api.dependencies import UserId
from functions.api.schemas import Health
from spandrel import __version__, wiring
from spandrel.health.models import HealthDetails
from spandrel.wiring import integrations

router = APIRouter(tags=["health"])


@router.get("/health", operation_id="get_health")
async def health() -> Health:
    """Up, and on a schema that this version knows; 503 otherwise. Needs no token."""
    return Health(status="ok", version=__version__, schema_version=wiring.schema_version())


@router.get("/health/details", operation_id="get_health_details")
async def details(user_id: UserId) -> HealthDetails:
    """Every component with the evidence of its last run, and your own integrations by status."""
    return integrations.health_details().run(user_id)
