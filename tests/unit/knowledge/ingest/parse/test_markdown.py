"""Markdown."""

from __future__ import annotations

import pytest

from spandrel.knowledge.ingest.parse.markdown import parse


def blocks(text: str) -> list[tuple[str, str]]:
    document = parse(text.encode())
    return [(b.kind, document.text[b.start : b.end]) for b in document.blocks]


def headings(text: str) -> list[tuple[int, str | None]]:
    return [(b.level, b.title) for b in parse(text.encode()).blocks if b.kind == "heading"]


def test_headings_of_both_styles() -> None:
    text = "# One #\nText\n### Three\n\nTwo\n---\n\nTop\n===\n#nothing\n#"
    assert headings(text) == [(1, "One"), (3, "Three"), (2, "Two"), (1, "Top"), (1, "")]


@pytest.mark.parametrize(
    ("source", "title"),
    [("# A **bold** word", "A bold word"), ("# `code` and [link](http://x)", "code and link"), ("# C#", "C#")],
)
def test_titles_lose_their_markup(source: str, title: str) -> None:
    assert headings(source) == [(1, title)]


def test_lists_paragraphs_and_rules() -> None:
    text = "First\nline\n\n- a\n  more\n- b\n1. c\n\n* * *\nlast"
    assert blocks(text) == [
        ("paragraph", "First\nline"),
        ("list_item", "- a\n  more"),
        ("list_item", "- b"),
        ("list_item", "1. c"),
        ("paragraph", "* * *"),
        ("paragraph", "last"),
    ]


def test_fenced_code_keeps_what_looks_like_structure() -> None:
    text = "before\n```python\n# not a heading\n\n- no item\n```\nafter\n~~~~\n```\n~~~~\n```\nopen to the end"
    assert blocks(text) == [
        ("paragraph", "before"),
        ("code", "```python\n# not a heading\n\n- no item\n```"),
        ("paragraph", "after"),
        ("code", "~~~~\n```\n~~~~"),
        ("code", "```\nopen to the end"),
    ]


def test_tables_know_their_header() -> None:
    document = parse(b"| a | b |\n|---|:-:|\n| 1 | 2 |\n| 3 | 4 |\nprose after\n\nno | table\n")
    kinds = [(b.kind, b.header) for b in document.blocks]
    assert kinds == [
        ("table_row", None),
        ("table_row", (0, 19)),
        ("table_row", (0, 19)),
        ("paragraph", None),
        ("paragraph", None),
    ]


def test_a_rule_under_prose_is_no_table() -> None:
    assert blocks("plain\n--|--\nx") == [("paragraph", "plain\n--|--\nx")]


def test_front_matter_is_one_block() -> None:
    assert blocks("---\ntitle: x\n# no heading\n---\n# Yes\n")[0] == ("code", "---\ntitle: x\n# no heading\n---")
    assert blocks("---\nnever closed")[0] == ("paragraph", "---")


def test_very_long_lines_are_prose() -> None:
    assert blocks("# " + "a" * 5000)[0][0] == "paragraph"
