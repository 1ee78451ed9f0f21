"""The composition root with fakes in the place of AWS, so that handlers run as they are deployed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spandrel import wiring
from spandrel.wiring import integrations, outbound
from tests.support.hub import Hub
from tests.support.knowledge import KnowledgeBase
from tests.support.postgres import DIMENSIONS, MODEL
from tests.support.realtime import FakeFarewell
from tests.support.studio import Studio

MADE = (
    "settings",
    "database",
    "search",
    "collections",
    "documents",
    "ingest",
    "purge",
    "upkeep",
    "prices",
    "budgets",
    "reports",
    "prepare",
    "generate_prompt",
    "begin_session",
    "sessions",
    "turns",
    "approvals",
    "checkpoints",
    "conversations",
    "run_turn",
    "session_upkeep",
    "templates",
    "schema_resource",
    "templates",
    "tickets",
    "connections",
    "actions",
    "history",
    "retention",
    "news",
    "pump",
    "repair_feed",
    "delta_stream",
)


MADE_OF_INTEGRATIONS = (
    "credentials",
    "saved",
    "checks",
    "discover",
    "tool_review",
    "watch",
    "free_stuck",
    "reconcile",
    "components",
    "health_round",
    "health_details",
)


@pytest.fixture
def hub(kb: KnowledgeBase) -> Hub:
    """Integrations on the same database, with fakes of what is outside."""
    return Hub(kb)


@pytest.fixture
def studio(kb: KnowledgeBase) -> Iterator[Studio]:
    """Templates, sessions and turns on the same database.

    Whatever was done with them, a turn that has ended says when, and no other does.
    """
    yield Studio(kb)
    unfinished = "status IN ('queued', 'running', 'waiting')"
    assert kb.rows(f"SELECT id, status FROM turns WHERE (finished_at IS NULL) <> ({unfinished})") == []


@pytest.fixture
def farewell() -> FakeFarewell:
    """Which WebSocket connections were closed."""
    return FakeFarewell()


@pytest.fixture
def wired(
    kb: KnowledgeBase, studio: Studio, farewell: FakeFarewell, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KnowledgeBase]:
    """`wiring` as a function finds it, on the test's database; embedder, bucket and queue are the fakes of `kb`."""
    monkeypatch.setenv("SPANDREL_DATABASE_URL", kb.url)
    monkeypatch.setenv("SPANDREL_EMBEDDING_MODEL", MODEL)
    monkeypatch.setenv("SPANDREL_EMBEDDING_DIMENSIONS", str(DIMENSIONS))
    made = [getattr(wiring, name) for name in MADE]  # a test may put something else in their place
    made += [outbound.mcp_client, outbound.registry, outbound.secret_box]
    made += [getattr(integrations, name) for name in MADE_OF_INTEGRATIONS]
    for each in made:
        each.cache_clear()
    monkeypatch.setattr(wiring, "embedder", lambda: kb.embedder)
    monkeypatch.setattr(wiring, "objects", lambda: kb.objects)
    monkeypatch.setattr(wiring, "queue", lambda: kb.queue)
    monkeypatch.setattr(wiring, "turn_queue", lambda: studio.queue)
    monkeypatch.setattr(wiring, "chat_model", lambda: studio.model)
    monkeypatch.setattr(wiring.realtime, "farewell", lambda: farewell)
    monkeypatch.setattr(outbound, "prober", lambda: hub.prober)
    monkeypatch.setattr(outbound, "registry", lambda: hub.registry)
    monkeypatch.setattr(outbound, "secret_box", lambda: hub.box)
    yield kb
    for role in (wiring.APP_ROLE, wiring.SYSTEM_ROLE):
        wiring.database(role).close()
    for each in made:
        each.cache_clear()
