"""What parsing gives: the document's text and the blocks in it."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_TITLE = 1000
"""Characters. A title stands at every chunk of its section: a page that is one heading would be stored many times."""


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, paragraph, list item, table row or code block: `text[start:end]` of its document.

    Blocks are in order, do not overlap, and together cover every character of the text that is not white space.
    """

    kind: str
    """`heading`, `paragraph`, `list_item`, `table_row` or `code`."""
    start: int
    end: int
    level: int = 0
    """Of a heading 1 to 6, else 0."""
    page: int | None = None
    """Counted from 1; None where the format has no pages."""
    title: str | None = None
    """Of a heading, its words without markup, `LONGEST_TITLE` at most."""
    header: tuple[int, int] | None = None
    """Of a table row that does not name its columns itself, where the table's header is in the text."""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document as text (no NUL, newlines as `\\n`, no lone surrogates), its blocks, and its detected type."""

    text: str
    blocks: list[Block]
    content_type: str
