"""CSV and TSV."""

from __future__ import annotations

import pytest

from spandrel.knowledge.ingest.parse.delimited import parse


def rows(text: str, kind: str = "text/csv") -> list[str]:
    document = parse(text.encode(), kind)
    return [document.text[b.start : b.end] for b in document.blocks]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_each_row_names_its_columns(delimiter: str) -> None:
    text = "name,price\nBolt,5\nNut,\n".replace(",", delimiter)
    assert rows(text) == ["name: Bolt; price: 5", "name: Nut"]


def test_quotes_newlines_and_decimal_commas() -> None:
    text = 'part;note;price\nA1;"two\nlines; one cell";1,5\nB2;plain;2,75\n'
    assert rows(text) == ["part: A1; note: two lines; one cell; price: 1,5", "part: B2; note: plain; price: 2,75"]


def test_without_a_header_values_stand_alone() -> None:
    assert rows("1,2\n3,4\n") == ["1 | 2", "3 | 4"]
    assert rows("a,a\nb,c\n") == ["a | a", "b | c"]
    assert rows("only,one\n") == ["only | one"]


def test_uneven_rows() -> None:
    assert rows("a,b\n1,2,3\n4\n5,6\n7,8\n") == ["a: 1; b: 2; 3", "a: 4", "a: 5; b: 6", "a: 7; b: 8"]


def test_a_single_column() -> None:
    assert rows("name\nAnna\nBert\n") == ["name: Anna", "name: Bert"]


def test_tabs_are_preferred_in_tsv() -> None:
    assert rows("a\tb,c\n1\t2,3\n", "text/tab-separated-values") == ["a: 1; b,c: 2,3"]


def test_a_field_that_swallows_the_file_is_given_up() -> None:
    found = rows('a,b\n1,2\n"' + "x,y\n" * 60_000)
    assert found[0] == "a: 1; b: 2"
    assert len(found) == 60_001


def test_nothing() -> None:
    assert rows("\n\n") == []
