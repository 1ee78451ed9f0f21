"""Who may come in, and what they find: tokens, other tenants, repeated requests. By real HTTP."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from spandrel.ids import uuid7
from tests.support.owned import SECRET, Owned
from tests.support.stack_user import StackUser, rows, until
from tests.support.studio import PENDING_APPROVAL

SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


@dataclass(frozen=True, kw_only=True)
class Ada(Owned):
    user: StackUser

    def place(self, name: str, path: str) -> str:
        """`path` with what is Ada's in the place of its parameters."""
        return path.format(
            collection_id=self.collection,
            document_id=self.failed if name == "retry_document" else self.document,
            template_id=self.template,
            session_id=self.session,
            conversation_id=self.conversation,
            turn_id=self.turn,
            approval_id=self.approval,
            integration_id=self.integration,
            name=SECRET,
            version="1",
            label="canary",
            number="1",
            period="total",
            seq="1",
        )


@pytest.fixture(scope="module")
def ada(stack) -> Ada:
    user = StackUser(stack)
    collection = user.collection(name=f"{SECRET} papers")
    document = user.ready(collection, f"{SECRET}.md", f"The {SECRET} sings.".encode(), attributes={"kind": SECRET})
    failed = user.failed(collection, "blank.txt", b" \n")
    source = {"name": SECRET, "source": f'{{{{role "system"}}}}{SECRET} {{{{name}}}}'}
    template = user.call("POST", "/v1/templates", source)["template"]["id"]
    begin = {"template": {"id": template}, "variables": {"name": SECRET}, "title": SECRET}
    session = user.call("POST", "/v1/sessions", begin)
    ask = {"text": f"What of the {SECRET}?", "client_message_id": "1"}
    turn = user.call("POST", f"/v1/sessions/{session['id']}/turns", ask, status=202)["id"]
    until(lambda: user.call("GET", f"/v1/turns/{turn}")["status"] == "completed", what="the turn")
    user.call("PUT", "/v1/budgets/total", {"stop_at": "9"})
    [mine] = rows(stack, "SELECT user_id FROM turns WHERE id = %s", turn)
    question = (uuid7(), mine["user_id"], session["id"], turn, json.dumps({"what": SECRET}))
    [approval] = rows(stack, PENDING_APPROVAL, *question)
    server = {"name": SECRET, "url": "https://mcp.example.com", "auth": {"type": "bearer", "token": SECRET}}
    integration = user.call("POST", "/v1/integrations", server, status=201)["id"]
    user.call("POST", f"/v1/integrations/{integration}/disable", status=200)  # or a check would change it meanwhile
    return Ada(
        user=user,
        collection=collection,
        document=document["id"],
        failed=failed["id"],
        template=template,
        session=session["id"],
        conversation=session["conversation_id"],
        turn=turn,
        approval=str(approval["id"]),
        integration=integration,
    )


@pytest.fixture
def bob(stack) -> StackUser:
    return StackUser(stack)


