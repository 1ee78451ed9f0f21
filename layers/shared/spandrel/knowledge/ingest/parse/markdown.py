"""Markdown to blocks. The text stays as it was written, so that offsets are those of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from spandrel.knowledge.ingest.parse.models import LONGEST_TITLE, Block, ParsedDocument
from spandrel.knowledge.ingest.parse.text import decode

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_CLOSING = re.compile(r"(?:^|[ \t])#+[ \t]*$")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)")
_RULE = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_DELIMITER = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:[ \t]+\"[^\"]*\")?\)")
_EMPHASIS = re.compile(r"(\*\*\*|\*\*|\*|__|`+)(?=\S)([^*_`]+)(?<=\S)\1")
_LONGEST_MARK = 4000  # a line longer than this is prose, whatever it begins with
_FRONT_END = frozenset(("---", "..."))


def _plain(title: str) -> str:
    """A heading's words without inline markup."""
    title = title[:LONGEST_TITLE]
    return _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", title)).strip()


def _lines(text: str) -> Iterator[tuple[int, str]]:
    position = 0
    for line in text.split("\n"):
        yield position, line
        position += len(line) + 1


@dataclass(slots=True)
class _Reader:
    """One pass over the lines; `open_*` is the block being read."""

    text: str
    blocks: list[Block] = field(default_factory=list)
    open_kind: str | None = None
    open_start: int = 0
    open_end: int = 0
    open_lines: int = 0
    fence: str = ""
    header: tuple[int, int] | None = None

    def close(self) -> None:
        if self.open_kind:
            start, end = self.open_start, self.open_end
            raw = self.text[start:end]
            start += len(raw) - len(raw.lstrip())
            if raw.strip():
                self.blocks.append(Block(self.open_kind, start, end))
        self.open_kind, self.fence = None, ""

    def begin(self, kind: str, start: int, line: str) -> None:
        self.close()
        self.open_kind, self.open_start, self.open_end, self.open_lines = kind, start, start + len(line.rstrip()), 1

    def extend(self, start: int, line: str) -> None:
        self.open_end = start + len(line.rstrip())
        self.open_lines += 1

    def heading(self, start: int, end: int, level: int, title: str) -> None:
        self.blocks.append(Block("heading", start, end, level=level, title=_plain(title)))

    def read(self) -> list[Block]:
        front = self._front_matter()
        for start, line in _lines(self.text):
            if start >= front:
                self._line(start, line)
        self.close()
        return self.blocks

    def _front_matter(self) -> int:
        """Takes YAML front matter as one block; gives the offset behind it."""
        if not self.text.startswith("---\n"):
            return 0
        for start, line in _lines(self.text):
            if start and line.rstrip() in _FRONT_END:
                self.blocks.append(Block("code", 0, start + len(line.rstrip())))
                return start + len(line) + 1
            if start > 65536:
                break
        return 0

    def _line(self, start: int, line: str) -> None:
        if self.fence:
            self.extend(start, line)
            bare = line.strip()
            if bare.startswith(self.fence) and not bare.strip(self.fence[0]):
                self.close()
        elif not line.strip():
            self.close()
            self.header = None
        elif len(line) > _LONGEST_MARK or not self._structure(start, line):
            self._flow(start, line)

    def _structure(self, start: int, line: str) -> bool:
        """Takes a line that is a fence, a heading or part of a table."""
        atx, fence = _ATX.match(line), _FENCE.match(line)
        if fence:
            self.begin("code", start, line)
            self.fence = fence[1]
        elif atx:
            self.close()
            self.header = None
            title = _CLOSING.sub("", (atx[2] or "").rstrip())
            self.heading(start, start + len(line.rstrip()), len(atx[1]), title)
        elif self._underlined(line):
            begin, title = self.open_start, self.text[self.open_start : self.open_end].strip()
            self.open_kind = None
            self.heading(begin, start + len(line.rstrip()), 1 if "=" in line else 2, title)
        else:
            return self._table(start, line)
        return True

    def _underlined(self, line: str) -> bool:
        return self.open_kind == "paragraph" and self.open_lines == 1 and bool(_UNDERLINE.match(line))

    def _table(self, start: int, line: str) -> bool:
        if self.header is not None:
            if "|" not in line:
                self.header = None
                return False
            self.close()
            begin = start + len(line) - len(line.lstrip())
            self.blocks.append(Block("table_row", begin, start + len(line.rstrip()), header=self.header))
            return True
        if "|" in line and self.open_kind == "paragraph" and self.open_lines == 1 and _DELIMITER.match(line):
            if "|" not in self.text[self.open_start : self.open_end]:
                return False
            self.extend(start, line)
            self.open_kind, self.header = "table_row", (self.open_start, self.open_end)
            self.close()
            return True
        return False

    def _flow(self, start: int, line: str) -> None:
        if len(line) < _LONGEST_MARK and _RULE.match(line):
            self.begin("paragraph", start, line)
            self.close()
        elif _ITEM.match(line):
            self.begin("list_item", start, line)
        elif self.open_kind:
            self.extend(start, line)
        else:
            self.begin("paragraph", start, line)


def parse(data: bytes) -> ParsedDocument:
    """Markdown: headings (both styles), paragraphs, list items, fenced code, table rows; front matter as code."""
    text = decode(data)
    return ParsedDocument(text, _Reader(text).read(), "text/markdown")
