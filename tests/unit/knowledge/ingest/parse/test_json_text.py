"""JSON and JSON Lines."""

from __future__ import annotations

import pytest

from spandrel.errors import DocumentDamagedError, DocumentLimitError
from spandrel.knowledge.ingest.parse.json_text import parse


def texts(source: str, kind: str = "application/json") -> list[tuple[str, str]]:
    document = parse(source.encode(), kind)
    return [(b.kind, document.text[b.start : b.end]) for b in document.blocks]


def test_records_are_blocks_of_paths() -> None:
    source = '[{"a": {"b": 1.50, "c": [1, "x", null]}, "d": true}, {"a": 2, "e": [{"f": 1}, {"f": 2}]}]'
    assert texts(source) == [
        ("table_row", "a.b: 1.50\na.c: 1, x, null\nd: true"),
        ("table_row", "a: 2\ne.f: 1\ne.f: 2"),
    ]


def test_keys_of_an_object_are_sections() -> None:
    source = '{"name": "shop", "items": [{"sku": "K-1"}, {"sku": "K-2"}], "owner": {"city": "Ulm"}, "none": []}'
    assert texts(source) == [
        ("table_row", "name: shop"),
        ("heading", "items"),
        ("table_row", "sku: K-1"),
        ("table_row", "sku: K-2"),
        ("heading", "owner"),
        ("table_row", "city: Ulm"),
    ]


def test_lines() -> None:
    assert [text for _, text in texts('{"a": 1}\n\n{"a": 2}\n', "application/x-ndjson")] == ["a: 1", "a: 2"]


def test_lines_under_the_wrong_name() -> None:
    assert parse(b'{"a": 1}\n{"a": 2}').content_type == "application/x-ndjson"


def test_scalars_and_numbers_as_written() -> None:
    assert texts('"just text"') == [("table_row", "just text")]
    assert texts("[1, 2e400, 123456789012345678901234567890]") == [
        ("table_row", "1, 2e400, 123456789012345678901234567890")
    ]


@pytest.mark.parametrize(
    ("source", "kind", "place"),
    [
        ('{"a": }', "application/json", "line 1, column 7"),
        ('{"a": 1}\nnope', "application/json", "line 2, column 1"),
        ('{"a": 1}\n{', "application/x-ndjson", "line 2"),
    ],
)
def test_faults_are_placed(source: str, kind: str, place: str) -> None:
    with pytest.raises(DocumentDamagedError, match=place):
        parse(source.encode(), kind)


@pytest.mark.parametrize("depth", [150, 100_000])
def test_depth_is_limited(depth: int) -> None:
    with pytest.raises(DocumentLimitError):
        parse(b"[1," * depth + b"1" + b"]" * depth)
