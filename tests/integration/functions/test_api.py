"""The HTTP API through its handlers, on real Postgres: shapes, problems, idempotency, pages, odd input."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from spandrel import __version__, pagination, wiring
from spandrel.database import SCHEMA_VERSION
from spandrel.idempotency.key import IdempotencyKey
from spandrel.knowledge.collections import Collections
from spandrel.knowledge.models import DOCUMENT_STATUSES
from spandrel.knowledge.store import NewCollection
from tests.support.api import Answer, call, operations, validate
from tests.support.events import Context, http_event
from tests.support.knowledge import ADA, KnowledgeBase

pytestmark = pytest.mark.usefixtures("wired")


def made(name: str = "papers", **more: Any) -> str:
    answer = call("POST", "/v1/collections", body={"name": name} | more)
    assert answer.status == 201, answer.text
    return str(answer.json["id"])


def announced(collection_id: str, *files: dict[str, Any]) -> list[str]:
    body = {"collection_id": collection_id, "files": list(files) or [{"name": "a.md"}]}
    answer = call("POST", "/v1/documents", body=body)
    assert answer.status == 201, answer.text
    return [item["document"]["id"] for item in answer.json["items"]]


# -- shapes


def successes(kb: KnowledgeBase) -> dict[str, Answer]:
    """Every operation, done right."""
    answers = {"create_collection": call("POST", "/v1/collections", body={"name": "papers"})}
    collection = answers["create_collection"].json["id"]
    files = [{"name": "a.md", "attributes": {"year": 1851}, "content_type": "text/markdown"}, {"name": "b.md"}]
    answers["create_documents"] = call("POST", "/v1/documents", body={"collection_id": collection, "files": files})
    ready, failed = (UUID(item["document"]["id"]) for item in answers["create_documents"].json["items"])
    kb.upload(ready, "# Whales\n\nWhales sing.")
    kb.upload(failed, " ")
    answers["create_template"] = call("POST", "/v1/templates", body={"name": "greet", "source": "Hello {{name}}"})
    template = f"/v1/templates/{answers['create_template'].json['template']['id']}"
    return answers | {
        "list_templates": call("GET", "/v1/templates"),
        "get_template": call("GET", template),
        "update_template": call("PATCH", template, body={"visibility": "shared"}),
        "validate_template": call("POST", "/v1/template-checks", body={"source": "{{#if x}}"}),
        "save_template_version": call("POST", f"{template}/versions", body={"source": "{{#if name}}Hi{{/if}}"}),
        "list_template_versions": call("GET", f"{template}/versions"),
        "get_template_version": call("GET", f"{template}/versions/latest"),
        "diff_template_versions": call("GET", f"{template}/diff", query={"from": 1, "to": 2}),
        "set_template_label": call("PUT", f"{template}/labels/canary", body={"version": 2}),
        "remove_template_label": call("DELETE", f"{template}/labels/canary"),
        "delete_template": call("DELETE", template),
        "list_collections": call("GET", "/v1/collections"),
        "get_collection": call("GET", f"/v1/collections/{collection}"),
        "rename_collection": call("PATCH", f"/v1/collections/{collection}", body={"name": "books"}),
        "list_documents": call("GET", "/v1/documents"),
        "get_document": call("GET", f"/v1/documents/{failed}"),
        "list_document_chunks": call("GET", f"/v1/documents/{ready}/chunks"),
        "upload_new_version": call("POST", f"/v1/documents/{ready}/upload"),
        "download_document": call("GET", f"/v1/documents/{ready}/download"),
        "retry_document": call("POST", f"/v1/documents/{failed}/retry"),
        "search": call("POST", "/v1/search", body={"query": "whales", "filter": {"year": 1851}}),
        "get_usage": call("GET", "/v1/usage"),
        "put_budget": call("PUT", "/v1/budgets/day", body={"warn_at": "1", "stop_at": "2.50"}),
        "list_budgets": call("GET", "/v1/budgets"),
        "delete_budget": call("DELETE", "/v1/budgets/day"),
        "list_events": call("GET", "/v1/events"),
        "get_event": call("GET", "/v1/events/1"),
        "create_realtime_ticket": call("POST", "/v1/realtime/tickets"),
        "delete_document": call("DELETE", f"/v1/documents/{ready}"),
        "delete_collection": call("DELETE", f"/v1/collections/{collection}"),
        "get_health_details": call("GET", "/v1/health/details"),
        "get_health": call("GET", "/v1/health", user=None),
        "get_openapi": call("GET", "/v1/openapi.json", user=None),
    }


def test_every_operation_answers_as_the_contract_says(kb: KnowledgeBase) -> None:
    answers = successes(kb)
    # In a file of their own.
    elsewhere = {"sessions", "turns", "conversations", "prompts", "tool-approvals", "integrations"}
    here = {
        name
        for name, (_, path, operation) in operations().items()
        if not elsewhere & {*operation["tags"], *path.split("/")}
    }
    assert answers.keys() == here
    for name, answer in answers.items():
        assert 200 <= answer.status < 300, (name, answer.text)
        assert str(answer.status) in operations()[name][2]["responses"], name
        validate(name, answer)


def test_a_hit_reaches_the_client_whole(kb: KnowledgeBase) -> None:
    [hit] = successes(kb)["search"].json["hits"]
    assert (hit["text"], hit["heading_path"], hit["attributes"]) == (
        "# Whales\n\nWhales sing.",
        ["Whales"],
        {"year": 1851},
    )


def test_a_failed_document_says_why(kb: KnowledgeBase) -> None:
    document = successes(kb)["get_document"].json
    assert document["status"] == "failed"
    assert document["error"]["code"] == "no_text"


def test_the_contract_is_served() -> None:
    answer = call("GET", "/v1/openapi.json")
    assert answer.status == 200
    assert answer.json["openapi"].startswith("3.1")


def test_health_tells_the_schema() -> None:
    assert call("GET", "/v1/health", user=None).json == {
        "status": "ok",
        "version": __version__,
        "schema_version": SCHEMA_VERSION,
    }


# -- problems


NOBODY = "0199d3a5-5f1c-7c1e-9d47-3c2b1f0e8a64"  # names nothing


@pytest.mark.parametrize(
    ("method", "path", "request_", "status", "code"),
    [
        ("GET", "/v1/nowhere", {}, 404, "not_found"),
        ("PUT", "/v1/collections", {}, 405, "method_not_allowed"),
        ("GET", f"/v1/collections/{NOBODY}", {}, 404, "not_found"),
        ("PATCH", f"/v1/collections/{NOBODY}", {"body": {"name": "x"}}, 404, "not_found"),
        ("DELETE", f"/v1/collections/{NOBODY}", {}, 404, "not_found"),
        ("GET", f"/v1/documents/{NOBODY}", {}, 404, "not_found"),
        ("GET", f"/v1/documents/{NOBODY}/chunks", {}, 404, "not_found"),
        ("POST", f"/v1/documents/{NOBODY}/retry", {}, 404, "not_found"),
        ("POST", f"/v1/documents/{NOBODY}/upload", {}, 404, "not_found"),
        ("GET", f"/v1/documents/{NOBODY}/download", {}, 404, "not_found"),
        ("DELETE", f"/v1/documents/{NOBODY}", {}, 404, "not_found"),
        ("POST", "/v1/documents", {"body": {"collection_id": NOBODY, "files": [{"name": "a"}]}}, 404, "not_found"),
        ("POST", "/v1/search", {"body": {"query": "x", "collections": [NOBODY]}}, 404, "not_found"),
        ("DELETE", "/v1/budgets/month", {}, 404, "not_found"),
        ("DELETE", f"/v1/sessions/{NOBODY}/budget", {}, 404, "not_found"),
        ("PUT", "/v1/budgets/year", {"body": {"stop_at": "1"}}, 422, "invalid_request"),
        ("PUT", "/v1/budgets/day", {"body": {}}, 422, "invalid_request"),
        ("PUT", "/v1/budgets/day", {"body": {"stop_at": 1}}, 422, "invalid_request"),
        ("PUT", "/v1/budgets/day", {"body": {"stop_at": "-1"}}, 422, "invalid_request"),
        ("PUT", "/v1/budgets/day", {"body": {"stop_at": "1e3"}}, 422, "invalid_request"),
        ("PUT", "/v1/budgets/day", {"body": {"stop_at": "1\n"}}, 422, "invalid_request"),
        ("PUT", "/v1/budgets/day", {"body": {"stop_at": "1", "warn_at": "2"}}, 422, "invalid_request"),
        ("PUT", "/v1/budgets/day", {"body": {"stop_at": "1", "currency": "EUR"}}, 422, "invalid_request"),
        ("GET", "/v1/usage", {"query": {"group_by": "mood"}}, 422, "invalid_request"),
        ("GET", "/v1/usage", {"query": {"from": "2026-01-01T00:00:00"}}, 422, "invalid_request"),
        ("GET", "/v1/usage", {"query": {"to": "0001-01-01T00:00:00Z"}}, 422, "invalid_request"),
        ("GET", "/v1/usage", {"query": {"limit": 1001}}, 422, "invalid_request"),
        ("GET", "/v1/collections/not-an-id", {}, 422, "invalid_request"),
        ("POST", "/v1/collections", {"raw": "{"}, 400, "invalid_json"),
        ("POST", "/v1/collections", {"raw": ""}, 422, "invalid_request"),
        ("POST", "/v1/collections", {"raw": "[]"}, 422, "invalid_request"),
        ("POST", "/v1/collections", {"body": {}}, 422, "invalid_request"),
        ("POST", "/v1/collections", {"body": {"name": "x", "unknown": 1}}, 422, "invalid_request"),
        ("POST", "/v1/collections", {"body": {"name": "x", "language": "klingon"}}, 422, "invalid_request"),
        ("POST", "/v1/collections", {"body": {"name": "x", "chunk_size": 49}}, 422, "invalid_request"),
        ("POST", "/v1/collections", {"body": {"name": "x", "chunk_size": 10**30}}, 422, "invalid_request"),
        ("POST", "/v1/collections", {"body": {"name": "x", "chunk_size": "400x"}}, 422, "invalid_request"),
        (
            "POST",
            "/v1/collections",
            {"body": {"name": "x", "chunk_size": 100, "chunk_overlap": 51}},
            422,
            "invalid_request",
        ),
        ("GET", "/v1/collections", {"query": {"limit": 0}}, 422, "invalid_request"),
        ("GET", "/v1/collections", {"query": {"limit": 101}}, 422, "invalid_request"),
        ("GET", "/v1/collections", {"query": {"limit": 10**30}}, 422, "invalid_request"),
        ("GET", "/v1/documents", {"query": {"status": "lost"}}, 422, "invalid_request"),
        ("GET", "/v1/documents", {"query": {"collection_id": "x"}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"raw": "{"}, 400, "invalid_json"),
        ("POST", "/v1/search", {"raw": ""}, 400, "invalid_json"),
        ("POST", "/v1/search", {"raw": "[]"}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": ""}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": "x" * 8001}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": "x", "unknown": 1}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": "x", "top_k": 0}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": "x", "top_k": 51}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": "x", "top_k": 10**30}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": "x", "mode": "magic"}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": "x", "collections": []}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": "x", "collections": ["x"]}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": "x", "score_threshold": -1}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": "x", "filter": {}}}, 422, "invalid_request"),
        ("POST", "/v1/search", {"body": {"query": "x", "filter": {"a\0": 1}}}, 422, "invalid_request"),
    ],
)
def test_what_goes_wrong_is_a_problem_with_a_code(
    method: str, path: str, request_: dict[str, Any], status: int, code: str
) -> None:
    answer = call(method, path, **request_)
    assert (answer.status, answer.code) == (status, code)
    assert answer.json["instance"] == "urn:spandrel:request:request-1"
    assert answer.json["type"] == f"urn:spandrel:problem:{code}"


def test_a_problem_names_the_field_at_fault() -> None:
    answer = call("POST", "/v1/collections", body={"name": "x", "chunk_size": 1})
    assert [fault["field"] for fault in answer.json["errors"]] == ["body.chunk_size"]
    assert "top_k" in call("POST", "/v1/search", body={"query": "x", "top_k": "many"}).json["detail"]


def test_without_an_identity_nothing_is_answered() -> None:
    for name, (method, path, _) in operations().items():
        answer = call(method, path.replace("{", "").replace("}", ""), user=None, body={"query": "x"})
        expected = (200, 401) if name in ("get_health", "get_openapi") else (401, 422)
        assert answer.status in expected, name
    assert call("GET", "/v1/collections", user=None).code == "unauthenticated"
    assert call("POST", "/v1/search", user=None, body={"query": "x"}).code == "unauthenticated"


@pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": 7}, None])
def test_an_identity_without_a_subject_is_none(claims: Any) -> None:
    from functions.vector_search.handler import handler

    event = http_event("POST", "/v1/search", body={"query": "x"})
    event["requestContext"]["authorizer"] = {"jwt": {"claims": claims}}
    assert handler(event, Context())["statusCode"] == 401


def test_what_nobody_foresaw_tells_nothing_of_the_inside(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("secret-value")

    monkeypatch.setattr(wiring, "collections", fail)
    monkeypatch.setattr(wiring, "search", fail)
    for answer in (call("GET", "/v1/collections"), call("POST", "/v1/search", body={"query": "x"})):
        assert (answer.status, answer.code) == (500, "internal_error")
        assert "secret-value" not in answer.text


def test_a_schema_that_is_not_ours_is_told(kb: KnowledgeBase) -> None:
    kb.rows("UPDATE schema_version SET compatible_from = 99, version = 99")
    for answer in (
        call("GET", "/v1/collections"),
        call("GET", "/v1/health"),
        call("POST", "/v1/search", body={"query": "x", "mode": "text"}),
    ):
        assert (answer.status, answer.code) == (503, "schema_version_mismatch")
    kb.rows("UPDATE schema_version SET compatible_from = 1, version = %s", SCHEMA_VERSION)
    assert call("GET", "/v1/collections").status == 200


def test_a_body_in_base64_is_understood() -> None:
    from functions.vector_search.handler import handler

    event = http_event("POST", "/v1/search", raw=base64.b64encode(b'{"query": "x"}').decode())
    event["isBase64Encoded"] = True
    assert handler(event, Context())["statusCode"] == 200
    event["body"] = "no base64!"
    assert handler(event, Context())["statusCode"] == 400


def test_a_provider_that_is_away_is_told_with_a_way_out(kb: KnowledgeBase) -> None:
    from spandrel.errors import EmbeddingUnavailableError

    kb.embedder.failures.append(EmbeddingUnavailableError())
    answer = call("POST", "/v1/search", body={"query": "x"})
    assert (answer.status, answer.code) == (503, "embedding_unavailable")
    assert 'mode "text"' in answer.json["detail"]


# -- odd input

ODD_TEXTS = ["a\0b", "a\nb", "\ud800", "\x7f", " ", "", "x" * 1025]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_names_that_cannot_be_shown_are_refused(text: str) -> None:
    collection = made()
    files = [{"name": text}]
    for answer in (
        call("POST", "/v1/collections", body={"name": text}),
        call("PATCH", f"/v1/collections/{collection}", body={"name": text}),
        call("POST", "/v1/documents", body={"collection_id": collection, "files": files}),
    ):
        assert (answer.status, answer.code) == (422, "invalid_request")


@pytest.mark.parametrize(
    "attributes",
    [
        '{"a": "b\\u0000"}',
        '{"a\\u0000": 1}',
        '{"a": "\\ud800"}',
        '{"\\ud800": 1}',
        '{"a": {"b": ["\\u0000"]}}',
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": [-Infinity]}',
        '{"a": [[[[[1]]]]]}',
        '{"a": "' + "x" * 8192 + '"}',
        "[]",
        "null",
        '{"a": ' + "[" * 5000 + "]" * 5000 + "}",
    ],
)
def test_attributes_that_cannot_be_stored_are_refused(attributes: str) -> None:
    raw = f'{{"collection_id": "{made()}", "files": [{{"name": "a", "attributes": {attributes}}}]}}'
    answer = call("POST", "/v1/documents", raw=raw)
    assert (answer.status, answer.code) in ((422, "invalid_request"), (400, "invalid_json"))


@pytest.mark.parametrize(
    "attributes",
    [
        {"big": 10**30, "small": -(10**30), "real": 2.5},
        {"ünï": "cödé 😀", "": "", 'q"': "\\"},
        {"list": [1, "a", None, True], "deep": {"a": {"b": {"c": 1}}}},
    ],
)
def test_attributes_come_back_as_they_were_sent(attributes: dict[str, Any]) -> None:
    [document] = announced(made(), {"name": "a", "attributes": attributes})
    assert call("GET", f"/v1/documents/{document}").json["attributes"] == attributes


def test_unknown_fields_with_odd_names_are_refused() -> None:
    for raw in ('{"name": "x", "\\ud800": 1}', '{"name": "x", "\\u0000": 1}'):
        assert call("POST", "/v1/collections", raw=raw).code == "invalid_request"


@pytest.mark.parametrize("query", ["\0", "\x1b[0m", "😀", "x" * 8000, "'; --", "\u202e"])
def test_any_query_is_searched(kb: KnowledgeBase, query: str) -> None:
    kb.add(kb.collection(), "Whales.")
    assert call("POST", "/v1/search", body={"query": query}).status == 200


def test_a_query_with_a_lone_surrogate_is_refused() -> None:
    answer = call("POST", "/v1/search", raw='{"query": "\\ud800"}')
    assert answer.status in (400, 422)


# -- idempotency


def keyed(key: str, body: dict[str, Any], path: str = "/v1/collections", user: str = ADA) -> Answer:
    return call("POST", path, body=body, headers={"Idempotency-Key": key}, user=user)


def test_the_same_request_under_a_key_is_done_once() -> None:
    first, again = (keyed("k1", {"name": "papers"}) for _ in range(2))
    assert (first.status, again.status) == (201, 201)
    assert again.json == first.json
    assert len(call("GET", "/v1/collections").json["items"]) == 1


def test_a_key_is_good_for_its_request_alone() -> None:
    keyed("k1", {"name": "papers"})
    answer = keyed("k1", {"name": "books"})
    assert (answer.status, answer.code) == (422, "idempotency_key_reused")
    assert len(call("GET", "/v1/collections").json["items"]) == 1


def test_the_spelling_of_the_same_request_does_not_matter() -> None:
    first = keyed("k1", {"name": "papers"})
    assert keyed("k1", {"language": "english", "name": "papers"}).json == first.json


def test_a_key_belongs_to_its_user() -> None:
    mine, other = keyed("k1", {"name": "papers"}), keyed("k1", {"name": "papers"}, user="bob")
    assert mine.json["id"] != other.json["id"]


def test_documents_are_announced_once_under_a_key_with_fresh_forms() -> None:
    body = {"collection_id": made(), "files": [{"name": "a.md"}, {"name": "b.md"}]}
    first, again = (keyed("k1", body, "/v1/documents") for _ in range(2))
    assert [item["document"] for item in again.json["items"]] == [item["document"] for item in first.json["items"]]
    assert len(call("GET", "/v1/documents").json["items"]) == 2


def test_a_request_that_failed_leaves_its_key_free() -> None:
    collection = made("papers")
    assert keyed("k1", {"name": "papers"}).code == "name_taken"
    call("DELETE", f"/v1/collections/{collection}")
    assert keyed("k1", {"name": "papers"}).status == 201


@pytest.mark.parametrize("key", ["", "ü", "a b", "x" * 256])
def test_keys_that_no_header_should_hold_are_refused(key: str) -> None:
    assert keyed(key, {"name": "papers"}).code == "invalid_request"


def test_twenty_requests_at_once_under_a_key_make_one_collection(kb: KnowledgeBase) -> None:
    new = NewCollection("papers")
    key = IdempotencyKey.of(ADA, "k1", "create_collection", {"name": "papers"})

    def create(_: int) -> UUID:
        database = kb.connect("spandrel_app")
        try:
            return Collections(database, kb.queue).create(ADA, new, key).id
        finally:
            database.close()

    with ThreadPoolExecutor(20) as pool:
        ids = set(pool.map(create, range(20)))
    assert len(ids) == 1
    assert kb.one("SELECT count(*) FROM collections") == 1
    assert kb.events() == ["collection.created"]


# -- pages


def walk(path: str, limit: int, **query: Any) -> list[str]:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(100):
        answer = call("GET", path, query={"limit": limit} | query | cursor)
        assert answer.status == 200, answer.text
        assert len(answer.json["items"]) <= limit
        seen += [item["id"] for item in answer.json["items"]]
        if answer.json["next_cursor"] is None:
            return seen
        cursor = {"cursor": answer.json["next_cursor"]}
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_have_no_gap_and_no_repeat(limit: int) -> None:
    ids = [made(f"c{n}") for n in range(7)]
    assert walk("/v1/collections", limit) == ids[::-1]


def test_what_is_made_meanwhile_does_not_shift_the_pages() -> None:
    ids = [made(f"c{n}") for n in range(4)]
    first = call("GET", "/v1/collections", query={"limit": 2}).json
    made("late")
    rest = call("GET", "/v1/collections", query={"limit": 2, "cursor": first["next_cursor"]}).json
    assert [item["id"] for item in first["items"] + rest["items"]] == ids[::-1]


def test_documents_are_paged_within_their_collection() -> None:
    one, other = made("one"), made("other")
    ids = announced(one, *({"name": f"{n}"} for n in range(5)))
    announced(other)
    assert walk("/v1/documents", 2, collection_id=one) == ids[::-1]
    assert len(walk("/v1/documents", 2)) == 6


def test_chunks_are_paged_by_their_ordinals(kb: KnowledgeBase) -> None:
    document = kb.publish(kb.collection(), [f"text {n}" for n in range(5)])
    seen, start = [], 0
    while start is not None:
        page = call("GET", f"/v1/documents/{document}/chunks", query={"limit": 2, "from_ordinal": start}).json
        seen += [item["text"] for item in page["items"]]
        start = page["next_ordinal"]
    assert seen == [f"text {n}" for n in range(5)]


def test_long_chunks_come_in_shorter_pages(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    document = kb.publish(kb.collection(), [f"{number} " * 200 for number in range(5)])
    monkeypatch.setattr(pagination, "MOST_BYTES", 1500)
    found, ordinal = [], 0
    while ordinal is not None:
        page = call("GET", f"/v1/documents/{document}/chunks", query={"from_ordinal": ordinal}).json
        assert len(page["items"]) < 5
        found += [chunk["ordinal"] for chunk in page["items"]]
        ordinal = page["next_ordinal"]
    assert found == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("cursor", ["x", "", "=", "AAAA", "\0", "ü", "A" * 64, "A" * 65, "!" * 22])
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    answer = call("GET", "/v1/collections", query={"cursor": cursor})
    assert (answer.status, answer.code) == (422, "invalid_request")


def test_documents_are_filtered_by_status(kb: KnowledgeBase) -> None:
    collection = made()
    waiting, failed = announced(collection, {"name": "a"}, {"name": "b"})
    kb.upload(UUID(failed), " ")
    assert walk("/v1/documents", 10, status="failed") == [failed]
    assert walk("/v1/documents", 10, status=["failed", "awaiting_upload"]) == [failed, waiting]
    assert walk("/v1/documents", 10, status="ready") == []
    assert len(walk("/v1/documents", 10, status=list(DOCUMENT_STATUSES))) == 2


# -- collections and documents


def test_a_name_is_taken_until_its_collection_is_deleted() -> None:
    collection = made("papers")
    assert call("POST", "/v1/collections", body={"name": "papers"}).code == "name_taken"
    other = made("books")
    assert call("PATCH", f"/v1/collections/{other}", body={"name": "papers"}).code == "name_taken"
    call("DELETE", f"/v1/collections/{collection}")
    made("papers")


def test_a_collection_keeps_its_name_when_renamed_to_it() -> None:
    collection = made("papers")
    assert call("PATCH", f"/v1/collections/{collection}", body={"name": "papers"}).status == 200


def test_deleting_twice_finds_nothing(kb: KnowledgeBase) -> None:
    collection = made()
    [document] = announced(collection)
    for path in (f"/v1/documents/{document}", f"/v1/collections/{collection}"):
        assert call("DELETE", path).status == 204
        assert call("DELETE", path).code == "not_found"


def test_a_deletion_whose_object_stayed_can_be_repeated(kb: KnowledgeBase) -> None:
    document = kb.add(kb.collection(), "Whales.")
    kb.objects.broken = True
    answer = call("DELETE", f"/v1/documents/{document}")
    assert (answer.status, answer.code) == (503, "storage_unavailable")
    assert call("GET", f"/v1/documents/{document}").json["status"] == "deleting"
    assert call("POST", f"/v1/documents/{document}/upload").code == "conflict"
    kb.objects.broken = False
    assert call("DELETE", f"/v1/documents/{document}").status == 204
    assert call("GET", f"/v1/documents/{document}").code == "not_found"
    assert kb.collections.get(ADA, kb.one("SELECT id FROM collections")).document_count == 0


def test_only_what_failed_is_retried(kb: KnowledgeBase) -> None:
    [document] = announced(made())
    answer = call("POST", f"/v1/documents/{document}/retry")
    assert (answer.status, answer.code) == (409, "conflict")
    assert "awaiting_upload" in answer.json["detail"]
    kb.upload(UUID(document), " ")
    assert call("POST", f"/v1/documents/{document}/retry").json["status"] == "queued"
    assert len(kb.queue.messages) == 1
    assert call("POST", f"/v1/documents/{document}/retry").code == "conflict"


def test_what_was_not_uploaded_cannot_be_downloaded() -> None:
    [document] = announced(made())
    assert call("GET", f"/v1/documents/{document}/download").code == "conflict"


def test_documents_of_a_deleted_collection_are_gone(kb: KnowledgeBase) -> None:
    collection = made()
    [document] = announced(collection)
    call("DELETE", f"/v1/collections/{collection}")
    assert call("GET", f"/v1/documents/{document}").code == "not_found"
    assert walk("/v1/documents", 10) == []
    body = {"collection_id": collection, "files": [{"name": "a"}]}
    assert call("POST", "/v1/documents", body=body).code == "not_found"


def test_counts_follow(kb: KnowledgeBase) -> None:
    collection = made()
    document, _ = announced(collection, {"name": "a.md"}, {"name": "b.md"})
    kb.upload(UUID(document), "# One\n\nText.\n\n# Two\n\nText.")
    found = call("GET", f"/v1/collections/{collection}").json
    assert (found["document_count"], found["chunk_count"]) == (2, 2)


def test_a_hundred_files_at_once_and_no_more() -> None:
    collection = made()
    assert len(announced(collection, *({"name": f"{n}"} for n in range(100)))) == 100
    files = [{"name": f"{n}"} for n in range(101)]
    assert call("POST", "/v1/documents", body={"collection_id": collection, "files": files}).code == "invalid_request"
    assert call("POST", "/v1/documents", body={"collection_id": collection, "files": []}).code == "invalid_request"


def test_events_can_be_replayed_as_json(kb: KnowledgeBase) -> None:
    successes(kb)
    for row in kb.rows("SELECT type, data FROM events"):
        assert row["type"].split(".")[0] in ("collection", "document", "template", "usage")
        json.dumps(row["data"])


# -- how a request is put


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/collections", "GET, POST"),
        ("/v1/documents/01a2063a-3729-7f05-8d80-3f0de23eff57", "DELETE, GET"),
        ("/v1/search", "POST"),
    ],
)
def test_a_refused_method_is_answered_with_those_that_are_taken(path: str, allowed: str) -> None:
    from functions.api.handler import handler
    from tests.support.events import Context

    response = handler(http_event("PUT", path, body={}), Context())
    assert (response["statusCode"], response["headers"]["allow"]) == (405, allowed)


def test_a_body_that_is_not_said_to_be_json_is_told_how(kb: KnowledgeBase) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = call("POST", "/v1/collections", body={"name": "papers"}, headers=form)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert "Content-Type: application/json" in answer.json["detail"]


def test_a_path_with_a_slash_too_many_is_none() -> None:
    assert call("GET", "/v1/collections/").code == "not_found"


def test_attributes_may_hold_lines(kb: KnowledgeBase) -> None:
    collection = call("POST", "/v1/collections", body={"name": "papers"}).json["id"]
    files = [{"name": "a.md", "attributes": {"note": "first\nsecond\tthird"}}]
    answer = call("POST", "/v1/documents", body={"collection_id": collection, "files": files})
    assert answer.json["items"][0]["document"]["attributes"] == files[0]["attributes"]


def test_a_preflight_is_answered_without_a_user() -> None:
    """Browsers take no answer to it but a good one."""
    from functions.api.handler import handler
    from tests.support.events import Context

    assert handler(http_event("OPTIONS", "/v1/collections", user=None), Context()) == {"statusCode": 204}
