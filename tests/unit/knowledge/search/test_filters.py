from __future__ import annotations

from typing import Any

import pytest

from spandrel.errors import InvalidRequestError
from spandrel.knowledge.search.filters import MAX_CONDITIONS, MAX_DEPTH, compile_filter


@pytest.mark.parametrize(
    ("node", "predicate", "variables"),
    [
        ({"a": 1}, '($."a" == $v0)', {"v0": 1}),
        ({"a": {"gte": 1, "lt": 5}}, '($."a" >= $v0 && $."a" < $v1)', {"v0": 1, "v1": 5}),
        ({"a": [1, "x"]}, '(($."a" == $v0 || $."a" == $v1))', {"v0": 1, "v1": "x"}),
        ({"a": {"ne": 1}}, '((!($."a" == $v0) || ($."a" == $v0) is unknown))', {"v0": 1}),
        ({"or": [{"a": 1}, {"b": 2}]}, '((($."a" == $v0)) || (($."b" == $v1)))', {"v0": 1, "v1": 2}),
        ({"a": 1, "b": None}, '($."a" == $v0) && ($."b" == $v1)', {"v0": 1, "v1": None}),
        ({'q"\\': 1}, '($."q\\"\\\\" == $v0)', {"v0": 1}),
    ],
)
def test_a_filter_becomes_a_predicate_and_its_variables(
    node: dict[str, Any], predicate: str, variables: dict[str, Any]
) -> None:
    assert compile_filter(node) == (predicate, variables)


def test_no_filter_is_none() -> None:
    assert compile_filter(None) == (None, {})


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({}, "at least one attribute"),
        ({"and": []}, '"and" takes a list'),
        ({"or": {"a": 1}}, '"or" takes a list'),
        ({"or": [1]}, "A filter is an object"),
        ({"or": [{}]}, "at least one attribute"),
        ({"a": {}}, 'condition on "a" has no operator'),
        ({"a": {"like": "x"}}, 'condition on "a" cannot be read.*like'),
        ({"a": {"gt": None}}, 'condition on "a" cannot be read'),
        ({"a": {"gt": True}}, 'condition on "a" cannot be read'),
        ({"a": {"in": "x"}}, 'condition on "a" cannot be read'),
        ({"a": {"in": []}}, 'condition on "a" cannot be read'),
        ({"a": []}, 'condition on "a" cannot be read'),
        ({"a": {"in": [{}]}}, 'condition on "a" cannot be read'),
        ({"a": {"eq": {"b": 1}}}, 'condition on "a" cannot be read'),
        ({"a": {"in": list(range(201))}}, 'condition on "a" cannot be read'),
    ],
)
def test_what_is_wrong_is_told_with_its_place(node: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        compile_filter(node)


def nested(depth: int) -> dict[str, Any]:
    return {"a": 1} if depth == 1 else {"and": [nested(depth - 1)]}


def test_depth_has_a_limit() -> None:
    compile_filter(nested(MAX_DEPTH))
    with pytest.raises(InvalidRequestError, match="more than 8 deep"):
        compile_filter(nested(MAX_DEPTH + 1))


def test_the_number_of_conditions_has_a_limit() -> None:
    compile_filter({"or": [{"a": n} for n in range(MAX_CONDITIONS)]})
    with pytest.raises(InvalidRequestError, match="more than 64 conditions"):
        compile_filter({"or": [{"a": n} for n in range(MAX_CONDITIONS + 1)]})
