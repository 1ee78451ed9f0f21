"""/v1/health"""

from __future__ import annotations

from fastapi import APIRouter

from functions.api.schemas import Health
from spandrel import __version__, wiring

router = APIRouter(tags=["health"])


@router.get("/health", operation_id="get_health")
async def health() -> Health:
    """Up, and on a schema that this version knows; 503 otherwise. Needs no token."""
    return Health(status="ok", version=__version__, schema_version=wiring.schema_version())
