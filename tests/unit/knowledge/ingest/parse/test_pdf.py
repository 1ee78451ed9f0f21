"""PDF."""

from __future__ import annotations

import pytest

from spandrel.errors import DocumentDamagedError, DocumentEmptyError, DocumentEncryptedError
from spandrel.knowledge.ingest.parse.pdf import paragraphs, parse
from tests.corpus.pdf import encrypted, pdf


def test_pages_and_paragraphs() -> None:
    document = parse(
        pdf(
            [
                ["A first paragraph that runs over a para-", "graph end and goes on.", "Second (one) starts."],
                ["Page two."],
            ]
        )
    )
    found = [(b.page, document.text[b.start : b.end]) for b in document.blocks]
    assert found == [
        (1, "A first paragraph that runs over a paragraph end and goes on."),
        (1, "Second (one) starts."),
        (2, "Page two."),
    ]
    assert document.content_type == "application/pdf"


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("a long line of a page here\nwhich goes on here and on\nEnd.\nNext one begins", [
            ("paragraph", "a long line of a page here which goes on here and on End."),
            ("paragraph", "Next one begins"),
        ]),
        ("first\n\nsecond", [("paragraph", "first"), ("paragraph", "second")]),
        ("\u2022 one\nmore\n\u2022 two", [("list_item", "\u2022 one more"), ("list_item", "\u2022 two")]),
        ("well-\nknown X-\nRay", [("paragraph", "wellknown X- Ray")]),
        ("soft\xad\nhyphen and joi\ufffened", [("paragraph", "softhyphen and joined")]),
        ("", []),
    ],
)  # fmt: skip
def test_lines_become_paragraphs(page: str, found: list[tuple[str, str]]) -> None:
    assert list(paragraphs(page)) == found


def test_a_scan_has_no_text() -> None:
    with pytest.raises(DocumentEmptyError, match="1 page but no text"):
        parse(pdf([[]]))


def test_a_password_is_asked_for() -> None:
    with pytest.raises(DocumentEncryptedError):
        parse(encrypted())


def test_damage() -> None:
    with pytest.raises(DocumentDamagedError):
        parse(b"%PDF-1.7 and nothing more")


def test_a_broken_page_is_passed_over() -> None:
    data = pdf([["Kept."], ["Lost."]]).replace(b"/Kids [4 0 R 6 0 R]", b"/Kids [4 0 R 99 0 R]")
    document = parse(data)
    assert document.text == "Kept."
