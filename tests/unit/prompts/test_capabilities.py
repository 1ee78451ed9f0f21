"""What a template asks for against what there is."""

from __future__ import annotations

from typing import Any

import pytest

from spandrel.prompts.capabilities import MAX_NAME, callable_tools, map_capabilities


def row(integration: str = "work", name: str = "read_events", **changes: Any) -> dict[str, Any]:
    base = {
        "integration": integration,
        "name": name,
        "enabled": True,
        "integration_status": "healthy",
        "reason": None,
        "status": "active",
        "policy": "always",
        "capabilities": ["calendar.read"],
        "description": "Reads.",
        "parameters": {"type": "object"},
    }
    return base | changes


@pytest.mark.parametrize("wanted", ["calendar.read", "read_events", "work.read_events"])
def test_a_tool_is_found_by_capability_name_or_qualified_name(wanted: str) -> None:
    [match] = map_capabilities([wanted], [row()])
    assert (match.available, match.integration, match.tool, match.status) == (True, "work", "read_events", "healthy")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"enabled": False}, "disabled"),
        ({"integration_status": "unreachable", "reason": "dns"}, "dns"),
        ({"integration_status": "auth_required"}, "auth_required"),
        ({"integration_status": "unknown"}, "unknown"),
        ({"status": "held"}, "held_for_review"),
        ({"policy": "never"}, "not_allowed"),
    ],
)
def test_what_cannot_be_called_says_why_and_is_not_offered(changes: dict[str, Any], reason: str) -> None:
    rows = [row(**changes)]
    [match] = map_capabilities(["calendar.read"], rows)
    assert (match.available, match.reason, match.tool) == (False, reason, "read_events")
    assert callable_tools(rows) == []


def test_what_nothing_serves_says_so() -> None:
    [match] = map_capabilities(["mail.send"], [row()])
    assert (match.available, match.reason, match.integration) == (False, "no_tool", None)


def test_a_healthy_integration_comes_before_a_degraded_and_that_before_one_that_is_down() -> None:
    down, degraded, healthy = (
        row("a", integration_status="unreachable"),
        row("b", integration_status="degraded"),
        row("c"),
    )
    assert map_capabilities(["calendar.read"], [down, degraded, healthy])[0].integration == "c"
    assert map_capabilities(["calendar.read"], [down, degraded])[0].integration == "b"


def test_names_of_offered_tools_are_legal_and_unique() -> None:
    rows = [row("a", "read/events"), row("a", "read.events"), row("a", "x" * 100), row("a", "x" * 101)]
    names = [tool.name for tool in callable_tools(rows)]
    assert names[:2] == ["a__read_events", "a__read_events_2"]
    assert len(set(names)) == 4
    assert all(len(name) <= MAX_NAME for name in names)