@pytest.fixture(scope="module")
def operations(stack) -> dict[str, tuple[str, str, bool]]:
    """Operation id -> method, path and whether it is public, as the deployed API describes itself."""
    document = stack.http("GET", "/v1/openapi.json").json()
    return {
        operation["operationId"]: (method.upper(), path, operation.get("security") == [])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


# What another user sends, and what comes of it: `foreign` as if it did not exist, `empty` without an item or a hit,
# `own` made for himself, `refused`, `unfound` an answer in which nothing of hers shows.
CASES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "create_collection": ("own", [{"name": "papers"}]),
    "list_collections": ("empty", [{}]),
    "get_collection": ("foreign", [{}]),
    "rename_collection": ("foreign", [{"name": "mine"}]),
    "delete_collection": ("foreign", [{}]),
    "create_documents": ("foreign", [{"collection_id": "<collection>", "files": [{"name": "a.md"}]}]),
    "list_documents": ("empty", [{}, {"?": "collection_id=<collection>"}, {"?": "status=ready"}]),
    "get_document": ("foreign", [{}]),
    "list_document_chunks": ("foreign", [{}]),
    "upload_new_version": ("foreign", [{}]),
    "download_document": ("foreign", [{}]),
    "retry_document": ("foreign", [{}]),
    "delete_document": ("foreign", [{}]),
    "search": ("empty", [{"query": SECRET}, {"query": SECRET, "mode": "text"}, {"query": SECRET, "mode": "vector"}]),
    "create_template": ("own", [{"name": "mine", "source": "mine"}]),
    "list_templates": ("empty", [{}, {"?": f"name_prefix={SECRET}"}]),
    "validate_template": ("unfound", [{"source": f"{{{{> {SECRET}}}}}"}]),
    "get_template": ("foreign", [{}]),
    "update_template": ("foreign", [{"visibility": "shared"}]),
    "delete_template": ("foreign", [{}]),
    "save_template_version": ("foreign", [{"source": "mine"}]),
    "list_template_versions": ("foreign", [{}]),
    "get_template_version": ("foreign", [{}]),
    "diff_template_versions": ("foreign", [{"?": "from=1"}]),
    "set_template_label": ("foreign", [{"version": 1}]),
    "remove_template_label": ("foreign", [{}]),
    "generate_prompt": ("foreign", [{"template": {"id": "<template>"}}]),
    "create_session": ("foreign", [{"template": {"id": "<template>"}}]),
    "list_sessions": ("empty", [{}, {"?": "conversation_id=<conversation>"}]),
    "get_session": ("foreign", [{}]),
    "change_session": ("foreign", [{"idle_seconds": 60}]),
    "list_session_status_changes": ("foreign", [{}]),
    "give_session_variables": ("foreign", [{"variables": {}}]),
    "pause_session": ("foreign", [{}]),
    "resume_session": ("foreign", [{}]),
    "complete_session": ("foreign", [{}]),
    "cancel_session": ("foreign", [{}]),
    "list_session_messages": ("foreign", [{}]),
    "list_checkpoints": ("foreign", [{}]),
    "get_checkpoint": ("foreign", [{}]),
    "name_checkpoint": ("foreign", [{"name": "mine"}]),
    "restore_checkpoint": ("foreign", [{}]),
    "fork_session": ("foreign", [{"checkpoint": 1}]),
    "ask_turn": ("foreign", [{"text": "Hi", "client_message_id": "2"}]),
    "list_turns": ("foreign", [{}]),
    "get_turn": ("foreign", [{}]),
    "cancel_turn": ("foreign", [{}]),
    "retry_turn": ("foreign", [{}]),
    "regenerate_turn": ("foreign", [{}]),
    "list_tool_approvals": ("empty", [{}, {"?": "session_id=<session>"}]),
    "get_tool_approval": ("foreign", [{}]),
    "decide_tool_approval": ("foreign", [{"decision": "approved"}]),
    "list_conversations": ("empty", [{}, {"?": f"search={SECRET}"}]),
    "get_conversation": ("foreign", [{}]),
    "change_conversation": ("foreign", [{"title": "mine"}]),
    "delete_conversation": ("foreign", [{}]),
    "get_usage": ("empty", [{}, {"?": "group_by=turn&session_id=<session>"}]),
    "list_budgets": ("empty", [{}]),
    "delete_budget": ("foreign", [{}]),
    "put_budget": ("unfound", [{"stop_at": "1"}]),
    "put_session_budget": ("foreign", [{"stop_at": "1"}]),
    "delete_session_budget": ("foreign", [{}]),
    "list_events": ("empty", [{}, {"?": "types=document.*"}]),
    "get_event": ("foreign", [{}]),
    "create_realtime_ticket": ("own", [{}]),
    "create_integration": ("own", [{"name": "mine", "url": "https://mcp.example.com"}]),
    "list_integrations": ("empty", [{}, {"?": "status=unknown"}]),
    "get_integration": ("foreign", [{}]),
    "change_integration": ("foreign", [{"name": "mine"}, {"url": "https://example.org"}]),
    "delete_integration": ("foreign", [{}]),
    "enable_integration": ("foreign", [{}]),
    "disable_integration": ("foreign", [{}]),
    "maintain_integration": ("foreign", [{"until": SOON}]),
    "end_integration_maintenance": ("foreign", [{}]),
    "check_integration": ("foreign", [{}]),
    "list_integration_checks": ("foreign", [{}]),
    "list_integration_tools": ("foreign", [{}]),
    "review_integration_tool": ("foreign", [{"decision": "approve", "schema_hash": "0" * 64}]),
    "change_integration_tool": ("foreign", [{"capabilities": []}]),
    "discover_integration": ("unfound", [{"url": "http://127.0.0.1:9"}]),
    "search_integration_registry": ("refused", [{"?": "limit=1000"}]),
    "get_health_details": ("unfound", [{}]),
    "get_health": ("public", [{}]),
    "get_openapi": ("public", [{}]),
}


