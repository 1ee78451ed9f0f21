"""DOCX."""

from __future__ import annotations

import zipfile
from io import BytesIO

import pytest

from spandrel.errors import DocumentDamagedError, DocumentEncryptedError, DocumentLimitError
from spandrel.knowledge.ingest.parse import docx as module
from spandrel.knowledge.ingest.parse.docx import parse
from tests.corpus.docx import docx, item, paragraph, style, table

STYLES = (
    style("Titel", "Title")
    + style("berschrift1", "heading 1")
    + style("berschrift2", "Heading 2")
    + style("Eigene", "My heading", based_on="berschrift2")
    + style("Kapitel", "Chapter", '<w:outlineLvl w:val="0"/>')
    + style("Liste", "List Bullet", '<w:numPr><w:numId w:val="3"/></w:numPr>')
    + style("Schleife", "Loop", based_on="Schleife")
)


def blocks(data: bytes) -> list[tuple[str, int, str]]:
    document = parse(data)
    return [(b.kind, b.level, document.text[b.start : b.end]) for b in document.blocks]


def test_headings_in_any_language() -> None:
    body = "".join(
        paragraph(key, style=key) for key in ("Titel", "berschrift1", "berschrift2", "Eigene", "Kapitel", "Schleife")
    ) + paragraph("direct", properties='<w:outlineLvl w:val="2"/>')
    assert [(kind, level) for kind, level, _ in blocks(docx(body, styles=STYLES))] == [
        ("heading", 1), ("heading", 1), ("heading", 2), ("heading", 2), ("heading", 1),
        ("paragraph", 0), ("heading", 3),
    ]  # fmt: skip


def test_lists_breaks_and_fields() -> None:
    body = (
        item("point")
        + paragraph("styled", style="Liste")
        + "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/><w:t>d</w:t></w:r></w:p>"
        + "<w:p><w:r><w:instrText>PAGE</w:instrText><w:t>seen</w:t></w:r>"
        + "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>"
        + paragraph("plain", properties='<w:numPr><w:numId w:val="0"/></w:numPr>')
    )
    assert [text for _, _, text in blocks(docx(body, styles=STYLES))] == [
        "- point",
        "- styled",
        "a b\nc-d",
        "seen",
        "plain",
    ]


def test_tables() -> None:
    rows = [["Part", "Count"], ["Bolt", "5"]]
    marked = table(rows, header=True)
    assert [text for _, _, text in blocks(docx(marked))] == ["Part: Bolt; Count: 5"]
    assert [text for _, _, text in blocks(docx(table(rows)))] == ["Part: Bolt; Count: 5"]
    assert [text for _, _, text in blocks(docx(table([["1", "2"], ["3", "4"]])))] == ["1 | 2", "3 | 4"]


def test_a_table_in_a_table_is_text_of_its_cell() -> None:
    inner = table([["x", "y"]])
    body = f"<w:tbl><w:tr><w:tc>{paragraph('left')}{inner}</w:tc><w:tc>{paragraph('1')}</w:tc></w:tr></w:tbl>"
    assert [text for _, _, text in blocks(docx(body))] == ["left x y | 1"]


def test_a_text_box_is_read_once() -> None:
    markup = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    box = f"<w:txbxContent>{paragraph('boxed')}</w:txbxContent>"
    body = (
        f'<w:p><w:r><mc:AlternateContent xmlns:mc="{markup}"><mc:Choice>{box}</mc:Choice>'
        f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent><w:t>around</w:t></w:r></w:p>"
    )
    assert [text for _, _, text in blocks(docx(body))] == ["boxed", "around"]


def test_the_strict_variant() -> None:
    strict = "http://purl.oclc.org/ooxml/wordprocessingml/main"
    head = paragraph("Head", properties='<w:outlineLvl w:val="0"/>')
    body = f'<w:document xmlns:w="{strict}"><w:body>{head}</w:body></w:document>'
    assert blocks(docx("", parts={"word/document.xml": body.encode()})) == [("heading", 1, "Head")]


@pytest.mark.parametrize(
    "data",
    [
        b"PK no archive",
        docx("<w:p>"),
        docx("", parts={"word/document.xml": b""}),
        docx(paragraph("x"), parts={"word/styles.xml": b"<broken"}),
    ],
)
def test_damage(data: bytes) -> None:
    with pytest.raises(DocumentDamagedError):
        parse(data)


def test_without_its_text_part() -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("word/styles.xml", "<x/>")
    with pytest.raises(DocumentDamagedError):
        parse(out.getvalue())


@pytest.mark.parametrize(
    "data",
    [
        docx(paragraph("&b;"), head='<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'),
        docx(paragraph("&x;"), head='<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
        docx("<w:x>" * 500 + "</w:x>" * 500),
        docx("", parts={"word/document.xml": b"<a>" + b" " * (20 << 20) + b"</a>"}),
        docx("x", parts={f"m{n}": b"" for n in range(10_001)}),
    ],
    ids=["entities", "external", "deep", "ratio", "members"],
)
def test_bombs(data: bytes) -> None:
    with pytest.raises(DocumentLimitError):
        parse(data)


def test_the_directory_is_checked_before_anything_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_INFLATED", 10)
    with pytest.raises(DocumentLimitError):
        parse(docx(paragraph("x")))


def test_a_member_with_a_password() -> None:
    with zipfile.ZipFile(BytesIO(docx(paragraph("x")))) as archive:
        archive.infolist()[1].flag_bits |= 1
        with pytest.raises(DocumentEncryptedError):
            module.check(archive)
