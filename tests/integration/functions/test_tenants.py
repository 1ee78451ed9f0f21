"""No route lets one user reach what is another's. A route that has no case here fails the test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.functions.conftest import Ada
from tests.support.api import Answer, call, operations
from tests.support.hub import URL
from tests.support.knowledge import ADA, BOB, KnowledgeBase
from tests.support.owned import SECRET


def foreign(answer: Answer) -> None:
    """As if it did not exist."""
    assert (answer.status, answer.code) == (404, "not_found")


def empty(answer: Answer) -> None:
    assert answer.status == 200
    assert answer.json["items"] == []
    assert answer.json["next_cursor"] is None


def no_hits(answer: Answer) -> None:
    assert answer.status == 200
    assert answer.json["hits"] == []


def own(answer: Answer) -> None:
    """A new resource, in the caller's own space."""
    assert answer.status == 201


def refused(answer: Answer) -> None:
    """What it includes does not exist."""
    assert (answer.status, answer.code) == (422, "template_invalid")
    assert [fault["code"] for fault in answer.json["errors"]] == ["unknown_partial"]


def invalid(answer: Answer) -> None:
    assert answer.status == 200
    assert [fault["code"] for fault in answer.json["errors"]] == ["unknown_partial"]


def unspent(answer: Answer) -> None:
    """A budget of the caller's own, beside what was spent by the other."""
    assert (answer.status, answer.json["spent"]) == (200, "0")


def no_usage(answer: Answer) -> None:
    assert answer.status == 200
    assert (answer.json["items"], answer.json["total"]["calls"]) == ([], 0)


def no_events(answer: Answer) -> None:
    """An own feed, in which nothing happened."""
    assert answer.status == 200
    assert answer.json == {"items": [], "next_after_seq": 0, "head_seq": 0, "oldest_seq": 1}


def beyond(answer: Answer) -> None:
    """A place in her feed is none in his."""
    assert (answer.status, answer.code) == (409, "seq_ahead")


def soon() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def unheard(answer: Answer) -> None:
    """Refused for what was asked, whosever it is."""
    assert (answer.status, answer.code) == (422, "invalid_request")


def nothing_counted(answer: Answer) -> None:
    assert answer.status == 200
    assert answer.json["integrations"] == {}


def public(answer: Answer) -> None:
    assert answer.status == 200


