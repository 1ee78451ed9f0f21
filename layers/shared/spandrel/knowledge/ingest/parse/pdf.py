"""PDF to paragraphs with page numbers. Runs in the child process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from spandrel.errors import DocumentDamagedError, DocumentEmptyError, DocumentEncryptedError
from spandrel.knowledge.ingest.parse.builder import Builder
from spandrel.knowledge.ingest.parse.models import ParsedDocument

_SOFT = "\x02\xad"  # a hyphen that only the line end made; PDFium gives one it has joined as U+FFFE
_BULLET = re.compile(r"(?:[\u2022\u25cf\u25e6\u2023\u25aa\u25a0*\u2013-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")
_SENTENCE_END = re.compile(r"[.!?:\u2026][\"'\u201d\u2019)\]]*$")
_SHORT = 0.75  # of the page's usual line: a line this short that ends a sentence ends a paragraph


def _join(left: str, line: str) -> str:
    """Two lines of one paragraph; a word cut at the line end is made whole."""
    if left[-1] in _SOFT:
        return left[:-1] + line
    if left[-1] == "-" and len(left) > 1 and left[-2].islower() and line[0].islower():
        return left[:-1] + line
    return f"{left} {line}"


def paragraphs(page: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each paragraph of a page's text, whose lines are as they are set."""
    lines = [line.strip() for line in page.replace("\ufffe", "\x02\n").replace("\r\n", "\n").split("\n")]
    lengths = sorted(len(line) for line in lines if line)
    usual = lengths[int(len(lengths) * 0.9)] if lengths else 0
    current, kind, previous = "", "paragraph", ""
    for line in lines:
        bullet = bool(_BULLET.match(line))
        ends = bool(_SENTENCE_END.search(previous)) and len(previous) < _SHORT * usual
        if current and (not line or bullet or ends):
            yield kind, current
            current = ""
        if line:
            kind = kind if current else ("list_item" if bullet else "paragraph")
            current = _join(current, line) if current else line
        previous = line
    if current:
        yield kind, current


def _open(data: bytes) -> Any:
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise DocumentEncryptedError from None
        raise DocumentDamagedError("The file is damaged or incomplete and cannot be read as a PDF.") from None


def _page_text(document: Any, index: int) -> str:
    import pypdfium2

    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        return ""
    text_page = page.get_textpage()
    text: str = text_page.get_text_range()
    text_page.close()
    page.close()
    return text


def parse(data: bytes) -> ParsedDocument:
    """Paragraphs and list items, each with its page. Raises `DocumentEncryptedError` where a password is asked for,
    `DocumentEmptyError` where no page has text, `DocumentDamagedError`."""
    document = _open(data)
    builder = Builder()
    count = len(document)
    for index in range(count):
        for kind, text in paragraphs(_page_text(document, index)):
            builder.add(kind, text, page=index + 1)
    if not builder.blocks:
        pages = "1 page" if count == 1 else f"{count} pages"
        raise DocumentEmptyError(
            f"The PDF has {pages} but no text. If it is a scan, run text recognition (OCR) on it and upload the result."
        )
    return builder.document("application/pdf")
