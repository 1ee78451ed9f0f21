"""The registry: what is added, removed, changed and held, whatever a server lists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from spandrel.integrations.models import DiscoveredTool
from spandrel.integrations.tools import (
    MAX_DESCRIPTION,
    MAX_TOOLS,
    KnownTool,
    listed,
    reconcile,
    schema_hash,
    storable,
    tools_hash,
)
from tests.support.mcp_fakes import tool

READ, WRITE = tool("read", "Reads."), tool("write", "Writes.")


class Registry:
    """Rows as the database would keep them."""

    def __init__(self) -> None:
        self.rows: dict[str, KnownTool] = {}

    def see(self, *tools: DiscoveredTool, **wanted: list[str]) -> list[tuple[str, str, str]]:
        found = reconcile(self.rows.values(), listed(tools), wanted)
        self.rows |= {row.name: row for row in found.tools}
        return [(notice.type, notice.data["name"], notice.data["status"]) for notice in found.notices]

    def approve(self, name: str) -> None:
        row = self.rows[name]
        self.rows[name] = replace(row, approved_hash=row.schema_hash, approved=None, status="active")

    def status(self, name: str) -> str:
        return self.rows[name].status


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    found.see(READ, WRITE, read=["mail.read"])
    return found


def test_what_is_first_seen_is_trusted_and_gets_the_capabilities_that_it_was_given(registry: Registry) -> None:
    assert Registry().see(READ, WRITE) == [("tool.added", "read", "active"), ("tool.added", "write", "active")]
    assert registry.rows["read"].capabilities == ("mail.read",)
    assert registry.rows["write"].capabilities == ()


def test_the_same_list_is_no_news_and_writes_nothing(registry: Registry) -> None:
    assert reconcile(registry.rows.values(), listed([WRITE, READ]), {}).tools == []
    assert registry.see(READ, WRITE) == []


@pytest.mark.parametrize(
    "changed", [replace(READ, description="Reads all."), replace(READ, input_schema={"type": "object", "title": "x"})]
)
def test_a_changed_tool_is_held_and_free_again_when_the_change_is_taken_back(
    registry: Registry, changed: DiscoveredTool
) -> None:
    assert registry.see(changed, WRITE) == [("tool.changed", "read", "held")]
    row = registry.rows["read"]
    assert row.approved == {"description": "Reads.", "input_schema": READ.input_schema}
    assert registry.see(changed, WRITE) == []
    assert registry.see(READ, WRITE) == [("tool.changed", "read", "active")]
    assert registry.rows["read"].approved is None


def test_what_was_trusted_is_remembered_through_several_changes(registry: Registry) -> None:
    for words in ("Reads all.", "Reads everything."):
        registry.see(replace(READ, description=words), WRITE)
    assert registry.rows["read"].approved == {"description": "Reads.", "input_schema": READ.input_schema}


def test_an_approved_change_is_what_is_trusted_from_then_on(registry: Registry) -> None:
    changed = replace(READ, description="Reads all.")
    registry.see(changed, WRITE)
    registry.approve("read")
    assert registry.see(changed, WRITE) == []
    assert registry.see(READ, WRITE) == [("tool.changed", "read", "held")]


def test_what_is_gone_is_remembered_and_comes_back_as_it_was(registry: Registry) -> None:
    assert registry.see(WRITE) == [("tool.removed", "read", "removed")]
    assert registry.see(WRITE) == []
    assert registry.see(READ, WRITE) == [("tool.added", "read", "active")]
    assert registry.rows["read"].capabilities == ("mail.read",)


def test_what_comes_back_as_another_is_held(registry: Registry) -> None:
    registry.see(WRITE)
    assert registry.see(replace(READ, description="Deletes."), WRITE) == [("tool.added", "read", "held")]
    assert registry.rows["read"].approved == {"description": "Reads.", "input_schema": READ.input_schema}


def test_what_was_held_when_it_went_is_held_when_it_comes_back(registry: Registry) -> None:
    changed = replace(READ, description="Deletes.")
    registry.see(changed, WRITE)
    registry.see(WRITE)
    assert registry.see(changed, WRITE) == [("tool.added", "read", "held")]


def test_titles_and_annotations_are_kept_without_a_word(registry: Registry) -> None:
    annotated = replace(READ, title="Read", annotations={"readOnlyHint": True}, output_schema={"type": "object"})
    assert registry.see(annotated, WRITE) == []
    assert (registry.rows["read"].title, registry.rows["read"].annotations) == ("Read", {"readOnlyHint": True})
    assert tools_hash([annotated]) != tools_hash([READ])


def test_the_hash_is_of_what_decides_how_it_is_called_in_whatever_order_its_keys_are() -> None:
    one = schema_hash("a", "b", {"type": "object", "properties": {"x": {}, "y": {}}})
    assert one == schema_hash("a", "b", {"properties": {"y": {}, "x": {}}, "type": "object"})
    assert len({one, schema_hash("a", "c", {}), schema_hash("b", "b", {}), schema_hash("a", "b", {})}) == 4


def test_of_a_list_that_cannot_be_meant_well_the_rest_is_kept() -> None:
    tools = [
        tool("a", "x" * 50_000),
        tool("a", "another of the name"),
        tool("", "nameless"),
        tool("n" * 200, "long name"),
        tool("huge", "", {"type": "object", "description": "x" * 200_000}),
        tool("nul", "a\0b\ud800"),
    ]
    kept = {each.name: each for each in listed(tools)}
    assert kept.keys() == {"a", "nul"}
    assert len(kept["a"].description) == MAX_DESCRIPTION
    assert kept["nul"].description == "a\ufffdb\ufffd"
    many = [tool(f"t{number:05}") for number in range(MAX_TOOLS + 5)]
    assert len(listed(many)) == MAX_TOOLS


def test_what_no_column_can_hold_is_left_out() -> None:
    nested: dict[str, Any] = {}
    for _ in range(500):
        nested = {"a": nested}
    found = storable({"deep": nested, "\0": [float("nan"), float("inf"), 10**30, True, 1.5, None, ("x",)]})
    assert found["\ufffd"] == [None, None, None, True, 1.5, None, ["x"]]
    assert msgspec.json.encode(found).count(b"{") < 70


LISTS = st.lists(
    st.builds(tool, st.sampled_from("abcd"), st.sampled_from(["one", "two"])),
    max_size=5,
    unique_by=lambda each: each.name,
)


@given(st.lists(LISTS, min_size=1, max_size=8))
def test_no_history_lets_a_model_call_what_nobody_trusted(history: list[list[DiscoveredTool]]) -> None:
    registry, first = Registry(), dict[str, str]()
    for tools in history:
        registry.see(*tools)
        for each in tools:
            first.setdefault(each.name, each.description)
            assert registry.status(each.name) == ("active" if each.description == first[each.name] else "held")
        for name in first.keys() - {each.name for each in tools}:
            assert registry.status(name) == "removed"