def test_every_operation_has_a_case(operations):
    assert set(operations) <= set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_another_user_neither_sees_nor_changes_anything(stack, ada, bob, operations, name):
    method, path, _ = operations.get(name, ("GET", "/v1/openapi.json", True))
    outcome, requests = CASES[name]
    before = _everything(ada)
    for request in requests:
        target = ada.place(name, path)
        body = _filled(request, ada)
        if query := body.pop("?", None):
            target += f"?{query}"
        answer = stack.http(method, target, token=bob.token, json_body=body or None)
        _holds(outcome, answer)
        # His own request is repeated to him where a fault names it.
        assert outcome in ("public", "unfound") or SECRET not in answer.text
    assert _everything(ada) == before


def test_a_collection_of_another_user_cannot_be_searched(stack, ada, bob):
    for mode in ("hybrid", "vector", "text"):
        body = {"query": SECRET, "mode": mode, "collections": [ada.collection]}
        assert stack.http("POST", "/v1/search", token=bob.token, json_body=body).status == 404


def test_the_owner_finds_what_the_other_does_not(ada):
    assert [hit["document_id"] for hit in ada.user.hits(SECRET, collections=[ada.collection])] == [ada.document]


def test_a_cursor_of_another_user_opens_nothing(ada, bob):
    cursor = ada.user.call("GET", "/v1/documents?limit=1")["next_cursor"]
    assert cursor
    assert bob.call("GET", f"/v1/documents?cursor={cursor}") == {"items": [], "next_cursor": None}


def test_without_a_genuine_token_nothing_but_the_public_routes_answers(stack, ada, operations):
    head, payload, signature = ada.user.token.split(".")
    forged = f"{head}.{payload}.{signature[:-8]}AAAAAAAA"
    unsigned = f"eyJhbGciOiJub25lIn0.{payload}."
    for name, (method, path, public) in operations.items():
        target = ada.place(name, path)
        for token in (None, forged, unsigned, "nonsense"):
            body = {} if method in ("POST", "PUT", "PATCH") else None
            answer = stack.http(method, target, token=token, json_body=body)
            assert answer.status == (200 if public else 401), (method, path, token, answer.text)


def test_a_repeated_request_with_its_key_does_the_work_once(ada):
    key, name = uuid4().hex, f"once {uuid4().hex[:8]}"
    made = [ada.user.call("POST", "/v1/collections", {"name": name}, Idempotency_Key=key)["id"] for _ in range(3)]
    assert len(set(made)) == 1
    other = ada.user.call("POST", "/v1/collections", {"name": f"{name}!"}, status=422, Idempotency_Key=key)
    assert other["code"] == "idempotency_key_reused"
    taken = ada.user.call("POST", "/v1/collections", {"name": name}, status=409)
    assert taken["code"] == "name_taken"


