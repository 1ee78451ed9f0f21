"""Arguments against schemas of strangers."""

from __future__ import annotations

from typing import Any

import pytest

from spandrel.integrations.arguments import MOST_FAULTS, faults

DAY = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"], "additionalProperties": False}


def test_what_fits_has_no_fault() -> None:
    assert faults(DAY, {"day": "Monday"}) == []


def test_every_fault_is_told_with_its_place() -> None:
    assert faults(DAY, {"day": 1}) == ["day: 1 is not of type 'string'."]
    assert faults(DAY, {"night": 1}) == [
        "arguments: 'day' is a required property.",
        "arguments: Additional properties are not allowed ('night' was unexpected).",
    ]


def test_the_model_is_not_told_more_than_it_can_use() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    told = faults(schema, {f"{number}": ["x" * 1000] for number in range(50)})
    assert len(told) == MOST_FAULTS
    assert max(map(len, told)) < 300


@pytest.mark.parametrize("dialect", ["http://json-schema.org/draft-07/schema#", "https://nobody.example/knows", 7])
def test_other_dialects_are_read_as_what_they_say(dialect: Any) -> None:
    assert faults(DAY | {"$schema": dialect}, {"day": 1}) == ["day: 1 is not of type 'string'."]


def test_parts_are_referred_to_by_name() -> None:
    schema = {"$ref": "#/$defs/day", "$defs": {"day": DAY}}
    assert faults(schema, {"day": 1}) == ["day: 1 is not of type 'string'."]


def _bomb() -> dict[str, Any]:
    """Thirty levels, each of which refers to the next one twice."""
    levels = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(30)}
    return {"$ref": "#/$defs/l0", "$defs": levels | {"l30": {"type": "object"}}}


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"$ref": "#"}, id="refers to itself"),
        pytest.param(_bomb(), id="doubles thirty times"),
        pytest.param({"$ref": "http://127.0.0.1:1/schema"}, id="lies elsewhere"),
        pytest.param({"type": "nonsense"}, id="unknown type"),
        pytest.param({"properties": []}, id="of the wrong shape"),
        pytest.param({"allOf": 7}, id="of another wrong shape"),
        pytest.param({"properties": {"day": {"pattern": "(a+)+$"}}}, id="pattern without end"),
    ],
)
def test_a_schema_that_cannot_be_used_is_left_to_its_server(schema: dict[str, Any]) -> None:
    assert faults(schema, {"day": "a" * 60 + "!"}) == []
