"""Tools called for turns: as they are at this moment, and whatever comes of it told to the model."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from spandrel.errors import SecretsUnavailableError, ToolCallError
from spandrel.integrations.call import CallTool
from spandrel.integrations.models import BearerAuth, Reason, ToolResult
from spandrel.integrations.records import Integration
from tests.support.hub import DOWN, GOOD, READ, URL, Hub
from tests.support.knowledge import ADA, BOB, KnowledgeBase
from tests.support.mcp_fakes import FakeCaller, healthy

DAY = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
SECRET = "hush-hush-hush"


@pytest.fixture
def hub(kb: KnowledgeBase) -> Hub:
    return Hub(kb)


@pytest.fixture
def work(hub: Hub) -> Integration:
    made = hub.add(auth=BearerAuth(SECRET))
    hub.round(healthy(replace(READ, input_schema=DAY)))
    return made


def call(hub: Hub, caller: FakeCaller, user: str = ADA, integration: str = "work", **arguments: Any) -> str:
    tools = CallTool(hub.kb.app, lambda: caller, lambda: hub.credentials)
    return tools.call(user, integration, "read_events", arguments or {"day": "Monday"}, key="turn:call", timeout=9.0)


def test_a_call_reaches_its_server_with_the_secret_and_the_key(hub: Hub, work: Integration) -> None:
    caller = FakeCaller({"read_events": ToolResult("Free.", is_error=False)})
    assert call(hub, caller) == "Free."
    [made] = caller.calls
    assert (made.target.url, made.target.auth) == (URL, BearerAuth(SECRET))
    assert (made.arguments, made.timeout, made.idempotency_key) == ({"day": "Monday"}, 9.0, "turn:call")


def test_what_a_tool_itself_reports_is_told_as_its_own(hub: Hub, work: Integration) -> None:
    caller = FakeCaller({"read_events": ToolResult("No such calendar.", is_error=True)})
    assert call(hub, caller) == "The tool reports an error: No such calendar."


def test_arguments_that_do_not_fit_are_not_sent(hub: Hub, work: Integration) -> None:
    caller = FakeCaller()
    told = call(hub, caller, day=7)
    assert told == "Error: the arguments do not fit the tool's schema. day: 7 is not of type 'string'."
    assert caller.calls == []


def test_what_cannot_be_called_now_is_not(hub: Hub, work: Integration) -> None:
    caller = FakeCaller({"read_events": ToolResult("Free.", is_error=False)})
    changes = {
        "UPDATE integration_tools SET status = 'held'": "held_for_review",
        "UPDATE integration_tools SET policy = 'never'": "not_allowed",
        "UPDATE integrations SET status = 'unreachable'": "unreachable",
        "UPDATE integrations SET reason = 'refused'": "refused",
        "UPDATE integrations SET enabled = false": "disabled",
        "UPDATE integration_tools SET status = 'removed'": "it is gone",
        "DELETE FROM integrations": "it is gone",
    }
    for change, why in changes.items():
        hub.kb.rows(change)
        assert call(hub, caller) == f"Error: work.read_events cannot be called now ({why})."
    assert caller.calls == []


def test_another_user_calls_nothing(hub: Hub, work: Integration) -> None:
    caller = FakeCaller({"read_events": ToolResult("Free.", is_error=False)})
    assert "it is gone" in call(hub, caller, user=BOB)
    assert caller.calls == []


def test_a_server_that_cannot_be_reached_is_checked_at_once(hub: Hub, work: Integration) -> None:
    assert hub.seconds_until_due(work) > 10
    caller = FakeCaller({"read_events": ToolCallError(Reason.REFUSED, "Nobody listens there.")})
    assert call(hub, caller) == "Error: Nobody listens there."
    assert hub.seconds_until_due(work) <= 0
    hub.prober.then(URL, DOWN, DOWN, DOWN)
    hub.watch().run(60)
    assert hub.get(work).status == "unreachable"


def test_a_slow_down_is_no_fault_of_the_server(hub: Hub, work: Integration) -> None:
    caller = FakeCaller({"read_events": ToolCallError(Reason.RATE_LIMITED, "Too many calls.")})
    assert call(hub, caller) == "Error: Too many calls."
    assert hub.seconds_until_due(work) > 10


def test_a_secret_that_cannot_be_opened_now_is_said_and_not_shown(
    hub: Hub, work: Integration, caplog: pytest.LogCaptureFixture
) -> None:
    hub.credentials._open.clear()
    hub.box.failure = SecretsUnavailableError()
    with caplog.at_level(logging.DEBUG):
        told = call(hub, FakeCaller())
    assert told.startswith("Error: The key that seals secrets cannot be used")
    assert SECRET not in caplog.text + told


def test_a_policy_outlasts_what_its_server_says(hub: Hub, work: Integration) -> None:
    assert hub.tools(work)["read_events"].policy == "ask"
    assert hub.review.change(ADA, work.id, "read_events", policy="always").policy == "always"
    hub.round(GOOD)
    assert hub.tools(work)["read_events"].policy == "always"
    assert hub.kb.event("tool.updated")["data"]["policy"] == "always"
