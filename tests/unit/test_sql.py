from __future__ import annotations

from pathlib import Path

import pytest

from spandrel.sql import Queries


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "queries.sql"
    path.write_text("-- head\n\n-- name: one\n-- Says one.\nSELECT 1;\n\n-- name: two\nSELECT\n  2;\n")
    return path


def test_statements_are_found_by_name(file: Path) -> None:
    queries = Queries(file)
    assert queries.one == b"-- Says one.\nSELECT 1"
    assert queries.two == b"SELECT\n  2"


def test_an_unknown_name_is_told_with_its_file(file: Path) -> None:
    with pytest.raises(AttributeError, match=r"queries\.sql has no statement named three"):
        _ = Queries(file).three


def test_a_name_given_twice_is_refused(file: Path) -> None:
    file.write_text(file.read_text() + "-- name: one\nSELECT 3;\n")
    with pytest.raises(ValueError, match="one is defined twice"):
        Queries(file)


def test_the_file_beside_a_module_is_read(file: Path) -> None:
    assert Queries.beside(str(file.with_name("store.py"))).two == b"SELECT\n  2"
