"""DOCX (Word) to blocks, streamed. Runs in the child process."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from typing import IO, Any

from spandrel.errors import DocumentDamagedError, DocumentEncryptedError, DocumentLimitError
from spandrel.knowledge.ingest.parse.builder import Builder, words
from spandrel.knowledge.ingest.parse.models import ParsedDocument

MAX_MEMBERS = 10_000
MAX_INFLATED = 512 << 20  # bytes of all members together; pictures are listed but never inflated
MAX_XML = 128 << 20
MAX_RATIO = 150  # of a member larger than 8 MB
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_HEADING = re.compile(r"heading ([1-9])$")
_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def check(archive: zipfile.ZipFile) -> None:
    """Refuses an archive by its directory alone, before anything is inflated."""
    members = archive.infolist()
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_INFLATED:
        raise DocumentLimitError("The Word file unpacks to more than is allowed.")
    for member in members:
        if member.flag_bits & 1:
            raise DocumentEncryptedError
        if member.filename.endswith((".xml", ".rels")):
            packed = max(1, member.compress_size)
            if member.file_size > MAX_XML or (member.file_size > 8 << 20 and member.file_size > MAX_RATIO * packed):
                raise DocumentLimitError("The Word file unpacks to more than is allowed.")


def _local(tag: str) -> str:
    """The tag's name if it is Word's, else nothing."""
    if tag.startswith(_W):
        return tag[len(_W) :]
    return tag[len(_STRICT) :] if tag.startswith(_STRICT) else ""


def _child(element: Any, name: str) -> Any:
    return next((child for child in element if _local(child.tag) == name), None) if element is not None else None


def _value(element: Any) -> str:
    if element is None:
        return ""
    return element.get(f"{_W}val") or element.get(f"{_STRICT}val") or ""


@dataclass(slots=True)
class Style:
    """What of a paragraph style matters: its level as a heading (0: none) and whether it is a list's."""

    level: int = 0
    listed: bool = False
    based_on: str = ""


def _level(properties: Any, name: str = "") -> int:
    outline = _value(_child(properties, "outlineLvl"))
    if outline.isascii() and outline.isdigit() and int(outline) < 9:
        return min(6, int(outline) + 1)
    match = _HEADING.match(name)
    if match:
        return min(6, int(match[1]))
    return 1 if name == "title" else 0


def _numbered(properties: Any) -> bool:
    numbering = _child(properties, "numPr")
    return numbering is not None and _value(_child(numbering, "numId")) != "0"


def styles(stream: IO[bytes]) -> dict[str, Style]:
    """The paragraph styles by id. Names are the same in every language of Word, ids are not."""
    from defusedxml.ElementTree import iterparse

    found: dict[str, Style] = {}
    for _, element in iterparse(stream):
        if _local(element.tag) != "style":
            continue
        properties = _child(element, "pPr")
        level = _level(properties, _value(_child(element, "name")).lower())
        key = element.get(f"{_W}styleId") or element.get(f"{_STRICT}styleId") or ""
        found[key] = Style(level, _numbered(properties), _value(_child(element, "basedOn")))
        element.clear()
    for style in found.values():
        parent, hops = found.get(style.based_on), 0
        while parent is not None and hops < 20:
            style.level, style.listed = style.level or parent.level, style.listed or parent.listed
            parent, hops = found.get(parent.based_on), hops + 1
    return found


@dataclass(slots=True)
class _Reader:
    """Takes parse events in order."""

    styles: dict[str, Style]
    builder: Builder
    tables: int = 0
    skipped: int = 0
    rows: list[list[str]] = field(default_factory=list)
    cell: list[str] = field(default_factory=list)
    header: bool = False

    def start(self, tag: str) -> None:
        name = _local(tag)
        if tag == _FALLBACK:
            self.skipped += 1
        elif name == "tbl":
            self.tables += 1
            if self.tables == 1:
                self.rows, self.header = [], False
        elif self.tables == 1 and name == "tr":
            self.rows.append([])
        elif self.tables == 1 and name == "tc":
            self.cell = []

    def end(self, element: Any) -> None:
        name = _local(element.tag)
        if element.tag == _FALLBACK:
            self.skipped -= 1
            element.clear()
        elif name == "p":
            if not self.skipped:
                self._paragraph(element)
            element.clear()
        elif name == "tblHeader" and self.tables == 1 and len(self.rows) == 1:
            self.header = _value(element) not in ("0", "false")
        elif name == "tc" and self.tables == 1 and self.rows:
            self.rows[-1].append(" ".join(self.cell))
            element.clear()
        elif name == "tbl":
            self._table()
            element.clear()

    def _table(self) -> None:
        self.tables -= 1
        rows = [row for row in self.rows if any(row)]
        if self.tables == 0 and rows:
            self.builder.table(rows, header=self.header or _headed(rows))

    def _paragraph(self, element: Any) -> None:
        text = words("".join(_runs(element)))
        properties = _child(element, "pPr")
        style = self.styles.get(_value(_child(properties, "pStyle")), Style())
        level = _level(properties) or style.level
        if self.tables:
            self.cell.append(text)
        elif level:
            self.builder.add("heading", text.replace("\n", " "), level=level)
        elif text and (_numbered(properties) or style.listed):
            self.builder.add("list_item", "- " + text)
        else:
            self.builder.add("paragraph", text)


def _headed(rows: list[list[str]]) -> bool:
    """Whether the first row reads like column names: full, different, short and not numbers."""
    first = rows[0]
    full = len(rows) > 1 and len(first) > 1 and all(first) and len(set(first)) == len(first)
    return full and all(len(cell) <= 40 and not cell[0].isdigit() for cell in first)


def _runs(paragraph: Any) -> list[str]:
    """The pieces of a paragraph's text; deleted text and fields' codes have other tags."""
    pieces: list[str] = []
    for element in paragraph.iter():
        name = _local(element.tag)
        if name == "t":
            pieces.append(element.text or "")
        elif name in _BREAKS:
            pieces.append(_BREAKS[name])
    return pieces


def parse(data: bytes) -> ParsedDocument:
    """Headings (by style or outline level), paragraphs, list items and table rows of the main text.

    Raises `DocumentLimitError` for bombs, `DocumentEncryptedError`, `DocumentDamagedError`.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException

    builder = Builder()
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            check(archive)
            _read(archive, builder)
    except DefusedXmlException:
        raise DocumentLimitError("The Word file defines XML entities, which are not read.") from None
    except (zipfile.BadZipFile, KeyError, ParseError, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise DocumentDamagedError("The file is damaged or incomplete and cannot be read as a Word file.") from error
    return builder.document(CONTENT_TYPE)


def _read(archive: zipfile.ZipFile, builder: Builder) -> None:
    from defusedxml.ElementTree import iterparse

    known: dict[str, Style] = {}
    if "word/styles.xml" in archive.namelist():
        with archive.open("word/styles.xml") as stream:
            known = styles(stream)
    reader = _Reader(known, builder)
    depth, body = 0, None
    with archive.open("word/document.xml") as stream:
        for event, element in iterparse(stream, events=("start", "end")):
            if event == "start":
                depth += 1
                if depth > 400:
                    raise DocumentLimitError("The Word file is nested too deeply to be read.")
                reader.start(element.tag)
                if depth == 2:
                    body = element
            else:
                depth -= 1
                reader.end(element)
                if depth == 2 and body is not None:
                    body.clear()  # of what has been read
