"""Documents to text with structure. `parse` is the one way in; a format is a file."""

from __future__ import annotations

from spandrel.errors import DocumentEmptyError
from spandrel.knowledge.ingest.parse.models import Block, ParsedDocument

__all__ = ["Block", "ParsedDocument", "parse"]


def parse(data: bytes, *, name: str, content_type: str | None) -> ParsedDocument:
    """The text and blocks of a file with the given name and declared content type.

    What the bytes are decides; the name and then the declared type choose between formats that look alike. Raises
    subclasses of `DocumentError` only.
    """
    from spandrel.knowledge.ingest.parse import markdown, text

    if not data.strip():
        raise DocumentEmptyError("The file is empty.")
    markup = name.lower().endswith((".md", ".markdown")) or content_type == "text/markdown"
    document = markdown.parse(data) if markup else text.parse(data)
    if not document.blocks:
        raise DocumentEmptyError("The file holds no text.")
    return document
