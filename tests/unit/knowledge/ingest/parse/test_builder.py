"""Putting text together."""

from __future__ import annotations

import pytest

from spandrel.errors import DocumentLimitError
from spandrel.knowledge.ingest.parse import builder as module
from spandrel.knowledge.ingest.parse.builder import Builder, row, words


def test_offsets_are_those_of_the_text() -> None:
    builder = Builder()
    builder.add("heading", " Top\x00 ", level=1)
    builder.add("list_item", "- a")
    builder.add("list_item", "- b")
    builder.add("paragraph", "  ")
    builder.add("code", "\n  x\n", page=3)
    document = builder.document("text/html")
    assert document.text == "Top\n\n- a\n- b\n\n  x"
    assert [document.text[b.start : b.end] for b in document.blocks] == ["Top", "- a", "- b", "  x"]
    assert (document.blocks[0].title, document.blocks[3].page) == ("Top", 3)


@pytest.mark.parametrize(
    ("header", "cells", "text"),
    [
        (["a", ""], ["1", "2"], "a: 1; 2"),
        (["a"], ["1", "2"], "a: 1; 2"),
        (["a", "b"], ["", " x \n y "], "b: x y"),
        (None, ["", "x", ""], "x"),
    ],
)
def test_rows(header: list[str] | None, cells: list[str], text: str) -> None:
    assert row(header, cells) == text


def test_words() -> None:
    assert words(" a  b \n\n c\t") == "a b\nc"


def test_a_heading_that_is_no_heading_is_cut_where_it_is_a_title() -> None:
    """It stands at every chunk of its section; the text is whole."""
    builder = Builder()
    builder.add("heading", "all of it " * 1000, level=1)
    [block] = builder.document("text/html").blocks
    assert block.title == ("all of it " * 100).strip()
    assert block.end == len("all of it " * 1000) - 1


def test_the_length_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHARACTERS", 10)
    builder = Builder()
    builder.add("paragraph", "12345")
    with pytest.raises(DocumentLimitError, match="more text"):
        builder.add("paragraph", "12345")
