"""The schema as a custom resource: whatever happens, CloudFormation gets its answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from functions.migrate.handler import handler
from spandrel import migrations, wiring
from spandrel.database import SCHEMA_VERSION
from tests.support.events import Context
from tests.support.http_server import HttpServer, Received, Reply
from tests.support.knowledge import KnowledgeBase
from tests.support.postgres import Cluster


@pytest.fixture
def stack() -> Iterator[HttpServer]:
    """Where CloudFormation takes answers."""
    with HttpServer(lambda request: Reply(200)) as server:
        yield server


def resource(stack: HttpServer, kind: str) -> dict[str, Any]:
    return {
        "RequestType": kind,
        "ResponseURL": f"{stack.url}/answer?X-Amz-Signature=abc",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Schema",
    }


def answered(stack: HttpServer) -> dict[str, Any]:
    [request] = stack.received
    assert isinstance(request, Received)
    assert (request.method, request.path) == ("PUT", "/answer?X-Amz-Signature=abc")
    answer: dict[str, Any] = json.loads(request.body)
    assert (answer["StackId"], answer["RequestId"], answer["LogicalResourceId"]) == ("stack", "request", "Schema")
    return answer


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_deployment_migrates_and_prepares(
    wired: KnowledgeBase, cluster: Cluster, stack: HttpServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with cluster.database() as name:
        monkeypatch.setenv("SPANDREL_DATABASE_URL", cluster.url(name))
        wiring.settings.cache_clear()
        handler(resource(stack, kind), Context())
        answer = answered(stack)
        assert answer["Status"] == "SUCCESS"
        assert answer["Data"]["Applied"].split(", ") == [migration.name for migration in migrations.load()]
        fresh = KnowledgeBase(cluster.url(name))
        assert fresh.rows("SELECT model, dimensions, status FROM embedding_spaces") == [
            {"model": "fake-64", "dimensions": 64, "status": "active"}
        ]
        assert wiring.schema_version() == SCHEMA_VERSION
        fresh.close()
        wiring.database(wiring.APP_ROLE).close()


def test_a_deployment_with_nothing_new_changes_nothing(wired: KnowledgeBase, stack: HttpServer) -> None:
    handler(resource(stack, "Update"), Context())
    assert answered(stack)["Data"] == {"Applied": ""}


def test_a_deletion_keeps_the_data(wired: KnowledgeBase, stack: HttpServer) -> None:
    wired.collection()
    handler(resource(stack, "Delete"), Context())
    assert answered(stack)["Status"] == "SUCCESS"
    assert wired.one("SELECT count(*) FROM collections") == 1


def test_a_failure_is_told_with_its_reason(
    wired: KnowledgeBase, stack: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wired.rows("UPDATE schema_migrations SET hash = 'other' WHERE name LIKE '0001%%'")
    handler(resource(stack, "Update"), Context())
    answer = answered(stack)
    assert answer["Status"] == "FAILED"
    assert "0001_foundation was applied and has changed" in answer["Reason"]
    assert "log stream" in answer["Reason"]


def test_an_unreachable_database_is_told(
    wired: KnowledgeBase, stack: HttpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("SPANDREL_DATABASE_URL", f"postgresql://postgres:hush@/none?host={tmp_path}")
    wiring.settings.cache_clear()
    handler(resource(stack, "Create"), Context())
    answer = answered(stack)
    assert answer["Status"] == "FAILED"
    assert "hush" not in answer["Reason"]


@pytest.mark.parametrize(("compatible_from", "status"), [(SCHEMA_VERSION, "SUCCESS"), (SCHEMA_VERSION + 1, "FAILED")])
def test_a_rollback_to_code_that_serves_on_the_newer_schema_gets_through(
    wired: KnowledgeBase, stack: HttpServer, compatible_from: int, status: str
) -> None:
    """CloudFormation runs the resource again with the code from before; a failure would leave the stack half undone."""
    version = SCHEMA_VERSION + 1
    wired.rows(f"""
        INSERT INTO schema_migrations (name, hash) VALUES ('{version:04d}_newer', '');
        UPDATE schema_version SET version = {version}, compatible_from = {compatible_from}""")
    handler(resource(stack, "Update"), Context())
    answer = answered(stack)
    assert answer["Status"] == status
    assert answer.get("Data", {}).get("Applied", "") == ""
