"""Documents to text with structure. `parse` is the one way in; a format is a file.

Text, Markdown, CSV and JSON are read in this process, in linear time. HTML, PDF and DOCX are read in a child process
with limits, because their parsers are native code or unpack what others have packed.
"""

from __future__ import annotations

from spandrel.errors import DocumentEmptyError
from spandrel.knowledge.ingest.parse.detect import DOCX, HTML, PDF, detect
from spandrel.knowledge.ingest.parse.models import Block, ParsedDocument

__all__ = ["Block", "ParsedDocument", "parse"]

_ISOLATED = {HTML: "html", PDF: "pdf", DOCX: "docx"}


def parse(data: bytes, *, name: str, content_type: str | None) -> ParsedDocument:
    """The text and blocks of a file with the given name and declared content type.

    What the bytes are decides; the name and then the declared type choose between formats that look alike. Raises
    subclasses of `DocumentError` only.
    """
    if not data.strip(b" \t\r\n\x00\x0c\xef\xbb\xbf\xff\xfe"):
        raise DocumentEmptyError("The file is empty.")
    kind = detect(data, name=name, content_type=content_type)
    document = _parse(data, kind)
    if not any(character.isprintable() and character != " " for character in document.text):
        raise DocumentEmptyError("The file holds no text.")
    return document


def _parse(data: bytes, kind: str) -> ParsedDocument:
    from spandrel.knowledge.ingest.parse import delimited, isolate, json_text, markdown, text

    if kind in _ISOLATED:
        return isolate.parse(_ISOLATED[kind], data)
    if kind in ("text/csv", "text/tab-separated-values"):
        return delimited.parse(data, kind)
    if kind in ("application/json", "application/x-ndjson"):
        return json_text.parse(data, kind)
    return markdown.parse(data) if kind == "text/markdown" else text.parse(data)
