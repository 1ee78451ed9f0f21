"""Puts a document's text together block by block, for formats whose bytes are not the text."""

from __future__ import annotations

from collections.abc import Sequence

from spandrel.errors import DocumentLimitError
from spandrel.knowledge.ingest.parse.models import LONGEST_TITLE, Block, ParsedDocument
from spandrel.knowledge.ingest.parse.text import clean

MAX_CHARACTERS = 64_000_000
_RUNNING = frozenset(
    ("list_item", "table_row")
)  # neighbours of one of these kinds are a line apart, others a blank line


def words(text: str) -> str:
    """`text` with every run of white space as one space, save that lines stay lines."""
    return "\n".join(filter(None, (" ".join(line.split()) for line in text.split("\n"))))


def row(header: Sequence[str] | None, cells: Sequence[str]) -> str:
    """A table row that stands by itself: `column: value; column: value`, or `value | value` without a header."""
    flat = [" ".join(cell.split()) for cell in cells]
    if header is None:
        return " | ".join(flat).strip(" |")
    named = zip((*header, *[""] * (len(flat) - len(header))), flat, strict=False)
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in named if cell)


class Builder:
    """Collects blocks. Raises `DocumentLimitError` when the text becomes longer than `MAX_CHARACTERS`."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self.blocks: list[Block] = []

    def add(self, kind: str, text: str, *, level: int = 0, page: int | None = None) -> None:
        """Adds a block unless its text is blank. A heading's text is also its title."""
        text = clean(text).strip("\n") if kind == "code" else clean(text).strip()
        if not text.strip():
            return
        if self.blocks:
            gap = "\n" if kind in _RUNNING and self.blocks[-1].kind == kind else "\n\n"
            self._parts.append(gap)
            self._length += len(gap)
        start, self._length = self._length, self._length + len(text)
        if self._length > MAX_CHARACTERS:
            raise DocumentLimitError("The document holds more text than can be read at once. Split it.")
        self._parts.append(text)
        title = " ".join(text.split())[:LONGEST_TITLE].rstrip() if kind == "heading" else None
        self.blocks.append(Block(kind, start, self._length, level=level, page=page, title=title))

    def table(self, rows: Sequence[Sequence[str]], *, header: bool) -> None:
        """Adds a table; with `header` its first row names the columns and is in every row's text, not a row itself."""
        names = [" ".join(cell.split()) for cell in rows[0]] if header and len(rows) > 1 else None
        for cells in rows[1:] if names else rows:
            self.add("table_row", row(names, cells))

    def document(self, content_type: str) -> ParsedDocument:
        return ParsedDocument("".join(self._parts), self.blocks, content_type)