def test_requests_at_once_with_one_key_make_one_set_of_documents(stack, ada):
    collection, key = ada.user.collection(), uuid4().hex
    body = {"collection_id": collection, "files": [{"name": "a.txt"}, {"name": "b.txt"}]}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: ada.user.call("POST", "/v1/documents", body, Idempotency_Key=key), range(6)))
    assert len({tuple(item["document"]["id"] for item in answer["items"]) for answer in answers}) == 1
    assert rows(stack, "SELECT count(*) AS n FROM documents WHERE collection_id = %s", collection) == [{"n": 2}]
    assert ada.user.call("GET", f"/v1/collections/{collection}")["document_count"] == 2
    # The forms of the repeat are as good as the first ones.
    item = answers[-1]["items"][0]
    ada.user.send(item["upload"], b"Sent with the form of a repeat.")
    assert ada.user.settled(item["document"]["id"])["status"] == "ready"


def test_faults_are_problems_with_a_code(stack, ada):
    refused = [
        ("GET", "/v1/nothing", None, 404, "not_found"),
        ("GET", "/v1/documents/not-a-uuid", None, 422, "invalid_request"),
        ("PUT", "/v1/collections", {}, 405, "method_not_allowed"),
        ("POST", "/v1/collections", {"name": ""}, 422, "invalid_request"),
        ("POST", "/v1/search", {"query": "x", "top_k": 51}, 422, "invalid_request"),
        ("POST", "/v1/search", {"query": "x", "filter": {"year": {"about": 3}}}, 422, "invalid_request"),
    ]
    for method, path, body, status, code in refused:
        answer = stack.http(method, path, token=ada.user.token, json_body=body)
        assert (answer.status, answer.json()["code"]) == (status, code), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    for path in ("/v1/collections", "/v1/search"):
        headers = {"content-type": "application/json"}
        answer = stack.http("POST", path, token=ada.user.token, data=b'{"query": ', headers=headers)
        assert (answer.status, answer.json()["code"]) == (400, "invalid_json")


def _filled(request: dict[str, Any], ada: Ada) -> dict[str, Any]:
    text = json.dumps(request)
    for name in ("collection", "template", "conversation", "session"):
        text = text.replace(f"<{name}>", getattr(ada, name))
    filled: dict[str, Any] = json.loads(text)
    return filled


def _holds(outcome: str, answer: Any) -> None:
    if outcome == "foreign":
        assert (answer.status, answer.json()["code"]) == (404, "not_found"), answer.text
    elif outcome == "empty":
        assert answer.status == 200, answer.text
        found = answer.json()
        assert (found["items"] if "items" in found else found["hits"]) == []
    elif outcome == "refused":  # before anything leaves this machine
        assert (answer.status, answer.json()["code"]) == (422, "invalid_request"), answer.text
    else:
        assert answer.status == (201 if outcome == "own" else 200), answer.text


def _everything(ada: Ada) -> list[dict[str, Any]]:
    """All rows that belong to Ada, and the versions of her document's object."""
    [row] = rows(ada.user.stack, "SELECT user_id FROM collections WHERE id = %s", ada.collection)
    tables = ("collections", "documents", "chunks", "chunk_embeddings", "chunk_codes", "chunk_terms", "events")
    tables += ("templates", "template_versions", "template_labels", "conversations", "agent_sessions", "branches")
    tables += (
        "integrations",
        "integration_tools",
        "integration_checks",
        "messages",
        "turns",
        "tool_approvals",
        "session_checkpoints",
        "session_status_changes",
        "usage_ledger",
        "budgets",
    )
    query = " UNION ALL ".join(f"SELECT t::text AS row FROM {table} t WHERE user_id = %(user)s" for table in tables)
    import psycopg

    with psycopg.connect(ada.user.stack.database_url) as connection:
        found = connection.execute(f"{query} ORDER BY 1", {"user": row["user_id"]}).fetchall()
    page = ada.user.stack.client("s3").list_object_versions(
        Bucket=ada.user.stack.bucket, Prefix=f"documents/{ada.document}"
    )
    return [*found, [version["VersionId"] for version in page["Versions"]]]
