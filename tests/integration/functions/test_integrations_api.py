"""/v1/integrations as its clients see it: every answer is held to the contract, and no answer shows a secret."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from spandrel.errors import RegistryUnavailableError
from spandrel.integrations.models import Reason
from tests.integration.functions.test_sessions_api import ANSWERED, asked
from tests.support.api import Answer, call, operations, validate
from tests.support.hub import DOWN, READ, URL, Hub
from tests.support.mcp_fakes import failing, healthy

pytestmark = pytest.mark.usefixtures("wired")

SECRET = "hush-hush-hush"
AUTHS = [
    {"type": "bearer", "token": SECRET},
    {"type": "header", "name": "X-Api-Key", "value": SECRET},
    {"type": "oauth_client_credentials", "client_id": "me", "client_secret": SECRET, "scope": "a b"},
    {
        "type": "oauth_client_credentials",
        "client_id": "me",
        "client_secret": SECRET,
        "token_url": "https://id.example.com/token",
    },
]


TABLES = ("integrations", "integration_checks", "integration_tools", "events", "idempotency_keys", "component_checks")


def create(**more: Any) -> dict[str, Any]:
    made: dict[str, Any] = asked("create_integration", {"name": "Work", "url": URL} | more)
    return made


def problem(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code


def test_its_whole_life(hub: Hub) -> None:
    made = create(capabilities={"read_events": ["calendar.read"]})
    id_ = {"integration_id": made["id"]}
    assert (made["status"], made["auth"]) == ("unknown", {
        "type": "none", "header_name": None, "client_id": None, "token_url": None, "scope": None, "secret_set_at": None,
    })  # fmt: skip
    assert asked("check_integration", **id_)["status"] == "healthy"
    found = asked("get_integration", **id_)
    assert (found["status"], found["server"]["era"]) == ("healthy", "modern")
    assert [each["id"] for each in asked("list_integrations", status="healthy")["items"]] == [made["id"]]
    [tool] = asked("list_integration_tools", **id_)["items"]
    assert (tool["name"], tool["status"], tool["capabilities"]) == ("read_events", "active", ["calendar.read"])
    changed = asked("change_integration_tool", {"capabilities": ["a"]}, **id_, name="read_events")
    assert changed["capabilities"] == ["a"]
    hub.round(healthy(replace(READ, description="Other.")))
    [tool] = asked("list_integration_tools", status="held", **id_)["items"]
    review = {"decision": "approve", "schema_hash": tool["schema_hash"]}
    assert asked("review_integration_tool", review, **id_, name="read_events")["status"] == "active"
    assert asked("review_integration_tool", review, expect=409, **id_, name="read_events")["code"] == "tool_changed"
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert asked("maintain_integration", {"until": until}, **id_)["maintenance"]["until"][:19] == until[:19]
    assert asked("end_integration_maintenance", **id_)["maintenance"] is None
    assert asked("disable_integration", **id_)["enabled"] is False
    assert asked("check_integration", expect=409, **id_)["code"] == "integration_disabled"
    assert asked("enable_integration", **id_)["status"] == "unknown"
    assert asked("change_integration", {"name": "Home"}, **id_)["name"] == "Home"
    checks = asked("list_integration_checks", limit=1, **id_)
    assert asked("list_integration_checks", cursor=checks["next_cursor"], **id_)["items"]
    asked("delete_integration", **id_)
    assert asked("get_integration", expect=404, **id_)["code"] == "not_found"


@pytest.mark.parametrize("auth", AUTHS)
def test_no_answer_event_row_or_log_shows_a_secret(
    hub: Hub, auth: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from functions.health_check.handler import handler
    from tests.support.events import Context

    body = {"name": "Work", "url": URL, "auth": auth}
    keyed = {"idempotency-key": "k"}
    answers = [call("POST", "/v1/integrations", body=body, headers=keyed) for _ in range(2)]
    assert {answer.status for answer in answers} == {201}
    path = f"/v1/integrations/{answers[0].json['id']}"
    hub.prober.then(URL, failing(Reason.AUTH_REQUIRED, "The server wants other credentials."))
    answers += [
        call("POST", f"{path}/checks"),
        call("PATCH", path, body={"auth": auth}),
        call("PATCH", path, body={"url": "https://thief.example.org"}),
        call("PATCH", path, body={"auth": auth | {"surplus": 1}}),
        call("POST", "/v1/integrations", body=body | {"auth": auth | {"type": "nonsense"}}),
        call("POST", "/v1/integrations", body=body | {"slug": "NO"}),
        call("POST", "/v1/integration-discoveries", body={"url": URL, "auth": auth}),
        call("GET", path),
        call("GET", "/v1/integrations"),
        call("GET", f"{path}/checks"),
    ]
    handler({}, Context())
    captured = capsys.readouterr()
    shown = "".join(answer.text for answer in answers) + captured.out + captured.err
    for table in TABLES:
        shown += str(hub.kb.rows(f"SELECT t::text FROM {table} t"))
    assert SECRET not in shown
    assert call("GET", path).json["auth"]["secret_set_at"]


def test_a_key_makes_it_once_and_another_secret_is_another_request(hub: Hub) -> None:
    keyed = {"idempotency-key": "k"}
    body = {"name": "Work", "url": URL, "auth": AUTHS[0]}
    made = [call("POST", "/v1/integrations", body=body, headers=keyed).json["id"] for _ in range(2)]
    assert made[0] == made[1]
    other = call("POST", "/v1/integrations", body=body | {"auth": {"type": "bearer", "token": "x"}}, headers=keyed)
    assert problem(other) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    "more",
    [
        {"url": "ftp://example.com"},
        {"url": "https://example.com/a b"},
        {"url": "http://example.com"},
        {"url": "https://user:pass@example.com"},
        {"url": "https://10.0.0.1/mcp"},
        {"name": " "},
        {"slug": "Work"},
        {"auth": {"type": "bearer", "token": ""}},
        {"auth": {"type": "bearer", "token": "a\nb"}},
        {"auth": {"type": "bearer"}},
        {"auth": {"type": "header", "name": "Host", "value": "x"}},
        {"auth": {"type": "header", "name": "X Y", "value": "x"}},
        {"auth": {"type": "nonsense"}},
        {"ca_certificate": "nonsense"},
        {"check_interval_seconds": 59},
        {"check_interval_seconds": 901},
        {"capabilities": {"a": ["not a capability"]}},
        {"surplus": 1},
    ],
)
def test_what_cannot_be_saved_is_refused(more: dict[str, Any]) -> None:
    answer = call("POST", "/v1/integrations", body={"name": "Work", "url": URL} | more)
    assert answer.status == 422
    validate("create_integration", answer)


def test_a_taken_slug_is_a_conflict() -> None:
    create(slug="mine")
    assert problem(call("POST", "/v1/integrations", body={"name": "x", "url": URL, "slug": "mine"})) == (
        409,
        "name_taken",
    )


def test_checks_on_request_are_limited_and_say_how_long_to_wait() -> None:
    from functions.api.handler import handler
    from tests.support.events import Context, http_event

    made = create()
    asked("check_integration", integration_id=made["id"])
    answer = handler(http_event("POST", f"/v1/integrations/{made['id']}/checks"), Context())
    body = json.loads(answer["body"])
    assert (answer["statusCode"], body["code"], body["retry_after"]) == (429, "too_often", 10)
    assert {name.lower(): value for name, value in answer["headers"].items()}["retry-after"] == "10"


def test_a_discovery_says_what_is_there(hub: Hub) -> None:
    found = asked("discover_integration", {"url": URL})
    assert (found["reason"], found["server_name"], [each["name"] for each in found["tools"]]) == (
        None, "fake", ["read_events"],
    )  # fmt: skip
    hub.prober.then(URL, DOWN)
    found = asked("discover_integration", {"url": URL, "auth": AUTHS[0], "transport": "sse"})
    assert (found["reason"], found["detail"]) == ("refused", "Nobody listens there.")
    assert problem(call("POST", "/v1/integration-discoveries", body={"url": "https://[::1]/"})) == (
        422,
        "address_forbidden",
    )


def test_a_registry_is_searched(hub: Hub) -> None:
    [found] = asked("search_integration_registry", query="calendar")["items"]
    assert (found["name"], found["remotes"]) == (
        "com.example/calendar", [{"transport": "streamable_http", "url": URL}],
    )  # fmt: skip
    hub.registry.failure = RegistryUnavailableError()
    assert asked("search_integration_registry", expect=503)["code"] == "registry_unavailable"


def test_tools_with_slashes_in_their_names_are_reached(hub: Hub) -> None:
    made = create()
    hub.round(healthy(replace(READ, name="calendar/read")))
    changed = asked("change_integration_tool", {"capabilities": []}, integration_id=made["id"], name="calendar/read")
    assert changed["name"] == "calendar/read"
    hub.round(healthy(replace(READ, name="calendar/read", description="x")))
    [tool] = asked("list_integration_tools", integration_id=made["id"])["items"]
    body = {"decision": "reject", "schema_hash": tool["schema_hash"]}
    rejected = asked("review_integration_tool", body, integration_id=made["id"], name="calendar/read")
    assert (rejected["status"], rejected["rejected"]) == ("held", True)


def test_times_are_written_out(hub: Hub) -> None:
    made = create()
    for until in (1_800_000_000, "1800000000", "2026-12-01T00:00:00"):
        answer = call("PUT", f"/v1/integrations/{made['id']}/maintenance", body={"until": until})
        assert problem(answer) == (422, "invalid_request")


def test_what_is_not_there_is_not_found() -> None:
    for name, (method, path, _) in operations().items():
        if "{integration_id}" in path and method in ("GET", "DELETE"):
            place = {"integration_id": uuid4(), "name": "x"}
            assert call(method, path.format(**place)).status == 404, name


def test_every_operation_of_integrations_was_answered_above() -> None:
    wanted = {name for name, (_, path, _) in operations().items() if "/integration" in path}
    assert wanted - ANSWERED == set()