REPEATING = ("create_collection", "create_template", "validate_template", "create_integration")
"""They say what Bob said himself."""
Case = tuple[Callable[[Ada], dict[str, Any]], Callable[[Answer], None]]
CASES: dict[str, list[Case]] = {
    "create_collection": [(lambda ada: {"body": {"name": f"{SECRET}s"}}, own)],
    "list_collections": [(lambda ada: {}, empty)],
    "get_collection": [(lambda ada: {"collection_id": ada.collection}, foreign)],
    "rename_collection": [(lambda ada: {"collection_id": ada.collection, "body": {"name": "mine"}}, foreign)],
    "delete_collection": [(lambda ada: {"collection_id": ada.collection}, foreign)],
    "create_documents": [
        (lambda ada: {"body": {"collection_id": ada.collection, "files": [{"name": "a.md"}]}}, foreign),
    ],
    "list_documents": [
        (lambda ada: {}, empty),
        (lambda ada: {"query": {"collection_id": ada.collection}}, empty),
    ],
    "get_document": [(lambda ada: {"document_id": ada.document}, foreign)],
    "list_document_chunks": [(lambda ada: {"document_id": ada.document}, foreign)],
    "upload_new_version": [(lambda ada: {"document_id": ada.document}, foreign)],
    "download_document": [(lambda ada: {"document_id": ada.document}, foreign)],
    "retry_document": [(lambda ada: {"document_id": ada.failed}, foreign)],
    "delete_document": [(lambda ada: {"document_id": ada.document}, foreign)],
    "search": [
        (lambda ada: {"body": {"query": SECRET}}, no_hits),
        (lambda ada: {"body": {"query": SECRET, "mode": "text"}}, no_hits),
        (lambda ada: {"body": {"query": SECRET, "mode": "vector"}}, no_hits),
        (lambda ada: {"body": {"query": SECRET, "filter": {"kind": SECRET}}}, no_hits),
        (lambda ada: {"body": {"query": SECRET, "collections": [ada.collection]}}, foreign),
    ],
    "create_template": [
        (lambda ada: {"body": {"name": f"{SECRET}-prompt", "source": "mine"}}, own),
        (lambda ada: {"body": {"name": "thief", "source": f"{{{{> {SECRET}}}}}"}}, refused),
    ],
    "list_templates": [(lambda ada: {}, empty), (lambda ada: {"query": {"name_prefix": SECRET}}, empty)],
    "validate_template": [(lambda ada: {"body": {"source": f"{{{{> {SECRET}}}}}"}}, invalid)],
    "get_template": [(lambda ada: {"template_id": ada.template}, foreign)],
    "update_template": [(lambda ada: {"template_id": ada.template, "body": {"visibility": "shared"}}, foreign)],
    "delete_template": [(lambda ada: {"template_id": ada.template}, foreign)],
    "save_template_version": [(lambda ada: {"template_id": ada.template, "body": {"source": "mine"}}, foreign)],
    "list_template_versions": [(lambda ada: {"template_id": ada.template}, foreign)],
    "get_template_version": [
        (lambda ada: {"template_id": ada.template, "version": "1"}, foreign),
        (lambda ada: {"template_id": ada.template, "version": "production"}, foreign),
    ],
    "diff_template_versions": [(lambda ada: {"template_id": ada.template, "query": {"from": "1"}}, foreign)],
    "set_template_label": [
        (lambda ada: {"template_id": ada.template, "label": "mine", "body": {"version": 1}}, foreign),
        (lambda ada: {"template_id": ada.template, "label": "production", "body": {"version": 1}}, foreign),
    ],
    "remove_template_label": [(lambda ada: {"template_id": ada.template, "label": "canary"}, foreign)],
    "generate_prompt": [(lambda ada: {"body": {"template": {"id": ada.template}}}, foreign)],
    "create_session": [
        (lambda ada: {"body": {"template": {"id": ada.template}}}, foreign),
        (lambda ada: {"body": {"template": {"name": SECRET}}}, foreign),
    ],
    "list_sessions": [
        (lambda ada: {}, empty),
        (lambda ada: {"query": {"conversation_id": ada.conversation}}, empty),
    ],
    "get_session": [(lambda ada: {"session_id": ada.session}, foreign)],
    "change_session": [(lambda ada: {"session_id": ada.session, "body": {"idle_seconds": 60}}, foreign)],
    "list_session_status_changes": [(lambda ada: {"session_id": ada.session}, foreign)],
    "give_session_variables": [(lambda ada: {"session_id": ada.session, "body": {"variables": {}}}, foreign)],
    "pause_session": [(lambda ada: {"session_id": ada.session}, foreign)],
    "resume_session": [(lambda ada: {"session_id": ada.session}, foreign)],
    "complete_session": [(lambda ada: {"session_id": ada.session}, foreign)],
    "cancel_session": [(lambda ada: {"session_id": ada.session}, foreign)],
    "list_session_messages": [(lambda ada: {"session_id": ada.session}, foreign)],
    "list_checkpoints": [(lambda ada: {"session_id": ada.session}, foreign)],
    "get_checkpoint": [(lambda ada: {"session_id": ada.session, "number": "1"}, foreign)],
    "name_checkpoint": [(lambda ada: {"session_id": ada.session, "number": "1", "body": {"name": "x"}}, foreign)],
    "restore_checkpoint": [(lambda ada: {"session_id": ada.session, "number": "1"}, foreign)],
    "fork_session": [(lambda ada: {"session_id": ada.session, "body": {"checkpoint": 1}}, foreign)],
    "ask_turn": [
        (lambda ada: {"session_id": ada.session, "body": {"text": "Hi", "client_message_id": "m"}}, foreign),
    ],
    "list_turns": [(lambda ada: {"session_id": ada.session}, foreign)],
    "get_turn": [(lambda ada: {"turn_id": ada.turn}, foreign)],
    "cancel_turn": [(lambda ada: {"turn_id": ada.turn}, foreign)],
    "retry_turn": [(lambda ada: {"turn_id": ada.turn}, foreign)],
    "regenerate_turn": [(lambda ada: {"turn_id": ada.turn}, foreign)],
    "list_tool_approvals": [(lambda ada: {}, empty), (lambda ada: {"query": {"session_id": ada.session}}, empty)],
    "get_tool_approval": [(lambda ada: {"approval_id": ada.approval}, foreign)],
    "decide_tool_approval": [(lambda ada: {"approval_id": ada.approval, "body": {"decision": "approved"}}, foreign)],
    "list_conversations": [
        (lambda ada: {}, empty),
        (lambda ada: {"query": {"search": SECRET}}, empty),
    ],
    "get_conversation": [(lambda ada: {"conversation_id": ada.conversation}, foreign)],
    "change_conversation": [(lambda ada: {"conversation_id": ada.conversation, "body": {"title": "x"}}, foreign)],
    "delete_conversation": [(lambda ada: {"conversation_id": ada.conversation}, foreign)],
    "get_usage": [
        (lambda ada: {}, no_usage),
        (lambda ada: {"query": {"group_by": "session"}}, no_usage),
        (lambda ada: {"query": {"group_by": "turn", "session_id": ada.session}}, no_usage),
    ],
    "list_budgets": [(lambda ada: {}, empty)],
    "put_budget": [(lambda ada: {"period": "total", "body": {"stop_at": "7"}}, unspent)],
    "delete_budget": [(lambda ada: {"period": "total"}, foreign)],
    "put_session_budget": [(lambda ada: {"session_id": ada.session, "body": {"stop_at": "7"}}, foreign)],
    "delete_session_budget": [(lambda ada: {"session_id": ada.session}, foreign)],
    "list_events": [
        (lambda ada: {}, no_events),
        (lambda ada: {"query": {"types": ["document.*", "session.created"]}}, no_events),
        (lambda ada: {"query": {"after_seq": 1}}, beyond),
    ],
    "get_event": [(lambda ada: {"seq": "1"}, foreign)],
    "create_realtime_ticket": [(lambda ada: {}, own)],
    "create_integration": [
        (lambda ada: {"body": {"name": f"{SECRET}s", "url": URL, "slug": SECRET}}, own),
    ],
    "list_integrations": [(lambda ada: {}, empty), (lambda ada: {"query": {"status": "healthy"}}, empty)],
    "get_integration": [(lambda ada: {"integration_id": ada.integration}, foreign)],
    "change_integration": [
        (lambda ada: {"integration_id": ada.integration, "body": {"name": "mine"}}, foreign),
        (lambda ada: {"integration_id": ada.integration, "body": {"url": "https://example.org"}}, foreign),
    ],
    "delete_integration": [(lambda ada: {"integration_id": ada.integration}, foreign)],
    "enable_integration": [(lambda ada: {"integration_id": ada.integration}, foreign)],
    "disable_integration": [(lambda ada: {"integration_id": ada.integration}, foreign)],
    "maintain_integration": [
        (lambda ada: {"integration_id": ada.integration, "body": {"until": "2999-01-01T00:00:00Z"}}, unheard),
        (lambda ada: {"integration_id": ada.integration, "body": {"until": soon()}}, foreign),
    ],
    "end_integration_maintenance": [(lambda ada: {"integration_id": ada.integration}, foreign)],
    "check_integration": [(lambda ada: {"integration_id": ada.integration}, foreign)],
    "list_integration_checks": [(lambda ada: {"integration_id": ada.integration}, foreign)],
    "list_integration_tools": [(lambda ada: {"integration_id": ada.integration}, foreign)],
    "review_integration_tool": [
        (
            lambda ada: {
                "integration_id": ada.integration,
                "name": SECRET,
                "body": {"decision": "approve", "schema_hash": ada.held},
            },
            foreign,
        ),
    ],
    "change_integration_tool": [
        (lambda ada: {"integration_id": ada.integration, "name": SECRET, "body": {"capabilities": []}}, foreign),
    ],
    "discover_integration": [(lambda ada: {"body": {"url": URL}}, public)],
    "search_integration_registry": [(lambda ada: {"query": {"query": "nothing"}}, empty)],
    "get_health_details": [(lambda ada: {}, nothing_counted)],
    "get_health": [(lambda ada: {}, public)],
    "get_openapi": [(lambda ada: {}, public)],
}


