"""Where prose may be cut."""

from __future__ import annotations

import pytest

from spandrel.knowledge.ingest.sentences import lines, sentences


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One here. Two there! Three?", ["One here. ", "Two there! ", "Three?"]),
        ('He said "no." Then left.', ['He said "no." ', "Then left."]),
        ("Dr. Who met J. Smith, e.g. at 3.14 p.m. End", ["Dr. Who met J. Smith, e.g. at 3.14 p.m. End"]),
        ("See fig. 3. Next... and on. End", ["See fig. 3. ", "Next... and on. ", "End"]),
        ("a line\nand another\n\nlast", ["a line\n", "and another\n\n", "last"]),
        ("Wait... Really?! Yes.", ["Wait... ", "Really?! ", "Yes."]),
        ("\u4e00\u3002\u4e8c\uff01\u4e09", ["\u4e00\u3002", "\u4e8c\uff01", "\u4e09"]),
        ("v1.2.3 runs", ["v1.2.3 runs"]),
        ("", []),
    ],
)  # fmt: skip
def test_sentences(text: str, parts: list[str]) -> None:
    assert [text[a:b] for a, b in sentences(text, 0, len(text))] == parts


def test_lines_leave_nothing_out() -> None:
    text = "a\n\nb"
    assert [text[a:b] for a, b in lines(text, 0, len(text))] == ["a\n", "\n", "b"]
