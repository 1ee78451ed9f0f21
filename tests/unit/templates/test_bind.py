from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from spandrel.errors import VariablesInvalidError
from spandrel.templates import bind as binding
from spandrel.templates.bind import MOST_BYTES, MOST_BYTES_TOGETHER, MOST_ERRORS, bind
from spandrel.templates.models import Structure
from tests.support.prompts import parsed, with_variables

SOURCE = """---
input:
  schema:
    name: string
    age?: integer
    tone(enum): [warm, cool]
    words(array): string
    user:
      email: string
      phone?: string
  default: {tone: warm}
---
{{name}}"""


@pytest.fixture
def structure() -> Structure:
    return parsed(SOURCE).structure


GOOD: dict[str, Any] = {"name": "Ada", "words": ["a"], "user": {"email": "e"}}


def errors(structure: Structure, values: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    try:
        bind(structure, values, **more)
    except VariablesInvalidError as error:
        return [(fault["variable"], fault["code"]) for fault in error.members["errors"]]
    return []


def one(schema: str, value: Any) -> list[tuple[str, str]]:
    """What is wrong with a value of a variable v, whose JSON Schema is given."""
    source = f"---\ninput: {{schema: {{type: object, properties: {{v: {schema}}}}}}}\n---\n"
    return errors(parsed(source).structure, {"v": value})


def test_what_is_given_and_what_is_not(structure: Structure) -> None:
    found = bind(structure, GOOD)
    assert found.values == GOOD | {"tone": "warm"}
    assert found.sources == {"name": "given", "words": "given", "user": "given", "tone": "default"}
    assert found.missing == []
    assert bind(structure, GOOD | {"tone": "cool"}).sources["tone"] == "given"


def test_everything_wrong_is_told_at_once(structure: Structure) -> None:
    wrong = {"age": "old", "tone": "loud", "words": ["a", 1], "user": {"mail": "e"}, "more": 1}
    assert errors(structure, wrong) == [
        ("age", "type"), ("tone", "enum"), ("words", "type"), ("user", "missing"), ("user", "unknown"),
        ("name", "missing"), ("more", "unknown"),
    ]  # fmt: skip


def test_what_is_missing_can_be_allowed(structure: Structure) -> None:
    found = bind(structure, {"words": ["a"]}, allow_missing=True)
    assert found.missing == ["name", "user"]
    assert errors(structure, {"words": "a"}, allow_missing=True) == [("words", "type")]


def test_a_fault_says_where_it_is(structure: Structure) -> None:
    with pytest.raises(VariablesInvalidError, match=r'"words\[1\]" must be a string, not a number\.$') as raised:
        bind(structure, GOOD | {"words": ["a", 1]})
    assert raised.value.members["errors"] == [
        {"variable": "words", "code": "type", "reason": '"words[1]" must be a string, not a number.'}
    ]
    with pytest.raises(VariablesInvalidError, match=r"There are 4 more faults\.$"):
        bind(structure, {"tone": "loud", "x": 1})


@pytest.mark.parametrize(
    ("schema", "good", "bad", "code"),
    [
        ("{type: string}", ["", "x"], [1, None, True, [], {}], "type"),
        ("{type: integer}", [1, 2.0, -3], [1.5, True, "1", None], "type"),
        ("{type: number}", [1, 1.5], [True, "1"], "type"),
        ("{type: boolean}", [True, False], [0, "true"], "type"),
        ("{type: 'null'}", [None], [0, ""], "type"),
        ("{type: array}", [[], [1]], [{}, "x"], "type"),
        ("{type: object}", [{}, {"a": 1}], [[], "x"], "type"),
        ("{type: [string, 'null']}", ["x", None], [1], "type"),
        ("{enum: [1, a, null]}", [1, 1.0, "a", None], [True, 2, "b"], "enum"),
        ("{const: true}", [True], [1, False], "enum"),
        ("{minLength: 2, maxLength: 3}", ["ab", "abc", 7], ["a", "abcd"], "range"),
        ("{pattern: '^[a-z]+(-[a-z]+)*$'}", ["a-b", 5], ["A", "a-"], "pattern"),
        ("{minimum: 1, maximum: 3}", [1, 3, 2.5, "x"], [0, 3.5], "range"),
        ("{exclusiveMinimum: 1, exclusiveMaximum: 3}", [2], [1, 3], "range"),
        ("{multipleOf: 0.1}", [0.3, 7], [0.35, 1e300 * 0 + 0.01], "range"),
        ("{multipleOf: 3}", [9, 9.0], [10], "range"),
        ("{minItems: 1, maxItems: 2}", [[1], [1, 2]], [[], [1, 2, 3]], "range"),
        ("{uniqueItems: true}", [[1, 2, {"a": 1}]], [[1, 1], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]], "range"),
        ("{type: array, items: {type: array, items: {type: integer}}}", [[[1], []]], [[["x"]]], "type"),
        ("{type: object, required: [a]}", [{"a": 1, "b": 2}], [{"b": 2}], "missing"),
        ("{type: object, properties: {a: {}}, additionalProperties: false}", [{"a": 1}], [{"b": 2}], "unknown"),
        ("{type: object, additionalProperties: {type: string}}", [{"b": "x"}], [{"b": 2}], "type"),
    ],
)
def test_values_are_held_to_their_schema(schema: str, good: list[Any], bad: list[Any], code: str) -> None:
    for value in good:
        assert one(schema, value) == [], value
    for value in bad:
        assert one(schema, value) == [("v", code)], value