def request_of(name: str, asked: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Method, path with what was asked for in its place, and the rest."""
    method, path, _ = operations()[name]
    place = {key: value for key, value in asked.items() if f"{{{key}}}" in path}
    return method, path.format(**place), {key: value for key, value in asked.items() if key not in place}


def everything(kb: KnowledgeBase) -> dict[str, Any]:
    """All rows of Ada, and what is in the bucket."""
    tables = [
        row["name"]
        for row in kb.rows(
            "SELECT attrelid::regclass::text AS name FROM pg_policy JOIN pg_attribute a ON attrelid = polrelid"
            " WHERE attname = 'user_id' AND polname = 'own_rows' ORDER BY 1"
        )
    ]
    rows = {
        table: kb.rows(f"SELECT t::text AS row FROM {table} t WHERE user_id = %s ORDER BY 1", ADA) for table in tables
    }
    return rows | {"objects": {key: len(versions) for key, versions in kb.objects.objects.items()}}


def test_every_route_has_a_case() -> None:
    assert CASES.keys() == operations().keys()


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(name, case, id=f"{name}-{number}")
        for name, cases in CASES.items()
        for number, case in enumerate(cases)
    ],
)
def test_another_user_neither_sees_nor_changes_anything(wired: KnowledgeBase, ada: Ada, name: str, case: Case) -> None:
    ask, holds = case
    method, path, request = request_of(name, ask(ada))
    before = everything(wired)
    answer = call(method, path, user=BOB, **request)
    holds(answer)
    if name not in REPEATING:
        assert SECRET not in answer.text
    assert everything(wired) == before
    assert not [message for message in wired.queue.messages if ada.collection in str(message)]


def test_the_owner_is_answered_where_the_other_is_not(wired: KnowledgeBase, ada: Ada) -> None:
    """The cases above would hold for a system that finds nothing at all."""
    answer = call("POST", "/v1/search", body={"query": SECRET, "collections": [ada.collection]})
    assert [hit["document_id"] for hit in answer.json["hits"]] == [ada.document]
    assert call("GET", f"/v1/documents/{ada.document}").status == 200
    assert len(call("GET", "/v1/documents").json["items"]) == 2


def test_a_cursor_of_another_user_opens_nothing(wired: KnowledgeBase, ada: Ada) -> None:
    cursor = call("GET", "/v1/documents", query={"limit": 1}).json["next_cursor"]
    assert cursor is not None
    empty(call("GET", "/v1/documents", query={"cursor": cursor}, user=BOB))


def test_an_idempotency_key_of_another_user_opens_nothing(wired: KnowledgeBase) -> None:
    request: dict[str, Any] = {"body": {"name": "papers"}, "headers": {"Idempotency-Key": "k"}}
    ids = {call("POST", "/v1/collections", user=user, **request).json["id"] for user in (ADA, BOB)}
    assert len(ids) == 2
