"""What a template asks for against what there is."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import pytest
from hypothesis import given, strategies as st

from spandrel.prompts.capabilities import callable_tools, map_capabilities, offered_name


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
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)
    assert [name.startswith("a_read_events_") for name in names].count(True) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b__c"), ("a__b", "c")),
        (("a_", "b"), ("a", "_b")),
        (("a", "x.y"), ("a", "x_y")),
        (("a", "x"), ("A", "x")),
        (("a__b", "c"), ("a", offered_name("a__b", "c").removeprefix("a__"))),
    ],
)
def test_two_tools_never_share_a_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert offered_name(*one) != offered_name(*other)


def test_a_server_cannot_take_a_name_that_is_made_up_for_another() -> None:
    made_up = offered_name("work", "read/events")
    assert "__" not in made_up
    assert offered_name("work", made_up) != made_up


SLUG = st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,49}\Z")
TOOL = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128) | st.from_regex(r"\A[a-z_]{1,6}\Z")


@given(st.sets(st.tuples(SLUG, TOOL), max_size=12), st.randoms())
def test_names_are_unique_whatever_the_order_and_whatever_is_offered_beside(
    pairs: set[tuple[str, str]], random: Random
) -> None:
    rows = [row(*pair) for pair in pairs]
    names = {(tool.integration, tool.tool): tool.name for tool in callable_tools(rows)}
    assert len(set(names.values())) == len(pairs)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names.values())
    random.shuffle(rows)
    fewer = {(tool.integration, tool.tool): tool.name for tool in callable_tools(rows[: len(rows) // 2])}
    assert fewer.items() <= names.items()