def test_a_pattern_that_takes_for_ever_is_stopped() -> None:
    assert one("{type: array, items: {pattern: '^(a|aa)+$'}}", ["a" * 500 + "b"] * 50) == [("v", "pattern")] * 50


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("x" * (MOST_BYTES + 1), "too_large"),
        ("ü" * (MOST_BYTES // 2 + 1), "too_large"),
        (["x" * MOST_BYTES], "too_large"),
        ("a\0b", "characters"),
        ("\ud800", "characters"),
        ("ü\0", "characters"),
        ({"a\0": 1}, "characters"),
        ([["\ud800"]], "characters"),
        (2**63, "number"),
        (float("inf"), "number"),
        ([float("nan")], "number"),
    ],
)
def test_values_that_nobody_should_pass(value: Any, code: str) -> None:
    assert one("{}", value) == [("v", code)]


def test_nesting_has_an_end() -> None:
    deep: Any = 1
    for _ in range(binding.DEEPEST):
        deep = [deep]
    assert one("{}", deep) == []
    assert one("{}", [deep]) == [("v", "too_deep")]


def test_the_largest_values_that_may_be_passed() -> None:
    assert one("{type: string}", "x" * MOST_BYTES) == []
    names = [f"v{n}" for n in range(5)]
    structure = parsed(with_variables("", "\n".join(f"{name}: string" for name in names))).structure
    share = MOST_BYTES_TOGETHER // 5
    assert errors(structure, dict.fromkeys(names, "x" * share)) == []
    assert errors(structure, dict.fromkeys(names, "x" * (share + 1))) == [("", "too_large")]


def test_there_is_an_end_to_the_errors() -> None:
    assert len(one("{type: array, items: {type: string}}", [1] * 5000)) == MOST_ERRORS
    assert len(errors(parsed("").structure, dict.fromkeys(map(str, range(300)), 1))) == MOST_ERRORS


TEXT = st.text("aü\0\ud800")
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(st.dictionaries(st.sampled_from(["name", "age", "tone", "words", "user", "x"]), ANY))
def test_anything_is_bound_or_refused(values: dict[str, Any]) -> None:
    structure = parsed(SOURCE).structure
    if not errors(structure, values):
        assert bind(structure, values).values.keys() >= values.keys()
