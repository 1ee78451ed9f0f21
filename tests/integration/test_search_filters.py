"""Filters on document attributes, as the database reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from spandrel.errors import InvalidRequestError
from tests.support.knowledge import KnowledgeBase
from tests.support.postgres import TEMPLATE, Cluster

LIBRARY: dict[str, dict[str, Any]] = {
    "moby": {"year": 1851, "lang": "en", "tags": ["sea", "whale"], "rating": 4.5, "read": True},
    "faust": {"year": 1808, "lang": "de", "tags": ["stage"], "rating": 4, "read": False},
    "kokoro": {"year": 1914, "lang": "ja", "tags": [], "note": None},
    "bare": {},
    "odd": {
        "year": "1851",
        "lang": 7,
        "tags": {"sea": 1},
        "a.b": "dotted",
        'q"uote': "it's",
        "$v0": "dollar",
        "": "empty",
    },
}


@pytest.fixture(scope="module")
def library(cluster: Cluster) -> Iterator[KnowledgeBase]:
    """A document an entry of LIBRARY, each of one chunk that says its name. Tests here only read."""
    with cluster.database(TEMPLATE) as name:
        kb = KnowledgeBase(cluster.url(name))
        collection = kb.collection(language="simple")
        for title, attributes in LIBRARY.items():
            kb.publish(collection, [f"book {title}"], attributes=attributes)
        yield kb
        kb.close()


def found(library: KnowledgeBase, condition: dict[str, Any], mode: str = "text") -> set[str]:
    hits = library.find("book", mode=mode, filter=condition, top_k=50).hits
    return {hit.text.removeprefix("book ") for hit in hits}


EVERY = set(LIBRARY)


@pytest.mark.parametrize(
    ("condition", "titles"),
    [
        ({"lang": "en"}, {"moby"}),
        ({"lang": {"eq": "en"}}, {"moby"}),
        ({"lang": {"ne": "en"}}, EVERY - {"moby"}),
        ({"year": {"gt": 1851}}, {"kokoro"}),
        ({"year": {"gte": 1851}}, {"moby", "kokoro"}),
        ({"year": {"lt": 1851}}, {"faust"}),
        ({"year": {"lte": 1851}}, {"moby", "faust"}),
        ({"year": {"gte": 1808, "lt": 1851}}, {"faust"}),
        ({"lang": {"in": ["en", "ja"]}}, {"moby", "kokoro"}),
        ({"lang": ["en", "ja"]}, {"moby", "kokoro"}),
        ({"lang": {"nin": ["en", "ja"]}}, {"faust", "bare", "odd"}),
        ({"rating": 4}, {"faust"}),
        ({"rating": 4.0}, {"faust"}),
        ({"rating": {"gt": 4}}, {"moby"}),
        ({"read": True}, {"moby"}),
        ({"read": {"ne": True}}, EVERY - {"moby"}),
        ({"note": None}, {"kokoro"}),
        ({"lang": {"gte": "en"}}, {"moby", "kokoro"}),
        ({"lang": {"eq": "en"}, "year": 1808}, set()),
    ],
)
def test_operators(library: KnowledgeBase, condition: dict[str, Any], titles: set[str]) -> None:
    assert found(library, condition) == titles


@pytest.mark.parametrize(
    ("condition", "titles"),
    [
        ({"tags": "whale"}, {"moby"}),
        ({"tags": {"in": ["stage", "whale"]}}, {"moby", "faust"}),
        ({"tags": {"ne": "whale"}}, EVERY - {"moby"}),
        ({"tags": {"nin": ["whale", "stage"]}}, {"kokoro", "bare", "odd"}),
    ],
)
def test_an_item_of_a_list_is_enough(library: KnowledgeBase, condition: dict[str, Any], titles: set[str]) -> None:
    assert found(library, condition) == titles


@pytest.mark.parametrize(
    ("condition", "titles"),
    [
        ({"or": [{"lang": "en"}, {"lang": "de"}]}, {"moby", "faust"}),
        ({"and": [{"year": {"gte": 1808}}, {"year": {"lt": 1900}}]}, {"moby", "faust"}),
        ({"or": [{"and": [{"lang": "en"}, {"year": 1851}]}, {"lang": "ja"}]}, {"moby", "kokoro"}),
        ({"lang": {"in": ["en", "de"]}, "or": [{"year": 1808}, {"year": 1914}]}, {"faust"}),
    ],
)
def test_filters_nest(library: KnowledgeBase, condition: dict[str, Any], titles: set[str]) -> None:
    assert found(library, condition) == titles


@pytest.mark.parametrize(
    ("condition", "titles"),
    [
        ({"year": {"gt": "1000"}}, {"odd"}),
        ({"year": {"gt": 1000}}, {"moby", "faust", "kokoro"}),
        ({"lang": 7}, {"odd"}),
        ({"missing": {"gt": 1}}, set()),
        ({"missing": {"ne": 1}}, EVERY),
        ({"missing": None}, set()),
    ],
)
def test_unequal_types_and_missing_attributes_do_not_match(
    library: KnowledgeBase, condition: dict[str, Any], titles: set[str]
) -> None:
    assert found(library, condition) == titles


@pytest.mark.parametrize(
    ("condition", "titles"),
    [
        ({"a.b": "dotted"}, {"odd"}),
        ({'q"uote': "it's"}, {"odd"}),
        ({"$v0": "dollar"}, {"odd"}),
        ({"": "empty"}, {"odd"}),
        ({'lang" == "en" || $."lang': "x"}, set()),
        ({"lang": '" || true || "'}, set()),
        ({"lang": "$v0"}, set()),
        ({"lang": "'; DROP TABLE documents; --"}, set()),
        ({"*": "en"}, set()),
        ({"**": "en"}, set()),
        ({"lang\\": "en"}, set()),
        ({'\\"lang': "en"}, set()),
    ],
)
def test_nothing_of_a_filter_is_read_as_code(
    library: KnowledgeBase, condition: dict[str, Any], titles: set[str]
) -> None:
    assert found(library, condition) == titles


@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
def test_both_halves_obey_the_filter(library: KnowledgeBase, mode: str) -> None:
    assert found(library, {"lang": ["en", "de"]}, mode) == {"moby", "faust"}


@pytest.mark.parametrize(
    "condition", [{"a\0b": 1}, {"a": "b\0"}, {"a": {"in": ["\0"]}}, {"a": "\ud800"}, {"\ud800": 1}]
)
def test_what_no_attribute_can_hold_is_refused(library: KnowledgeBase, condition: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        found(library, condition)


@pytest.mark.parametrize("value", [2**63, -(2**70), 10**30, 1e300, -0.0, float("1e-300")])
def test_numbers_of_any_size_are_compared(library: KnowledgeBase, value: float) -> None:
    assert found(library, {"year": {"gt": value}}) == ({"moby", "faust", "kokoro"} if value < 1000 else set())


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text(), value=_scalars, operator=st.sampled_from(["eq", "ne", "in", "nin"]))
def test_whatever_the_key_and_value_a_filter_is_answered_or_refused(
    library: KnowledgeBase, key: str, value: Any, operator: str
) -> None:
    operand = [value] if operator in ("in", "nin") else value
    try:
        titles = found(library, {key: {operator: operand}})
    except InvalidRequestError:
        return
    if operator in ("eq", "in"):
        equal = {title for title, attributes in LIBRARY.items() if holds(attributes, key, value)}
        assert titles == equal


def holds(attributes: dict[str, Any], key: str, value: Any) -> bool:
    if key not in attributes:
        return False
    items = attributes[key] if isinstance(attributes[key], list) else [attributes[key]]
    if _number(value):
        return any(_number(item) and item == value for item in items)
    return any(type(item) is type(value) and item == value for item in items)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
